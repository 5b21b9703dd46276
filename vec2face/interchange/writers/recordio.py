"""Write MXNet RecordIO: `train.rec` with `train.idx`, `train.lst` and `property`; see `vec2face.data.formats.recordio`.

Two dialects. "insightface": images under the keys 1 to N person by person, then a record per person with the keys its
images begin and end at, and last, under key 0, where images and people end; what arcface_torch and its relatives read.
"im2rec": images under the keys from 0 on, and nothing else.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.contracts import IMAGE_SIZE
from vec2face.data.formats.recordio import EXACT_LABELS, PackHeader, frame, index_line, pack
from vec2face.data.formats.recordio_file import property_line
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_text
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.selection import Item
from vec2face.interchange.writers.base import GrowingFile, SetFacts, SetWriter


class Im2recWriter(SetWriter):
    """Every record is an image."""

    format = "recordio-im2rec"
    first_key = 0

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        super().__init__(folder, facts, block=block)
        if len(facts.people) > EXACT_LABELS:
            raise InputError(
                f"RecordIO keeps labels as float32, which is exact for {EXACT_LABELS} people, not for "
                f"{len(facts.people)}; export to another format."
            )
        self._records, self._index, self._list = (
            GrowingFile(folder / f"train.{name}") for name in ("rec", "idx", "lst")
        )

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        for file in self._files():
            file.resume(int(state.get(file.path.name, 0)))
        return images

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        key = self.first_key + start
        for item in items:
            suffix = kind_of(item.record.data, where=item.record.where).suffix
            self._append(key, pack(PackHeader(float(item.label), key), item.record.data))
            path = f"{item.label:07d}/{item.number:04d}.{suffix}"
            self._list.append(f"{key}\t{item.label}\t{path}\n".encode("ascii"))
            key += 1
        return {file.path.name: file.settle() for file in self._files()}

    def finish(self) -> None:
        write_text(self.folder / "property", property_line(len(self.facts.people), IMAGE_SIZE))
        for file in self._files():
            file.settle()
        self.close()

    def close(self) -> None:
        for file in self._files():
            file.close()

    def _append(self, key: int, payload: bytes) -> None:
        self._index.append(index_line(key, self._records.size).encode("ascii"))
        self._records.append(frame(payload))

    def _files(self) -> tuple[GrowingFile, ...]:
        return self._records, self._index, self._list


class InsightfaceWriter(Im2recWriter):
    """Images person by person, with the records that say where each person's begin and end."""

    format = "recordio-insightface"
    first_key = 1
    grouped = True

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        super().__init__(folder, facts, block=block)
        if facts.images + 1 + len(facts.people) > EXACT_LABELS:
            raise InputError(
                f"the insightface dialect keeps the number of records as float32, which is exact up to {EXACT_LABELS}, "
                f"and this set has {facts.images + 1 + len(facts.people)}; use --dialect im2rec, or export a subset."
            )

    def finish(self) -> None:
        ends = np.cumsum(self.facts.counts) + self.first_key
        first = self.first_key + self.facts.images
        for person, end in enumerate(ends.tolist()):
            begin = end - int(self.facts.counts[person])
            self._append(first + person, pack(PackHeader((float(begin), float(end)), first + person), b""))
        behind = first + len(self.facts.people)
        self._append(0, pack(PackHeader((float(first), float(behind)), 0, 1), b""))
        super().finish()
