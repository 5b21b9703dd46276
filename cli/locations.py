"""Options that take a path or a URL, and those that take a path alone."""

from pathlib import Path
from typing import Any

import click

from vec2face.errors import InputError
from vec2face.fileio.location import Location, is_url, parse_location


class LocationType(click.ParamType):
    """A path of this machine, or a URL such as s3://bucket/faces."""

    name = "PATH|URL"

    def __init__(self, *, exists: bool = False, dir_okay: bool = True) -> None:
        """Take any place; of a path, `exists` and `dir_okay` are asked at once, as click.Path does."""
        self._path = click.Path(path_type=Path, exists=exists, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        try:
            location = parse_location(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)
        if isinstance(location, Path):
            self._path.convert(location, param, ctx)
        return location


class LocalPath(click.Path):
    """A path of this machine; a URL is refused, which click.Path would take for a folder of that name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value) and not str(value).startswith("file://"):
            self.fail(f"a path of this machine is taken here, not the URL {value}.", param, ctx)
        return super().convert(str(value).removeprefix("file://"), param, ctx)


LOCATION = LocationType()
