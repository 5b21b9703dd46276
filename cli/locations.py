"""Options that take a path or a URL."""

from typing import Any

import click

from vec2face.errors import InputError
from vec2face.fileio.location import Location, parse_location


class LocationType(click.ParamType):
    """A path of this machine, or a URL such as s3://bucket/faces."""

    name = "PATH|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        try:
            return parse_location(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)


LOCATION = LocationType()
