"""MXNet RecordIO face sets: a `.rec` with its `.idx`, as insightface's and im2rec's tools write them.

In insightface's dialect record 0 is a header that says where the images end and the records of the people begin; in
im2rec's every record is an image. A `.lst` beside the set gives the images' paths, a file `property` the number of
people.
"""

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from vec2face.data.formats.recordio import (
    EXACT_LABELS,
    PackHeader,
    parse_index,
    peek,
    read_record,
    skip_record,
    unpack,
)
from vec2face.data.readers.base import FaceReader, FaceRecord, PerProcess, cannot_read
from vec2face.errors import InputError

_LINES = 1 << 16
_HEADER_BYTES = 64


class RecordIoReader(FaceReader):
    """A `.rec` file. Without its `.idx` the file is walked through once, record by record, to find them."""

    format = "MXNet RecordIO"

    def __init__(self, path: Path) -> None:
        """Open the set and read its index.

        Raises:
            InputError: a file cannot be read, is damaged, or the index does not fit the records.
        """
        self.source, self.path = str(path), path
        self._stream = PerProcess(_Opener(path))
        try:
            self._size = path.stat().st_size
        except OSError as error:
            raise cannot_read(path, error) from None
        index = path.with_suffix(".idx")
        keys, offsets = _read_index(index) if index.is_file() else self._walk()
        if not len(keys):
            raise InputError(f"{path} holds no records.")
        if int(offsets.max()) >= self._size:
            raise InputError(
                f"{index} points to byte {int(offsets.max())}, but {path} has {self._size} bytes; they do not belong "
                "together, or the file is cut short."
            )
        order = np.argsort(keys, kind="stable")
        keys, offsets = keys[order], offsets[order]
        if (keys[1:] == keys[:-1]).any():
            raise InputError(f"{index} names the key {int(keys[1:][keys[1:] == keys[:-1]][0])} twice.")
        self._keys, self._offsets, self._people = self._images(keys, offsets)
        self._lines = _ListFile(path.with_suffix(".lst"))
        self._property = path.with_name("property")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def labelled(self) -> bool:
        return True

    @property
    def classes(self) -> int | None:
        if not self._property.is_file():
            return self._people
        try:
            text = self._property.read_text(encoding="ascii").strip()
            classes = int(text.split(",")[0])
        except (OSError, ValueError):
            raise InputError(f"{self._property} must hold 'people,height,width', such as 10572,112,112.") from None
        if self._people is not None and classes != self._people:
            raise InputError(
                f"{self._property} says {classes} people, but {self.path} has records of {self._people}; remove it."
            )
        return classes

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        for position in self.window(start, stop):
            key = int(self._keys[position])
            where = f"{self.path}:{key}"
            header, image = unpack(self._payload(int(self._offsets[position])), where=where)
            label = _label(header, where)
            facts = {"id": header.id, "id2": header.id2}
            path = self._lines.path_of(key)
            extra = {"labels": list(header.labels)} if len(header.labels) > 1 else {}
            yield FaceRecord(path or str(key), image, where, label, str(label), facts={**facts, **extra, "index": key})

    def outlines(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        for position in self.window(start, stop):
            key = int(self._keys[position])
            where = f"{self.path}:{key}"
            label = _label(self._header(int(self._offsets[position]), where), where)
            yield FaceRecord(self._lines.path_of(key) or str(key), b"", where, label, str(label))

    def files(self) -> Iterator[tuple[str, int]]:
        yield self.path.name, self._size

    def _payload(self, offset: int) -> bytes:
        try:
            stream = self._stream.get()
            stream.seek(offset)
            payload = read_record(stream, where=str(self.path))
        except OSError as error:
            raise cannot_read(self.path, error) from None
        if payload is None:
            raise InputError(f"{self.path} ends where the record at byte {offset} should begin.")
        return payload

    def _header(self, offset: int, where: str) -> PackHeader:
        """Read the header of a record without its image."""
        try:
            stream = self._stream.get()
            stream.seek(offset)
            start = stream.read(_HEADER_BYTES)
        except OSError as error:
            raise cannot_read(self.path, error) from None
        try:
            header = peek(start, where=where)
        except InputError:
            header = None
        # Labels that do not fit, a record in parts, or no record at all: read all of it, and say what is wrong.
        return header or unpack(self._payload(offset), where=where)[0]

    def _images(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, int | None]:
        """Leave the images' keys and offsets alone; with insightface's header also the number of people."""
        if keys[0] != 0:
            return keys, offsets, None
        header, image = unpack(self._payload(int(offsets[0])), where=f"{self.path}:0")
        if image or len(header.labels) != 2:
            return keys, offsets, None
        first, end = header.labels
        if not (math.isfinite(first) and math.isfinite(end) and 1 <= first <= end):
            raise InputError(
                f"{self.path} has a header of {first} and {end}, which are no bounds of its people's records."
            )
        # From here on float32 skips whole numbers, so the place where images end is looked for.
        last = self._first_without_image(keys, offsets) if first >= EXACT_LABELS else int(np.searchsorted(keys, first))
        images = keys[1:last]
        if len(images) != (images[-1] if len(images) else 0) or (
            first < EXACT_LABELS and len(images) != int(first) - 1
        ):
            raise InputError(
                f"the header of {self.path} promises {int(first) - 1} images, but its index has {len(images)} of them; "
                "the set is incomplete."
            )
        return images, offsets[1:last], len(keys) - last

    def _walk(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the records without an index, and number them as the index would."""
        offsets = array("q")
        try:
            stream = self._stream.get()
            stream.seek(0)
            offset = 0
            while skip_record(stream, size=self._size, where=str(self.path)):
                offsets.append(offset)
                offset = stream.tell()
        except OSError as error:
            raise cannot_read(self.path, error) from None
        keys = np.arange(len(offsets), dtype=np.int64)
        if len(offsets):
            header, image = unpack(self._payload(offsets[-1]), where=f"{self.path}: the last record")
            if not image and len(header.labels) == 2:
                # insightface's header is written last, under the key 0, after the images from key 1 on.
                keys = np.concatenate([keys[1:], keys[:1]])
        return keys, np.array(offsets, np.int64)

    def _first_without_image(self, keys: np.ndarray, offsets: np.ndarray) -> int:
        low, high = 1, len(keys)
        while low < high:
            middle = (low + high) // 2
            has_image = bool(unpack(self._payload(int(offsets[middle])), where=f"{self.path}:{int(keys[middle])}")[1])
            low, high = (middle + 1, high) if has_image else (low, middle)
        return low


class _Opener:
    """Opens a file for reading; a class, so that it can be pickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> IO[bytes]:
        return open(self._path, "rb")


class _ListFile:
    """The `.lst` of a set: index, label(s) and path with tabs between; only the places of its lines are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = PerProcess(_Opener(path))
        self._keys: np.ndarray | None = None

    def path_of(self, key: int) -> str | None:
        """Return the path of the image with this key, or None if the list does not name it."""
        if self._keys is None:
            self._read()
        keys = self._keys
        place = int(np.searchsorted(keys, key)) if keys is not None else 0
        if keys is None or place == len(keys) or keys[place] != key:
            return None
        stream = self._stream.get()
        stream.seek(int(self._starts[place]))
        return stream.readline().rstrip(b"\r\n").split(b"\t")[-1].decode("utf-8", "replace")

    def _read(self) -> None:
        keys, starts, place = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for block in _line_blocks(self._path) if self._path.is_file() else ():
            fields = [line.split(b"\t", 1) for line in block]
            lengths = np.array([len(line) + 1 for line in block], np.int64)
            try:
                keys.append(np.array([int(parts[0]) for parts in fields if len(parts) == 2], np.int64))
            except (ValueError, OverflowError):
                raise InputError(
                    f"{self._path} is not a list: its lines are index, label and path with tabs."
                ) from None
            if len(keys[-1]) < len(block):
                raise InputError(f"{self._path} is not a list: its lines are index, label and path with tabs.")
            starts.append(place + np.concatenate([[0], np.cumsum(lengths)[:-1]]))
            place += int(lengths.sum())
        joined, begins = np.concatenate(keys), np.concatenate(starts)
        order = np.argsort(joined, kind="stable")
        self._keys, self._starts = joined[order], begins[order]


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray]:
    parts = [parse_index([line for line in block if line], where=str(path)) for block in _line_blocks(path)]
    if not parts:
        raise InputError(f"{path} is empty; remove it, and the records are found without it.")
    return np.concatenate([keys for keys, _ in parts]), np.concatenate([offsets for _, offsets in parts])


def _line_blocks(path: Path) -> Iterator[list[bytes]]:
    """Yield a file's lines, without their ends, in blocks."""
    try:
        with open(path, "rb") as stream:
            block: list[bytes] = []
            for line in stream:
                block.append(line.removesuffix(b"\n"))
                if len(block) == _LINES:
                    yield block
                    block = []
            if block:
                yield block
    except OSError as error:
        raise cannot_read(path, error) from None


def _label(header: PackHeader, where: str) -> int:
    label = header.labels[0]
    if not (math.isfinite(label) and label >= 0 and label == int(label)):
        raise InputError(f"{where} has the label {label}, which is no number of a person.")
    return int(label)
