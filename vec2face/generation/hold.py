"""Who may write to a dataset folder: one run alone, or several that each render a part of it. No torch here.

A hold ends with its process, however that ends. Where there are no advisory locks (some network file systems, stores
behind URLs, Windows), nothing is held: every file is written atomically, so that runs at worst do work twice.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vec2face.errors import DatasetError
from vec2face.generation.folder import DatasetFolder

# The first of several runs holds the folder alone while it writes the description and the bank.
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.2


class FolderInUseError(DatasetError):
    """Another run is writing to the folder."""


@contextmanager
def exclusive(folder: DatasetFolder) -> Iterator[None]:
    """Hold the folder against every other run.

    Raises:
        FolderInUseError: another run is writing to the folder.
    """
    with _opened(folder) as descriptor:
        if descriptor is not None and _lock(descriptor, alone=True) is False:
            raise _in_use(folder)
        yield


@contextmanager
def shared(folder: DatasetFolder) -> Iterator["SharedHold"]:
    """Hold the folder together with other runs that render parts of it, against those that want it alone.

    Waits a while for one that holds it alone: it may be beginning the dataset.

    Raises:
        FolderInUseError: a run still holds the folder alone.
    """
    with _opened(folder) as descriptor:
        if descriptor is None:
            yield SharedHold(alone=False, admit_others=lambda: None)
            return

        def share() -> None:
            deadline = time.monotonic() + _WAIT_SECONDS
            while _lock(descriptor, alone=False) is False:
                if time.monotonic() > deadline:
                    raise _in_use(folder)
                time.sleep(_POLL_SECONDS)

        alone = _lock(descriptor, alone=True) is True
        if not alone:
            share()
        yield SharedHold(alone=alone, admit_others=share)


class SharedHold:
    """A hold that begins alone where nobody else was there.

    Attributes:
        alone: whether no other run is writing, until `admit_others` is called.
        admit_others: let other runs that render parts hold the folder too.
    """

    def __init__(self, *, alone: bool, admit_others: Callable[[], None]) -> None:
        self.alone, self.admit_others = alone, admit_others


@contextmanager
def _opened(folder: DatasetFolder) -> Iterator[int | None]:
    if sys.platform == "win32" or not isinstance(folder.root, Path):
        yield None
        return
    descriptor = os.open(folder.root, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, alone: bool) -> bool | None:
    """Return whether the lock was taken; None where there are no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _in_use(folder: DatasetFolder) -> FolderInUseError:
    return FolderInUseError(f"another run is writing to {folder.root}; wait until it ends, or choose another folder.")
