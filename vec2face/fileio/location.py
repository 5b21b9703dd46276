"""What a user names: a path on this machine, or a URL. No file system is touched here."""

import re
from pathlib import Path

from vec2face.errors import InputError
from vec2face.fileio.remote import RemotePath

Location = Path | RemotePath

_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
_COLLAPSED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LOCAL = ("file", "local")


def is_url(text: object) -> bool:
    """Tell whether a text is a URL (PROTOCOL://...) rather than a path."""
    return isinstance(text, RemotePath) or _URL.match(str(text)) is not None


def refuse_url(path: Path, *, what: str) -> None:
    """Raise `InputError` if a path was written as a URL, for things that stand on this machine alone.

    Args:
        path: made of what the user wrote; of a URL's two slashes it keeps one.
        what: it is, such as "--out".
    """
    if _COLLAPSED_URL.match(str(path)):
        protocol, _, rest = str(path).partition(":/")
        raise InputError(f"{what} takes a path of this machine, not the URL {protocol}://{rest.lstrip('/')}.")


def parse_location(text: str) -> Location:
    """Return the path or the URL that a text stands for; `file://` URLs are paths.

    Raises:
        InputError: a URL that names nothing behind its protocol.
    """
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    if not found["rest"].strip("/"):
        raise InputError(f"{text} names no place; write the bucket and the folder too, such as s3://bucket/faces.")
    if found["protocol"].lower() in _LOCAL:
        return Path(found["rest"])
    return RemotePath(f"{found['protocol'].lower()}://{found['rest']}")
