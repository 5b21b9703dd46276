"""The cosine from which an embedder calls two images one person."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from vec2face.checkpoints.load import locate
from vec2face.checkpoints.store import OPERATING_POINTS_NAME
from vec2face.errors import InputError

OPERATING_POINT = "fmr_1e-4"
DEFAULT_THRESHOLD = 0.4


@dataclass(frozen=True)
class Threshold:
    """A cosine and where it comes from."""

    value: float
    source: str


def threshold_of(reference: str) -> Threshold:
    """Return the threshold of an embedder: its own for a false match rate of 1e-4, if its folder states it, else 0.4.

    An embedder states it in `operating_points.json` beside its weights: {"fmr_1e-4": 0.42}, cosines in (-1, 1).

    Raises:
        InputError: the file is there, but is not such a list.
    """
    place = locate(reference, kind="embedder")
    path = (place if place.is_dir() else place.parent) / OPERATING_POINTS_NAME
    if not path.is_file():
        return Threshold(
            DEFAULT_THRESHOLD, f"a convention ({DEFAULT_THRESHOLD}): the embedder states no operating point"
        )
    value = _read(path)
    return Threshold(value, "stated by the embedder for a false match rate of 1 in 10,000 on real faces")


def _read(path: Path) -> float:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))[OPERATING_POINT]
        if isinstance(value, int | float) and math.isfinite(value) and -1 < value < 1:
            return float(value)
        problem = f"{value!r} is not a cosine"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise InputError(f'{path} must hold {{"{OPERATING_POINT}": cosine}} ({problem}); mend or remove it.')
