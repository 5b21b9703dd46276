"""Options that ask something of the images of a dataset, and say how they are steered to it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vec2face_cli.locations import LocalPath

_COUNT = click.IntRange(min=1)

_OPTIONS = (
    click.option(
        "--attribute",
        "attributes",
        multiple=True,
        metavar="NAME=TARGETS",
        help="Steer every image, to targets such as 'yaw=uniform[-40, 40]' or 'brightness=>=100'; repeatable.",
    ),
    click.option("--estimator", "estimators", multiple=True, metavar="REF", help="Further estimators for --attribute."),
    click.option("--directions", type=LocalPath(), help="Directions to jump along; estimated by default."),
    click.option("--identity-floor", type=click.FloatRange(-1, 1), help="Cosine to the identity that steering keeps."),
    click.option("--max-evaluations", type=_COUNT, help="Most passes that a steered image takes."),
    click.option("--capped", type=click.Choice(["keep", "drop"]), help="What becomes of images that miss a target."),
    click.option("--redraws", type=click.IntRange(min=0), help="Fresh draws of an image that misses a target."),
)


def attribute_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which the command receives together as `steered`: the changes they make to a recipe."""

    @functools.wraps(command)
    def gathered(
        *,
        attributes: tuple[str, ...],
        estimators: tuple[str, ...],
        directions: Path | None,
        identity_floor: float | None,
        max_evaluations: int | None,
        capped: str | None,
        redraws: int | None,
        **values: Any,
    ) -> Any:
        from vec2face.steering.targets import split_assignments

        steering = {
            "estimators": estimators or None,
            "directions": directions,
            "identity_floor": identity_floor,
            "max_evaluations": max_evaluations,
            "capped": capped,
            "redraws": redraws,
        }
        asked = split_assignments(attributes)
        return command(steered={"attributes": asked or None, "steering": steering}, **values)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
