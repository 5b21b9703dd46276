"""A table of facial landmarks: CSV with the columns key, x1, y1, ..., x5, y5 (pixels), in any order, others left aside.

The points are eyes, nose, mouth corners, the image's left first; `key` is the image's name as its reader gives it.
"""

import csv
import hashlib
from array import array
from pathlib import Path

import numpy as np

from vec2face.data.readers.base import cannot_read
from vec2face.errors import InputError

COLUMNS = tuple(f"{axis}{point}" for point in range(1, 6) for axis in "xy")


class LandmarkTable:
    """Landmarks by key, in 48 bytes a row: keys are held as 64-bit hashes."""

    def __init__(self, path: Path) -> None:
        """Read the table.

        Raises:
            InputError: it cannot be read, lacks a column, has a value that is no finite number, or a key twice.
        """
        hashes, values = array("Q"), array("f")
        try:
            with open(path, newline="", encoding="utf-8-sig") as stream:
                rows = csv.DictReader(stream)
                missing = [name for name in ("key", *COLUMNS) if name not in (rows.fieldnames or ())]
                if missing:
                    raise InputError(f"{path} has no column {missing[0]!r}; landmarks are key, x1, y1, ..., x5, y5.")
                for row in rows:
                    hashes.append(_hash(row["key"]))
                    values.extend(_numbers(row, path, rows.line_num))
        except OSError as error:
            raise cannot_read(path, error) from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} is not a table in UTF-8 ({error}).") from None
        keys = np.array(hashes, np.uint64)
        order = np.argsort(keys, kind="stable")
        self._keys, self._points = keys[order], np.array(values, np.float32).reshape(-1, 5, 2)[order]
        repeated = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if len(repeated):
            lines = sorted(int(order[place]) + 2 for place in (repeated[0], repeated[0] + 1))
            raise InputError(f"{path} has the same key twice, in rows {lines[0]} and {lines[1]}.")

    def find(self, key: str) -> np.ndarray | None:
        """Return the landmarks, float32 `(5, 2)`, or None where the table has none for this key."""
        wanted = _hash(key)
        place = int(np.searchsorted(self._keys, np.uint64(wanted)))
        found = place < len(self._keys) and int(self._keys[place]) == wanted
        return self._points[place] if found else None


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _numbers(row: dict[str, str], path: Path, line: int) -> list[float]:
    try:
        numbers = [float(row[name]) for name in COLUMNS]
    except (TypeError, ValueError):
        numbers = [float("nan")]
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}, line {line}: a landmark is not a number.")
    return numbers
