"""Local copies of what lies behind URLs, for everything that reads a file more than once or at random places.

    COPIES/folders/DIGEST/NAME/       a folder, kept up to date; DIGEST/NAME.json says what it holds
    COPIES/versions/VERSION/          files that never change: VERSION is the digest of what the store says of them

COPIES is `local_copies.copies_folder()`. A file is fetched again when the store's digest (or size and time) of it
changes.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vec2face.errors import InputError, StorageError, Vec2FaceError
from vec2face.fileio.atomic import explain_os_error, fingerprint, write_json
from vec2face.fileio.local_copies import copies_folder, held
from vec2face.fileio.location import Location, parse_location
from vec2face.fileio.remote import RemotePath, RemoteStat
from vec2face.progress import ProgressReporter, SilentProgress

_AT_ONCE = 8


def local_file(location: Location) -> Path:
    """Return a path of this machine with the content of a file: itself, or a copy.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it cannot be read, or the copy not be written.
    """
    if isinstance(location, Path):
        return location
    return local_version(location.parent, {location.name: location.stat()}) / location.name


def local_copy(location: Location, *, progress: ProgressReporter | None = None) -> Path:
    """Return a path of this machine with the content of a file or folder: itself, or a copy brought up to date.

    Raises:
        InputError: there is nothing at the URL.
        StorageError: it cannot be read, or the copy not be written.
    """
    if isinstance(location, Path):
        return location
    return local_file(location) if location.is_file() else local_folder(location, progress=progress)


@contextmanager
def reading(location: Location | str, *, progress: ProgressReporter | None = None) -> Iterator[Path]:
    """Give the `local_copy` of a path, a URL or its text; mistakes that name the copy name the URL instead.

    Raises:
        InputError, StorageError: as `local_copy`.
    """
    location = parse_location(location) if isinstance(location, str) else location
    copy = local_copy(location, progress=progress)
    try:
        yield copy
    except Vec2FaceError as error:
        if isinstance(location, Path) or str(copy) not in str(error):
            raise
        raise type(error)(str(error).replace(str(copy), str(location))) from None


def local_version(folder: RemotePath, files: Mapping[str, RemoteStat]) -> Path:
    """Return a folder of this machine that holds these versions of files, and nothing else.

    Args:
        folder: where they lie.
        files: name -> what `folder.files()` says of it.

    Raises:
        StorageError: they cannot be read, or the copies not be written.
    """
    version = fingerprint({"folder": folder.url, "files": {name: stat.version for name, stat in files.items()}})
    target = copies_folder() / "versions" / version
    if target.is_dir():
        return target
    with held(target.with_name(f"{version}.lock")):
        if target.is_dir():  # another process was first
            return target
        with _writes_explained(target):
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unfinished-"))
        try:
            for name, stat in files.items():
                _fetch(folder / name, stat, temporary / name)
            with _writes_explained(target):
                os.replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def local_folder(location: Location, *, progress: ProgressReporter | None = None) -> Path:
    """Return a folder of this machine with the content of a folder: itself, or a copy brought up to date.

    Files that others put into the copy, such as embeddings of an audit, stay.

    Args:
        location: a folder; behind a URL all files in it are fetched, at any depth.
        progress: receives the stage "fetching".

    Raises:
        InputError: there is nothing at the URL.
        StorageError: it cannot be read, or the copy not be written: the local disk may be too small.
    """
    if isinstance(location, Path):
        return location
    with _Mirror.of(location) as mirror:
        mirror.fetch(progress or SilentProgress())
        return mirror.folder


def send_back(location: Location, *, files: Sequence[str] = (), folders: Sequence[str] = (), but: str = "") -> None:
    """Upload what was written into the copy of `local_folder`; nothing is to be done for a path.

    Args:
        location: what `local_folder` was given.
        files: files, relative to the folder.
        folders: folders, relative to it, which are made there what they are here, at any depth.
        but: name of a folder inside those that stays here.

    Raises:
        StorageError: the store does not take them.
    """
    if isinstance(location, Path):
        return
    with _Mirror.of(location) as mirror:
        for folder in folders:
            here = [path.relative_to(mirror.folder) for path in (mirror.folder / folder).rglob("*") if path.is_file()]
            kept = sorted(path.as_posix() for path in here if but not in path.parts)
            for name in kept:
                mirror.send(name)
            for name in (location / folder).files():
                if f"{folder}/{name}" not in kept:
                    (location / folder / name).unlink(missing_ok=True)
        for name in files:
            mirror.send(name)


class _Mirror:
    """A folder's copy, and the record of what each fetched file was like there and is like here."""

    def __init__(self, location: RemotePath, folder: Path) -> None:
        self.location, self.folder = location, folder
        self._record_file = folder.with_name(f"{folder.name}.json")
        self._record = self._read_record()

    @classmethod
    @contextmanager
    def of(cls, location: RemotePath) -> Iterator["_Mirror"]:
        """Hold the copy for this process alone."""
        folder = copies_folder() / "folders" / fingerprint(location.url)[:16] / location.name
        with held(folder.with_name(f"{folder.name}.lock")):
            mirror = cls(location, folder)
            try:
                yield mirror
            finally:
                write_json(mirror._record_file, {"url": location.url, "files": mirror._record})

    def fetch(self, progress: ProgressReporter) -> None:
        """Make the copy what the folder is."""
        there = self.location.files()
        if not there:
            raise InputError(f"there is nothing at {self.location}.")
        for name in there:
            if ".." in name.split("/") or name.startswith("/"):
                raise InputError(f"{self.location} holds a file named {name!r}, which is refused.")
        for name in self._record.keys() - there.keys():
            (self.folder / name).unlink(missing_ok=True)
            del self._record[name]
        wanted = {name: stat for name, stat in there.items() if not self._stands(name, stat)}
        self._require_space(sum(stat.st_size for stat in wanted.values()))
        total = sum(stat.st_size for stat in there.values())
        missing = sum(stat.st_size for stat in wanted.values())
        progress.begin(f"fetching {self.location}", total=total, unit="bytes", done=total - missing)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            fetches = [partial(self._fetch, name, stat) for name, stat in wanted.items()]
            for stat in pool.map(_call, fetches):
                progress.advance(stat.st_size)

    def send(self, name: str) -> None:
        """Upload one file of the copy."""
        target = self.location / name
        target.upload(self.folder / name)
        self._record[name] = self._state(name, target.stat())

    def _fetch(self, name: str, stat: RemoteStat) -> RemoteStat:
        target = self.folder / name
        with _writes_explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(self.location / name, stat, target)
        self._record[name] = self._state(name, stat)
        return stat

    def _stands(self, name: str, stat: RemoteStat) -> bool:
        return name in self._record and self._record[name] == self._state(name, stat)

    def _state(self, name: str, stat: RemoteStat) -> dict[str, Any] | None:
        """What the record says of a file whose copy is as it was fetched."""
        try:
            here = (self.folder / name).stat()
        except OSError:
            return None
        return {"version": stat.version, "size": here.st_size, "written": here.st_mtime_ns}

    def _require_space(self, needed: int) -> None:
        with _writes_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise StorageError(
                f"a local copy of {self.location} needs {needed / 1e6:,.1f} MB more in {self.folder}, where "
                f"{free / 1e6:,.1f} MB are free; name a larger disk by VEC2FACE_CACHE."
            )

    def _read_record(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._record_file.read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # a copy without its record is fetched anew
        return record


def _fetch(source: RemotePath, stat: RemoteStat, target: Path) -> None:
    """Download a file so that it either stands complete under its name or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        source.download(temporary)
        with _writes_explained(target):
            os.replace(temporary, target)
    except FileNotFoundError:
        raise StorageError(f"{source} has gone while it was read; run the same command again.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _call(action: Callable[[], RemoteStat]) -> RemoteStat:
    return action()


@contextmanager
def _writes_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path) from error
