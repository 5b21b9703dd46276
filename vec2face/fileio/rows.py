"""A `.npy` file filled in a few rows at a time, in any order, that may be larger than memory.

Rows are written through the file and read through a memory map. Writing through the map as well would be shorter, but
on a full disk the system then ends the process (SIGBUS), where a write fails with an error that can be told.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vec2face.fileio.atomic import explain_os_error


class RowFile:
    """An array on disk; see the module.

    Args:
        path: a `.npy` file that `create` made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = np.lib.format.open_memmap(path, mode="r")
        self._row_bytes = self._map.nbytes // max(1, len(self._map))
        self._data_starts = path.stat().st_size - self._map.nbytes
        self._stream = open(path, "r+b", buffering=0)  # noqa: SIM115  lives as long as the array

    @staticmethod
    def create(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Make the file, replacing one that is there. Rows not written yet read as zeros and take no disk.

        Raises:
            StorageError: it cannot be written.
        """
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        try:
            with open(path, "wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                stream.truncate(stream.tell() + dtype.itemsize * int(np.prod(shape)))
        except OSError as error:
            raise explain_os_error(error, path) from error

    def write(self, start: int, rows: NDArray) -> None:
        """Write rows from index `start` on.

        Args:
            start: the first row's index.
            rows: `(n, ...)`, cast to the file's type.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        data = memoryview(np.asarray(rows, dtype=self._map.dtype).tobytes())
        try:
            self._stream.seek(self._data_starts + start * self._row_bytes)
            while data:
                data = data[self._stream.write(data) :]
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def flush(self) -> None:
        """Make sure that what was written is on the disk. Raises `StorageError`."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def read(self) -> NDArray:
        """The whole array, a read-only memory map."""
        return self._map
