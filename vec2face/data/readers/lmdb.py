"""LMDB face sets in the layout of Vec2Face and SOTA-FR; see `vec2face.data.formats.lmdb_values`."""

import os
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb
import numpy as np

from vec2face.data.formats.lmdb_values import (
    CLASSES,
    KEYS,
    LENGTH,
    decode_count,
    decode_keys,
    decode_value,
    key_of,
)
from vec2face.data.readers.base import FaceReader, FaceRecord, PerProcess, cannot_read
from vec2face.errors import InputError


class LmdbReader(FaceReader):
    """A single LMDB file, or a folder with `data.mdb`."""

    format = "LMDB"

    def __init__(self, path: Path) -> None:
        """Open the set.

        Raises:
            InputError: it is no LMDB, is cut short, or lacks its length.
        """
        self.source, self.path = str(path), path
        self._file = path / "data.mdb" if path.is_dir() else path
        self._database = PerProcess(_Opener(path))
        try:
            self._size = self._file.stat().st_size
        except OSError as error:
            raise cannot_read(self._file, error) from None
        database = self._database.get()
        needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
        if needed > self._size:
            # A page beyond the end of the file would end the process when it is touched.
            raise InputError(f"{path} is cut short: it has {self._size} of {needed} bytes; get a complete copy.")
        length = self._get(LENGTH)
        if length is None:
            raise InputError(f"{path} is an LMDB, but of another layout: it has no {LENGTH.decode()}.")
        self._length = decode_count(length, where=f"{path}:{LENGTH.decode()}")
        if not self._length:
            raise InputError(f"{path} holds no images.")
        self._keys = self._other_keys()

    def __len__(self) -> int:
        return self._length

    @property
    def labelled(self) -> bool:
        return True

    @property
    def classes(self) -> int | None:
        data = self._get(CLASSES)
        return None if data is None else decode_count(data, where=f"{self.path}:{CLASSES.decode()}")

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        for position in self.window(start, stop):
            key = self._keys[position] if self._keys is not None else key_of(position)
            name = key.decode("ascii", "replace")
            where = f"{self.path}:{name}"
            data = self._get(key)
            if data is None:
                raise InputError(f"{self.path} states {self._length} images, but has none under the key {name!r}.")
            value = decode_value(data, where=where)
            feature = None if value.feature is None else value.feature.astype(np.float32)
            facts = {} if value.landmarks is None else {"landmark_image": value.landmarks}
            yield FaceRecord(name, value.image, where, value.label, str(value.label), feature, facts=facts)

    def files(self) -> Iterator[tuple[str, int]]:
        yield self._file.name, self._size

    def _other_keys(self) -> list[bytes] | None:
        """Return the keys where they are not simply the numbers from 0 on, which need no list."""
        if self._get(key_of(0)) is not None and self._get(key_of(self._length - 1)) is not None:
            return None
        data = self._get(KEYS)
        if data is None:
            raise InputError(f"{self.path} is an LMDB, but of another layout: it has no {KEYS.decode()}.")
        keys = decode_keys(data, where=f"{self.path}:{KEYS.decode()}")
        if len(keys) != self._length:
            raise InputError(f"{self.path} states {self._length} images, but lists {len(keys)} keys.")
        return keys

    def _get(self, key: bytes) -> bytes | None:
        try:
            with self._database.get().begin() as transaction:
                data: bytes | None = transaction.get(key)
        except lmdb.Error as error:
            raise InputError(f"{self.path} is damaged ({error}); get a complete copy.") from None
        return data


class _Databases:
    """The databases open in this process: a file can be opened once in each only, so that readers of it share it."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._open: WeakValueDictionary[Path, lmdb.Environment] = WeakValueDictionary()

    def get(self, path: Path) -> lmdb.Environment:
        """Return the database, opened for reading. Raises `lmdb.Error`."""
        if self._owner != os.getpid():
            # After a fork the parent's are still counted as open. They hold no locks, and closing them here leaves the
            # parent's as they are.
            for database in list(self._open.values()):
                database.close()
            self._open.clear()
            self._owner = os.getpid()
        path = path.resolve()
        known = self._open.get(path)
        if known is not None:
            return known
        opened = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, meminit=False)
        self._open[path] = opened
        return opened


_DATABASES = _Databases()


class _Opener:
    """Opens the database; a class, so that it can be pickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> lmdb.Environment:
        try:
            return _DATABASES.get(self._path)
        except lmdb.Error as error:
            raise InputError(f"{self._path} is not a readable LMDB ({error}).") from None
