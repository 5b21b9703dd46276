"""An LMDB of a face set that is written in transactions, and can be gone on with after the last whole one.

Equal records in equal transactions give equal bytes, also where a run was stopped between or within them: a page of an
unfinished transaction is written over, and the file is opened anew for each transaction, since LMDB uses the memory of
written pages again without clearing it.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import lmdb
import msgpack

from vec2face.data.formats.lmdb_values import CLASSES, KEYS, LENGTH, LmdbValue, encode_value, key_of
from vec2face.errors import InputError
from vec2face.fileio.atomic import explain_os_error

_FIRST_MAP_BYTES = 1 << 26
RECORDS_HELD = 5_000  # of one transaction, in memory


class LmdbFile:
    """A single-file LMDB in the layout of `vec2face.data.formats.lmdb_values`.

    Attributes:
        path: the file.
        count: number of records in whole transactions.
        finished: whether `finish` has been called on it.
    """

    def __init__(self, path: Path) -> None:
        """Make the file, or find out how far it is.

        Raises:
            StorageError: it cannot be written.
            InputError: it stands there, but is no LMDB.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open(0 if path.exists() else _FIRST_MAP_BYTES) as database, database.begin() as transaction:
                self.finished = transaction.get(LENGTH) is not None
                self.count = int(database.stat()["entries"]) - (3 if self.finished else 0)
        except OSError as error:
            raise explain_os_error(error, path) from error
        except lmdb.DiskError as error:
            raise explain_os_error(OSError(str(error)), path) from error
        except lmdb.Error as error:
            raise InputError(f"{path} cannot be gone on with: it is no LMDB ({error}); remove it.") from None

    def append(self, values: Sequence[LmdbValue]) -> None:
        """Write the next records in one transaction; they are held in memory. Raises `StorageError`."""
        self._commit([(key_of(self.count + place), encode_value(value)) for place, value in enumerate(values)])
        self.count += len(values)

    def finish(self, *, classes: int) -> None:
        """Write the list of keys, the length, and `classes`, the number of people. Raises `StorageError`."""
        if self.finished:
            return
        packer = msgpack.Packer()
        keys = bytearray(packer.pack_array_header(self.count))
        for index in range(self.count):
            keys += packer.pack(key_of(index))
        self._commit([(KEYS, bytes(keys)), (LENGTH, msgpack.packb(self.count)), (CLASSES, msgpack.packb(classes))])
        self.finished = True

    def _commit(self, block: list[tuple[bytes, bytes]]) -> None:
        size = 0
        try:
            while True:
                with self._open(size) as database:
                    try:
                        with database.begin(write=True) as transaction:
                            for key, value in block:
                                transaction.put(key, value)
                        database.sync(True)
                        return
                    except lmdb.MapFullError:
                        # The whole transaction is void; a map twice the size costs address space, not disk.
                        size = 2 * database.info()["map_size"]
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        except lmdb.DiskError as error:
            raise explain_os_error(OSError(str(error)), self.path) from error

    def _open(self, map_bytes: int) -> lmdb.Environment:
        """Open the file; a size of 0 takes that which it was written with."""
        return lmdb.open(str(self.path), subdir=False, map_size=map_bytes, lock=False)


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
        file = LmdbFile(temporary)
        waiting = iter(values)
        while block := list(islice(waiting, RECORDS_HELD)):
            file.append(block)
        file.finish(classes=classes)
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    return file.count
