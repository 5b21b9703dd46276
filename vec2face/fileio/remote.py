"""A file or folder behind a URL, with the part of `pathlib.Path`'s interface that datasets use.

fsspec opens the URL: s3, gs, hf, memory and whatever other file system is installed. An object appears under its name
when all of it has arrived, so a write is atomic without a rename. Nothing is remembered between two calls.
"""

import fnmatch
import hashlib
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from vec2face.errors import StorageError
from vec2face.fileio.atomic import explain_os_error, fingerprint
from vec2face.fileio.file_systems import open_file_system
from vec2face.fileio.local_copies import spool_file
from vec2face.fileio.transfer import BRIEF, PATIENT, attempt, one_line

ResultT = TypeVar("ResultT")

# Written and removed before long work, to find out whether that is allowed.
PROBE_NAME = ".vec2face-probe"

# What tells two versions of a file apart, the surest first.
_VERSION_KEYS = (
    "ETag",
    "etag",
    "md5Hash",
    "blob_id",
    "sha256",
    "generation",
    "crc32c",
    "mtime",
    "LastModified",
    "created",
)

# Buckets that have answered this process. One that never did is given up soon: its name or the address is wrong.
_ANSWERED: set[str] = set()


@dataclass(frozen=True)
class RemoteStat:
    """What a listing says of a file.

    Attributes:
        st_size: bytes.
        version: changes with the file's content (the store's own digest, where it has one).
    """

    st_size: int
    version: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> "RemoteStat":
        """Read it from what fsspec calls a file's info."""
        stamp = next((info[key] for key in _VERSION_KEYS if info.get(key)), "")
        # The same time comes as a number or a date, by the way it was asked for.
        stamp = str(stamp.timestamp() if isinstance(stamp, datetime) else stamp)
        return cls(int(info["size"]), fingerprint([int(info["size"]), stamp]))


