"""Options that say how a generator with a pose condition shows people."""

from pathlib import Path
from typing import Any

import click

from vec2face_cli.locations import LocalPath

_FORM = "NAME=DEGREES or NAME=LOW..HIGH, such as yaw=-40..40,pitch=5,share=2"
_KEYS = ("yaw", "pitch", "roll", "share")


class ViewType(click.ParamType):
    """`yaw=-40..40,pitch=5,share=2`: angles or ranges of them, and the view's share."""

    name = "VIEW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        view: dict[str, Any] = {}
        for part in str(value).split(","):
            key, sign, text = (piece.strip() for piece in part.partition("="))
            if not sign or key not in _KEYS:
                self.fail(f"{part!r} is not {_FORM}", param, ctx)
            if key in view:
                self.fail(f"{value!r} gives {key} twice; keep one", param, ctx)
            low, dots, high = text.partition("..")
            try:
                view[key] = (float(low), float(high)) if dots else float(low)
            except ValueError:
                self.fail(f"{part!r} is not {_FORM}", param, ctx)
        return view


def pose_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add --view, --landmarks and --adapter-strength."""
    options = (
        click.option(
            "--view",
            "views",
            type=ViewType(),
            multiple=True,
            help="Pose of a share of the images, as yaw=-40..40,pitch=5,share=2, for weights with a pose condition; "
            "repeatable.",
        ),
        click.option(
            "--landmarks",
            type=LocalPath(),
            multiple=True,
            help="Pose by a landmark picture (112x112) or a file of five points (.csv, .json), or a folder of them; "
            "repeatable.",
        ),
        click.option(
            "--adapter-strength",
            type=click.FloatRange(0, 4),
            help="Factor on the low-rank adapters of such weights.  [default: 1]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def pose_changes(
    views: tuple[dict[str, Any], ...], landmarks: tuple[Path, ...], adapter_strength: float | None
) -> dict[str, Any]:
    """Return what the options change in a recipe's pose section.

    Raises:
        InputError: a folder of landmarks is empty, or a path is not there.
    """
    from vec2face.data.photos import list_photos

    files = [{"landmarks": path} for path in list_photos(landmarks)] if landmarks else []
    return {"views": [*views, *files] or None, "adapter_strength": adapter_strength}
