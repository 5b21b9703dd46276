"""Write a `.rec` file with its `.idx`."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from vec2face.data.formats.recordio import frame, index_line
from vec2face.errors import InputError
from vec2face.fileio.atomic import atomic_write


class RecordWriter:
    """Writes records one after another; use it as a context manager. Both files appear when it ends without an error.

    Raises:
        InputError: `path` does not end in `.rec`.
        StorageError: a file cannot be written; nothing is left then.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".rec":
            raise InputError(f"a RecordIO file is named .rec, not {path.name}.")
        self.path, self.index = path, path.with_suffix(".idx")
        self._keys: set[int] = set()

    def __enter__(self) -> "RecordWriter":
        with ExitStack() as stack:
            # The index is opened first and so renamed last: where it stands, the records stand.
            self._index = stack.enter_context(atomic_write(self.index))
            self._records = stack.enter_context(atomic_write(self.path))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def write(self, key: int, payload: bytes) -> None:
        """Add a record. Raises `InputError` if its key is taken, or negative."""
        if key < 0 or key in self._keys:
            raise InputError(
                f"cannot write {self.path}: the key {key} is {'negative' if key < 0 else 'taken already'}."
            )
        self._keys.add(key)
        self._index.write(index_line(key, self._records.tell()).encode("ascii"))
        self._records.write(frame(payload))


def property_line(classes: int, size: int) -> str:
    """Return the content of insightface's `property` file: number of people, height and width of the images."""
    return f"{classes},{size},{size}\n"
