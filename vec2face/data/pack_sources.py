"""The sources of a face pack: aligned faces of any readable format, with what a table or a features file adds."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.config.training import PackSource
from vec2face.contracts import IMAGE_SIZE
from vec2face.data.readers import FaceReader, FaceRecord, open_reader
from vec2face.data.readers.recognise import PREPARED_NAME
from vec2face.data.readers.tars import TarReader
from vec2face.errors import InputError
from vec2face.fileio.atomic import sha256_file

CORNERS = ("tl", "tr", "br", "bl")
WHOLE_IMAGE = np.array([[0, 0], [IMAGE_SIZE, 0], [IMAGE_SIZE, IMAGE_SIZE], [0, IMAGE_SIZE]], np.float32)


@dataclass(frozen=True, eq=False)
class SourceFace:
    """One face of a source.

    Attributes:
        name: its key in the source.
        group: its person, or "" where unknown.
        pixels: uint8 `(112, 112, 3)` RGB.
        features: float16 `(2, D)` stored embedding of the image and of its mirror image, or None.
        valid: float32 `(4, 2)` corners of the real region.
    """

    name: str
    group: str
    pixels: np.ndarray
    features: np.ndarray | None
    valid: np.ndarray


class OpenedSource:
    """A source, opened and checked as far as that is quick."""

    def __init__(self, source: PackSource, root: Path) -> None:
        """Open the source.

        Raises:
            InputError: a file is missing, or the source is nothing that can be read.
        """
        for name in (source.tar, source.table, source.features):
            if name is not None and not (root / name).is_file():
                raise InputError(f"the source file {root / name} does not exist; give its folder with --root.")
        self.source, self.root = source, root
        self.reader = self._open()
        self._table = _read_table(root / source.table) if source.table else None
        self._features = np.load(root / source.features, mmap_mode="r") if source.features else None
        if self._features is not None and (self._features.ndim != 3 or self._features.shape[1] != 2):
            raise InputError(
                f"{root / str(source.features)} must be (N, 2, D): an embedding per image and per mirror image."
            )
        self._content = hashlib.sha256()

    def faces(self) -> Iterator[SourceFace]:
        """Yield the faces that the table does not leave out.

        Raises:
            InputError: an image has no row or no features, cannot be read, or is no 112x112 crop.
        """
        for position, record in enumerate(self.reader):
            self._content.update(hashlib.sha256(record.data).digest())
            name = record.key.rpartition("/")[-1] if self.source.tar else record.key
            row = self._row(name)
            if row is not None and any(row[column] == "1" for column in self.source.exclude_where):
                continue
            yield SourceFace(
                name=name,
                group=record.person or "",
                pixels=_decode(record),
                features=self._features_of(position, record),
                valid=_table_corners(row) if row is not None else _stored_corners(record),
            )

    def facts(self) -> dict[str, Any]:
        """What the pack says of the source; complete when `faces` has ended."""
        if self.source.tar is not None:
            values = self.source.model_dump(exclude={"path", "people"})
            return {**values, "sha256": sha256_file(self.root / self.source.tar)}
        prepared = Path(self.reader.source) / PREPARED_NAME
        known = json.loads(prepared.read_bytes()) if prepared.is_file() else {}
        return {
            **self.source.model_dump(exclude={"tar", "grouped"}),
            "format": self.reader.format,
            "sha256": self._content.hexdigest(),
            "embedder": known.get("embedder"),
        }

    def _open(self) -> FaceReader:
        if self.source.tar is not None:
            path = self.root / self.source.tar
            return TarReader([path], source=str(path), people="folders" if self.source.grouped else "none")
        return open_reader(str(self.root / str(self.source.path)), people=self.source.people)

    def _row(self, name: str) -> dict[str, str] | None:
        if self._table is None:
            return None
        if name not in self._table:
            raise InputError(f"{self.source.name}: image {name} has no row in {self.source.table}.")
        return self._table[name]

    def _features_of(self, position: int, record: FaceRecord) -> np.ndarray | None:
        if self._features is not None:
            if position >= len(self._features):
                raise InputError(
                    f"{self.source.features} has {len(self._features)} rows, "
                    f"fewer than the images in {self.source.name}."
                )
            return np.asarray(self._features[position])
        if record.feature is None:
            return None
        if record.mirror_feature is None:
            raise InputError(
                f"{record.where} stores no embedding of the mirror image, which a pack needs; "
                "run 'vec2face data prepare' on the source first."
            )
        return np.stack([record.feature, record.mirror_feature]).astype(np.float16)


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return {row["key"]: row for row in csv.DictReader(stream)}


def _table_corners(row: dict[str, str]) -> np.ndarray:
    if "valid_tl_x" not in row:
        return WHOLE_IMAGE
    return np.array([[float(row[f"valid_{c}_{axis}"]) for axis in "xy"] for c in CORNERS], np.float32)


def _stored_corners(record: FaceRecord) -> np.ndarray:
    if "valid" not in record.facts:
        return WHOLE_IMAGE
    try:
        corners = np.array(record.facts["valid"], np.float32)
    except (TypeError, ValueError):
        corners = np.full((1, 1), np.nan, np.float32)
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        raise InputError(f"{record.where}: 'valid' must be the four corners (x, y) of the region that is real.")
    return corners


def _decode(record: FaceRecord) -> np.ndarray:
    pixels = record.decode()
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise InputError(
            f"{record.where} is {pixels.shape[1]}x{pixels.shape[0]}; a pack takes aligned 112x112 crops: run "
            "'vec2face data prepare' on the source first."
        )
    return pixels
