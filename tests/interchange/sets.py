"""What the tests of this package compare: all that a set holds, and all bytes of a folder."""

import hashlib
from pathlib import Path

from vec2face.data.readers import open_reader

FORMATS = ("recordio-insightface", "recordio-im2rec", "lmdb", "folder", "parquet", "webdataset")


def options(format: str) -> dict[str, str]:
    """Return `to` and `dialect` of `export` for the full name of a format."""
    to, _, dialect = format.partition("-")
    return {"to": to, **({"dialect": dialect} if dialect else {})}


def content(source: Path) -> list[tuple[int | None, bytes]]:
    """Return label and bytes of each image, in order."""
    return [(record.label, record.data) for record in open_reader(source)]


def tree(folder: Path) -> dict[str, str]:
    """Return the digest of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