@dataclass(frozen=True, order=True)
class RemotePath:
    """See the module.

    Attributes:
        url: PROTOCOL://PLACE, without a slash at the end.
    """

    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.url}/{name}")

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> "RemotePath":
        """The folder it stands in; a bucket is its own."""
        protocol, _, place = self.url.partition("://")
        return RemotePath(f"{protocol}://{place.rpartition('/')[0] or place}")

    @property
    def in_one_process(self) -> bool:
        """Whether no other process sees what is written there."""
        return self.protocol == "memory"

    def with_suffix(self, suffix: str) -> "RemotePath":
        """The same name with another ending."""
        return RemotePath(f"{self.url.removesuffix(self.suffix)}{suffix}")

    def exists(self) -> bool:
        """Whether it is a file, or a folder that holds one. Raises `StorageError`."""
        return self._info() is not None

    def is_file(self) -> bool:
        """Whether it is a file. Raises `StorageError`."""
        info = self._info()
        return info is not None and info["type"] == "file"

    def is_dir(self) -> bool:
        """Whether it is a folder that holds something. Raises `StorageError`."""
        info = self._info()
        return info is not None and info["type"] == "directory"

    def stat(self) -> RemoteStat:
        """Size and version of a file. Raises `FileNotFoundError` or `StorageError`."""
        info = self._info()
        if info is None:
            raise FileNotFoundError(self.url)
        return RemoteStat.of(info)

    def iterdir(self) -> Iterator["RemotePath"]:
        """What stands in the folder, by name; nothing where there is none. Raises `StorageError`."""

        def names(store: Any, place: str) -> list[str]:
            found = [entry["name"].rstrip("/") for entry in store.ls(place, detail=True)]
            # Consoles of object stores put an empty object into a folder, of the folder's own name.
            return sorted({name.rpartition("/")[2] for name in found if name != place.rstrip("/")})

        try:
            listed = self._attempt("list", names)
        except FileNotFoundError:
            return
        yield from (self / name for name in listed)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """What stands in the folder under names of this pattern, by name. Raises `StorageError`."""
        return (entry for entry in self.iterdir() if fnmatch.fnmatchcase(entry.name, pattern))

    def files(self, *, depth: int | None = None) -> dict[str, RemoteStat]:
        """Every file by its path relative to this folder, at any depth or up to `depth`. Raises `StorageError`."""

        def found(store: Any, place: str) -> dict[str, RemoteStat]:
            infos = {
                name: info
                for name, info in store.find(place, maxdepth=depth, detail=True).items()
                if not name.endswith("/")
            }
            return {name.removeprefix(place.rstrip("/") + "/"): RemoteStat.of(info) for name, info in infos.items()}

        try:
            return dict(sorted(self._attempt("list", found).items()))
        except FileNotFoundError:
            return {}

    def read_bytes(self) -> bytes:
        """The whole content. Raises `FileNotFoundError` or `StorageError`."""
        return bytes(self._attempt("read", lambda store, place: store.cat_file(place)))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole content as text. Raises `FileNotFoundError`, `StorageError` or `UnicodeDecodeError`."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open for reading; the stream can be sought, and asks the store for a block at a time.

        Raises `FileNotFoundError` or `StorageError`.
        """
        if mode != "rb":
            raise ValueError(f"a RemotePath is opened with 'rb', not {mode!r}; use `writing` to write")
        stream: IO[bytes] = self._attempt("read", lambda store, place: store.open(place, "rb"))
        return stream

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the content, read in blocks. Raises `FileNotFoundError` or `StorageError`."""

        def digest(store: Any, place: str) -> str:
            with store.open(place, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

        return self._attempt("read", digest)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file. Raises `FileNotFoundError` unless `missing_ok`, or `StorageError`."""
        try:
            self._attempt("remove", lambda store, place: store.rm_file(place))
        except FileNotFoundError:
            if not missing_ok:
                raise

    @contextmanager
    def writing(self, mode: str = "wb") -> Iterator[IO[Any]]:
        """Open a temporary local file; on success it is uploaded, on any error dropped.

        Raises:
            StorageError: the local disk is full, or the store does not take it.
        """
        encoding = None if "b" in mode else "utf-8"
        with spool_file(self.name) as local:
            try:
                with open(local, mode, encoding=encoding) as stream:
                    yield stream
            except OSError as error:
                raise explain_os_error(error, local) from error
            self.upload(local)

    def upload(self, local: Path, *, pauses: Sequence[float] | None = None) -> None:
        """Store a local file under this name; it appears there when all of it has arrived.

        Raises:
            StorageError: the store does not take it.
        """
        size = local.stat().st_size

        def put(store: Any, place: str) -> None:
            store.put_file(str(local), place)
            self._forget(store)
            if (arrived := store.info(place)["size"]) != size:
                raise OSError(f"{arrived} of {size} bytes arrived")

        try:
            self._attempt("write", put, pauses=pauses)
        except FileNotFoundError as error:
            raise StorageError(
                f"cannot write {self}: there is no such bucket or repository ({one_line(error)}); create it first."
            ) from error

    def download(self, local: Path) -> None:
        """Copy the content into a local file. Raises `FileNotFoundError` or `StorageError`."""

        def get(store: Any, place: str) -> None:
            store.get_file(place, str(local))
            self._forget(store)
            if (expected := store.info(place)["size"]) != local.stat().st_size:
                raise OSError(f"{local.stat().st_size} of {expected} bytes arrived")

        self._attempt("read", get)

    def require_writable(self) -> None:
        """Raise `StorageError` unless files can be written in this folder; nothing is left there."""
        if self.protocol == "hf":
            self._require_repository()
            return
        open_file_system(self.url)
        probe = self / PROBE_NAME
        with spool_file(PROBE_NAME) as empty:
            try:
                probe.upload(empty, pauses=BRIEF)
            except StorageError as error:
                raise StorageError(str(error).replace(probe.url, self.url)) from error
        probe.unlink(missing_ok=True)

    def _require_repository(self) -> None:
        """A probe would be two commits in the repository's history; that it exists is asked instead."""
        place = self.url.partition("://")[2].split("/")
        depth = 3 if place[0] in ("datasets", "spaces", "models", "buckets") else 2
        repository = RemotePath(f"hf://{'/'.join(place[:depth])}")
        try:
            repository._attempt("open", lambda store, place: store.ls(place), pauses=BRIEF)
        except FileNotFoundError:
            raise StorageError(f"cannot write {self}: there is no repository {repository}; create it first.") from None

    def _info(self) -> dict[str, Any] | None:
        try:
            info: dict[str, Any] = self._attempt("read", lambda store, place: store.info(place))
        except FileNotFoundError:
            return None
        return info

    def _attempt(
        self, doing: str, action: Callable[[Any, str], ResultT], *, pauses: Sequence[float] | None = None
    ) -> ResultT:
        store, place = open_file_system(self.url)
        bucket = "/".join(self.url.split("/", 3)[:3])

        def once() -> ResultT:
            self._forget(store)
            return action(store, place)

        if pauses is None:
            pauses = PATIENT if bucket in _ANSWERED else BRIEF
        try:
            result = attempt(once, doing=doing, url=self.url, pauses=pauses)
        except FileNotFoundError:
            _ANSWERED.add(bucket)
            raise
        _ANSWERED.add(bucket)
        return result

    @staticmethod
    def _forget(store: Any) -> None:
        store.invalidate_cache()
