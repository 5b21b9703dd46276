"""Write a file so that it either stands complete under its name or not at all."""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vec2face.errors import StorageError

if TYPE_CHECKING:
    from vec2face.fileio.location import Location

_EXPLANATIONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.EACCES: "permission denied; choose a folder you can write to",
    errno.EPERM: "permission denied; choose a folder you can write to",
    errno.EEXIST: "a file stands where a folder is needed; choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
}


def explain_os_error(error: OSError, path: "Location | str") -> StorageError:
    """Turn an operating-system error at `path` into one clear sentence."""
    reason = _EXPLANATIONS.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"cannot write {path}: {reason}.")


@contextmanager
def atomic_write(path: "Location", mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success flush it to disk and rename it, on any error remove it.

    Behind a URL the temporary file is a local one, and is uploaded in place of the renaming.

    Raises:
        StorageError: the disk is full, read-only, or the folder cannot be written; or the store does not take it.
    """
    if not isinstance(path, Path):
        with path.writing(mode) as stream:
            yield stream
        return
    # Not by process id: machines that share the folder may have processes of the same number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise explain_os_error(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: "Location", data: bytes) -> None:
    """Write `data` atomically; see `atomic_write`."""
    with atomic_write(path, "wb") as stream:
        stream.write(data)


def write_text(path: "Location", text: str) -> None:
    """Write UTF-8 text atomically; see `atomic_write`."""
    with atomic_write(path, "w") as stream:
        stream.write(text)


def write_json(path: "Location", values: Any) -> None:
    """Write JSON atomically, keys sorted, indented, with a final newline, so that equal values give equal bytes."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_file(path: "Location") -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks of 1 MiB."""
    if not isinstance(path, Path):
        return path.sha256()
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(values: Any) -> bytes:
    """JSON bytes with sorted keys and no spaces: the form that fingerprints hash."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def fingerprint(values: Any) -> str:
    """SHA-256 of `canonical_json(values)`, hexadecimal."""
    return hashlib.sha256(canonical_json(values)).hexdigest()
