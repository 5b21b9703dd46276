"""Tar archives whose bytes depend on their members alone, and a reader that refuses hostile ones.

Format: POSIX.1-1988 "ustar" (IEEE Std 1003.1, pax), as WebDataset shards use it.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vec2face.errors import InputError
from vec2face.fileio.atomic import atomic_write
from vec2face.fileio.location import Location

# An archive ends with two blocks of zeros; a file cut off between two members is recognised by their absence.
_END_OF_ARCHIVE = 2 * tarfile.BLOCKSIZE


class _HashingWriter(io.RawIOBase):
    """A write-only stream that hashes what passes through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.digest.update(data)
        return self._stream.write(data)


def write_tar(path: Location, members: Iterable[tuple[str, bytes]]) -> str:
    """Write a ustar archive atomically: the given order, mtime 0, uid and gid 0, no owner names, mode 0644.

    Args:
        path: the archive; its folder is made when absent.
        members: name and content of each file. Consumed one at a time, so an archive need not fit in memory.

    Returns:
        The hexadecimal SHA-256 of the archive.

    Raises:
        InputError: a name is unsafe (see `read_tar`), occurs twice, or does not fit the ustar format.
        StorageError: the archive cannot be written; nothing is left under `path`.
    """
    seen: set[str] = set()
    with atomic_write(path) as stream:
        writer = _HashingWriter(stream)
        # Streaming mode ("w|") writes strictly forward, which is what lets the digest be taken on the way.
        with tarfile.open(fileobj=writer, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in members:
                _require_safe_name(name, path)
                if name in seen:
                    raise InputError(f"cannot write {path}: two members are named {name!r}.")
                seen.add(name)
                header = tarfile.TarInfo(name)
                header.size = len(data)
                header.mode = 0o644
                try:
                    archive.addfile(header, io.BytesIO(data))
                except ValueError as error:
                    raise InputError(f"cannot write {path}: member {name!r}: {error}.") from None
    return writer.digest.hexdigest()


@dataclass(frozen=True, slots=True)
class TarFile:
    """Where a file stands in an archive.

    Attributes:
        name: its name.
        header: byte at which its header begins; `scan_tar` can start there.
        data, size: first byte and number of bytes of its content.
    """

    name: str
    header: int
    data: int
    size: int


def read_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file in an uncompressed tar archive, in archive order.

    Folder entries carry no data and are passed over. Nothing is ever extracted to disk.

    Raises:
        InputError: as `scan_tar`.
    """
    try:
        with open(path, "rb") as stream:
            for member in scan_tar(path):
                stream.seek(member.data)
                yield member.name, stream.read(member.size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None


def scan_tar(path: Path, *, start: int = 0) -> Iterator[TarFile]:
    """Yield where each file stands, in archive order, reading headers only.

    Args:
        path: an uncompressed archive.
        start: begin at this byte, which is the header of a file.

    Raises:
        InputError: the file is missing, is not a tar archive, is cut short, or holds a member that could reach outside
            a folder it is extracted to (an absolute name, `..`, a link, a device).
    """
    try:
        with open(path, "rb") as stream:
            stream.seek(start)
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                size = path.stat().st_size
                for member in archive:
                    _require_safe_name(member.name, path)
                    if member.isdir():
                        continue
                    if not member.isreg() or member.issparse():
                        raise InputError(
                            f"{path} holds {member.name!r}, a link or a device, not a plain file; it is refused."
                        )
                    # Checked here, so that a forged size cannot ask for more memory than the file has bytes.
                    if member.offset_data + member.size > size:
                        raise InputError(
                            f"{path} is cut short inside {member.name!r}; fetch or make the archive again."
                        )
                    yield TarFile(member.name, member.offset, member.offset_data, member.size)
                    # tarfile remembers every member; forgetting them keeps memory flat over long archives.
                    archive.members = []  # type: ignore[attr-defined]
            if not _ends_with_zero_blocks(stream, size):
                raise InputError(f"{path} is cut short: its end mark is missing; fetch or make the archive again.")
    except tarfile.TarError as error:
        raise InputError(f"{path} is not a readable uncompressed tar archive: {error}.") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None


def _ends_with_zero_blocks(stream: IO[bytes], size: int) -> bool:
    stream.seek(max(0, size - _END_OF_ARCHIVE))
    return stream.read() == bytes(_END_OF_ARCHIVE)


def _require_safe_name(name: str, path: Location) -> None:
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) == 2 and parts[0].endswith(":")
    if not name or "\0" in name or parts[0] == "" or drive or ".." in parts:
        raise InputError(f"{path} holds a member named {name!r}, which could reach outside its folder; it is refused.")
