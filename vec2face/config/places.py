"""Fields of recipes that name files: a path of this machine, or a URL."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, SerializationInfo

from vec2face.errors import InputError
from vec2face.fileio.location import Location, parse_location
from vec2face.fileio.remote import RemotePath


def _read(value: Any) -> Location:
    if isinstance(value, Path | RemotePath):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path or a URL")
    try:
        return parse_location(value)
    except InputError as error:
        raise ValueError(str(error)) from None


def _write(value: Location, info: SerializationInfo) -> Location | str:
    return str(value) if info.mode == "json" else value


Place = Annotated[Location, PlainValidator(_read), PlainSerializer(_write)]
"""`vec2face.fileio.mirror.reading` gives readers of files a path for it."""
