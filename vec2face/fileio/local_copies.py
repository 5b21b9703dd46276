"""Where local copies of what lies behind URLs are kept, and temporary files on their way to a store."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vec2face.fileio.atomic import explain_os_error
from vec2face.home import home_folder

COPIES_VARIABLE = "VEC2FACE_CACHE"
# A file this young may belong to a process that has not locked it yet.
_SURELY_LOCKED_SECONDS = 60


def copies_folder() -> Path:
    """Return the folder that VEC2FACE_CACHE names, or `stores` in `home_folder()`; it may be removed at any time."""
    named = os.environ.get(COPIES_VARIABLE)
    return Path(named) if named else home_folder() / "stores"


@contextmanager
def spool_file(name: str) -> Iterator[Path]:
    """Give a new empty file for content on its way to a store; it is gone afterwards.

    What killed processes left is removed by the next one: a spool file belongs to whoever holds a lock on it.

    Args:
        name: how the file's name ends.

    Raises:
        StorageError: it cannot be made.
    """
    folder = copies_folder() / "spool"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder)
        descriptor, made = tempfile.mkstemp(dir=folder, suffix=f"-{name}")
    except OSError as error:
        raise explain_os_error(error, folder) from error
    path = Path(made)
    try:
        _lock(descriptor)
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for whoever holds it; where there are no locks, nothing is held.

    Raises:
        StorageError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool = True) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or no locks on this file system
        return False
    return True


@cache
def _remove_orphans(folder: Path) -> None:
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime < _SURELY_LOCKED_SECONDS:
                continue
            descriptor = os.open(entry, os.O_RDWR)
            try:
                if _lock(descriptor, wait=False):
                    entry.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
