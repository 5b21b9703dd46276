"""Write the LMDB of Vec2Face and SOTA-FR: `train.lmdb`; see `vec2face.data.formats.lmdb_values`."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.data.formats.lmdb_file import RECORDS_HELD, LmdbFile
from vec2face.data.formats.lmdb_values import LmdbValue
from vec2face.errors import DatasetError, InputError
from vec2face.interchange.selection import Item
from vec2face.interchange.writers.base import SetFacts, SetWriter
from vec2face.interchange.writers.members import LANDMARKS

NAME = "train.lmdb"


class LmdbWriter(SetWriter):
    """A single file, a transaction of at most `RECORDS_HELD` records after another.

    The values are `(image, label)`, or `(image, feature, label)` where there are vectors, and a fourth element where
    all images have one of their landmarks.
    """

    format = "lmdb"
    takes_features = True

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        super().__init__(folder, facts, block=min(block, RECORDS_HELD))
        self._file: LmdbFile | None = None

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        file = LmdbFile(self.folder / NAME)
        self._file = file
        found = file.count
        if found < images or (found < self.facts.images and found % self.block):
            raise DatasetError(
                f"{file.path} holds {found} records, which no stopped run leaves; remove {self.folder} and run the "
                "command again."
            )
        return found

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        file = self._opened()
        while block := list(islice(items, self.block)):
            file.append([self._value(item) for item in block])
        return {}

    def finish(self) -> None:
        self._opened().finish(classes=len(self.facts.people))

    def _value(self, item: Item) -> LmdbValue:
        record = item.record
        if self.facts.feature_dim is None:
            return LmdbValue(record.data, item.label)
        if record.feature is None:
            raise InputError(f"{record.where} has no vector stored with it, as others have; name an embedder.")
        landmarks = record.facts.get(LANDMARKS)
        return LmdbValue(
            record.data,
            item.label,
            record.feature.astype(np.float32, copy=False),
            landmarks if isinstance(landmarks, bytes) else None,
        )

    def _opened(self) -> LmdbFile:
        if self._file is None:
            raise RuntimeError("resume comes before write and finish")
        return self._file
