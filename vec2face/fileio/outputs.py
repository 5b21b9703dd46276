"""Check an output before the work that fills it."""

import tempfile
from pathlib import Path

from vec2face.errors import InputError
from vec2face.fileio.atomic import explain_os_error
from vec2face.fileio.location import Location


def require_new(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that stands there already or could not be written; nothing is created.

    Args:
        path: the file or folder to be written.
        overwrite: whether the user asked to replace what is there.

    Raises:
        InputError: it exists, and `overwrite` was not asked for.
        StorageError: the nearest folder that exists above it cannot be written.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another name or add --overwrite.")
    require_writable(path.resolve().parent, output=path)


def require_writable(folder: Location, *, output: Location) -> None:
    """Raise `StorageError`, naming `output`, unless a file can be written in `folder`, which need not exist yet.

    The nearest folder that exists above it is tried; nothing is left there.
    """
    if not isinstance(folder, Path):
        folder.require_writable()
        return
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    try:
        # Asking for permission bits is not enough: a read-only or network file system refuses on its own.
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        raise explain_os_error(error, output) from None
