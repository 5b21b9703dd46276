"""From a URL to the fsspec file system that opens it."""

from typing import Any

from vec2face.errors import InputError, MissingDependencyError
from vec2face.fileio.transfer import attempt, one_line

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
# These remember listings unless told not to.
_OPTIONS: dict[str, dict[str, Any]] = {name: {"use_listings_cache": False} for name in ("s3", "s3a", "gs", "gcs")}


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the file system (`fsspec.AbstractFileSystem`) and the path in it.

    Raises:
        InputError: an unknown protocol.
        MissingDependencyError: the package for the protocol is not installed.
        StorageError: the file system does not understand the URL, or cannot be set up on this machine.
    """
    import fsspec
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    if protocol not in fsspec.available_protocols():
        raise InputError(f"unknown protocol {protocol!r} in {url}; known are s3, gs, hf, memory and file.")

    def opened() -> tuple[Any, str]:
        try:
            store, place = url_to_fs(url, **_OPTIONS.get(protocol, {}))
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            how = f"install it with: pip install 'vec2face[{extra}]'" if extra else one_line(error)
            raise MissingDependencyError(f"{url} needs a package that is not installed; {how}.") from None
        return store, str(place)

    return attempt(opened, doing="open", url=url, pauses=())
