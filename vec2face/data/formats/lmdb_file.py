"""An LMDB of a face set that is written in transactions, and can be gone on with after the last whole one.

Equal records in equal transactions give equal bytes, also where a run was stopped between or within them: a page of an
unfinished transaction is written over, LMDB keeps no state between transactions but the file, and memory that goes to
the file is cleared first.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType

import lmdb
import msgpack

from vec2face.data.formats.lmdb_values import CLASSES, KEYS, LENGTH, LmdbValue, encode_value, key_of
from vec2face.errors import InputError
from vec2face.fileio.atomic import explain_os_error

_FIRST_MAP_BYTES = 1 << 26
RECORDS_HELD = 5_000  # of one transaction, in memory


class LmdbFile:
    """A single-file LMDB in the layout of `vec2face.data.formats.lmdb_values`; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file for writing, making it where there is none.

        Raises:
            StorageError: it cannot be written.
            InputError: it stands there, but is no LMDB.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The size of the map is kept in the file; 0 takes it from there.
            size = 0 if path.exists() else _FIRST_MAP_BYTES
            self._database = lmdb.open(str(path), subdir=False, map_size=size, lock=False)
        except OSError as error:
            raise explain_os_error(error, path) from error
        except lmdb.DiskError as error:
            raise explain_os_error(OSError(str(error)), path) from error
        except lmdb.Error as error:
            raise InputError(f"{path} cannot be gone on with: it is no LMDB ({error}); remove it.") from None

    def __enter__(self) -> "LmdbFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called on it."""
        with self._database.begin() as transaction:
            return transaction.get(LENGTH) is not None

    @property
    def count(self) -> int:
        """Number of records in whole transactions."""
        return int(self._database.stat()["entries"]) - (3 if self.finished else 0)

    def append(self, values: Sequence[LmdbValue]) -> None:
        """Write the next records in one transaction; they are held in memory. Raises `StorageError`."""
        first = self.count
        self._commit([(key_of(first + place), encode_value(value)) for place, value in enumerate(values)])

    def finish(self, *, classes: int) -> None:
        """Write the list of keys, the length, and `classes`, the number of people. Raises `StorageError`."""
        if self.finished:
            return
        count, packer = self.count, msgpack.Packer()
        keys = bytearray(packer.pack_array_header(count))
        for index in range(count):
            keys += packer.pack(key_of(index))
        self._commit([(KEYS, bytes(keys)), (LENGTH, msgpack.packb(count)), (CLASSES, msgpack.packb(classes))])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _commit(self, block: list[tuple[bytes, bytes]]) -> None:
        try:
            while True:
                try:
                    with self._database.begin(write=True) as transaction:
                        for key, value in block:
                            transaction.put(key, value)
                    break
                except lmdb.MapFullError:
                    # The whole transaction is void; a map twice the size costs address space, not disk.
                    self._database.set_mapsize(2 * self._database.info()["map_size"])
            self._database.sync(True)
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        except lmdb.DiskError as error:
            raise explain_os_error(OSError(str(error)), self.path) from error


def write_lmdb(path: Path, values: Iterable[LmdbValue], *, classes: int) -> int:
    """Write a whole file; it appears under its name when all of it is written.

    Args:
        path: the file.
        values: the records, consumed one at a time.
        classes: number of people, for `__classnum__`.

    Returns:
        The number of records.

    Raises:
        StorageError: it cannot be written; nothing is left then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with LmdbFile(temporary) as file:
            waiting = iter(values)
            while block := list(islice(waiting, RECORDS_HELD)):
                file.append(block)
            file.finish(classes=classes)
            count = file.count
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    return count
