"""What every writer of a face set offers, and the files it may append to."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vec2face.errors import DatasetError
from vec2face.fileio.atomic import explain_os_error
from vec2face.interchange.selection import Item


@dataclass(frozen=True, eq=False)
class SetFacts:
    """What a writer must know of the whole set before the first image.

    Attributes:
        images: their number.
        people: name of each person; the place is the label.
        counts: `(people,)` images of each.
        columns: the plain facts of images.
        feature_dim: width of the vectors beside the images, or None for none.
    """

    images: int
    people: tuple[str, ...]
    counts: NDArray[np.int64]
    columns: pa.Schema
    feature_dim: int | None


class SetWriter(ABC):
    """Writes one set into a folder, a block of images after another.

    A block is durable when `write` returns. After a stop, at any moment, a new writer's `resume` brings the folder back
    to the end of the last whole block, and what follows gives the bytes of an undisturbed run.

    Attributes:
        format: name of the format.
        takes_features: whether the format has a place for a vector beside each image.
        takes_facts: whether it has one for facts.
        grouped: whether a person's images must stand together.
    """

    format: ClassVar[str]
    takes_features: ClassVar[bool] = False
    takes_facts: ClassVar[bool] = False
    grouped: ClassVar[bool] = False

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        """Take the folder, which exists.

        Args:
            folder: where the set is written.
            facts: of the whole set.
            block: images of one block, the unit of resuming.

        Raises:
            InputError: the format cannot hold such a set.
        """
        self.folder, self.facts, self.block = folder, facts, block

    @abstractmethod
    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        """Make the folder as it was after a whole block.

        Args:
            images: how many a checkpoint says are written; 0 at the start.
            state: what `write` returned then; empty at the start.

        Returns:
            How many images stand; at least `images`.

        Raises:
            DatasetError: less stands than the checkpoint says.
        """

    @abstractmethod
    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        """Write one block, whose first image is at place `start`, and return the state for `resume`.

        Raises:
            StorageError: it cannot be written.
        """

    @abstractmethod
    def finish(self) -> None:
        """Complete the set after its last block; may be repeated. Raises `StorageError`."""

    def close(self) -> None:
        """Let go of open files; what was not made durable may be lost."""
        return None


class GrowingFile:
    """A file that blocks are appended to, and that can be cut back to the end of a block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: IO[bytes] | None = None

    def resume(self, size: int) -> None:
        """Open the file and cut it to `size` bytes.

        Raises:
            DatasetError: it has fewer.
            StorageError: it cannot be written.
        """
        try:
            self._stream = open(self.path, "r+b" if self.path.exists() else "w+b")  # noqa: SIM115  `close` does
            found = self._stream.seek(0, os.SEEK_END)
            if found < size:
                raise DatasetError(
                    f"{self.path} has {found} bytes, but {size} were written; remove {self.path.parent} and run the "
                    "command again."
                )
            self._stream.truncate(size)
            self._stream.seek(size)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._open().tell()

    def append(self, data: bytes) -> None:
        """Write at the end. Raises `StorageError`."""
        try:
            self._open().write(data)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def settle(self) -> int:
        """Make sure that all is on the disk, and return the size. Raises `StorageError`."""
        stream = self._open()
        try:
            stream.flush()
            os.fsync(stream.fileno())
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        return stream.tell()

    def close(self) -> None:
        """Close the file, where it is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self) -> IO[bytes]:
        if self._stream is None:
            raise RuntimeError(f"{self.path} is not open")
        return self._stream
