"""A ceiling stated as a false match rate: the cosine at which an embedder takes strangers for one person so often."""

import json
import math

from vec2face.checkpoints.load import locate
from vec2face.checkpoints.store import OPERATING_POINTS_NAME
from vec2face.errors import InputError

_PREFIX = "fmr_"


def ceiling_for_rate(embedder: str, rate: float) -> float:
    """Return the cosine that an embedder states for a false match rate on real faces.

    Args:
        embedder: a reference as `checkpoints.load_embedder` takes it; the rates stand in `operating_points.json` beside
            its weights, as {"fmr_1e-4": 0.42}, measured by `vec2face evaluate operating-points`.
        rate: one of the rates stated there, such as 1e-4.

    Raises:
        InputError: the embedder states no rates, not that one, or the file is damaged.
        WeightsError: there is no such embedder.
    """
    place = locate(embedder, kind="embedder")
    path = (place if place.is_dir() else place.parent) / OPERATING_POINTS_NAME
    if not path.is_file():
        raise InputError(
            f"the embedder {embedder} states no false match rates ({OPERATING_POINTS_NAME} is not beside its weights); "
            "give the ceiling as a cosine."
        )
    try:
        stated = {
            float(name.removeprefix(_PREFIX)): float(value) for name, value in json.loads(path.read_text()).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        raise InputError(
            f'{path} must hold cosines by rate, such as {{"{_PREFIX}1e-4": 0.42}}; mend or remove it.'
        ) from None
    for known, cosine in stated.items():
        if math.isclose(known, rate, rel_tol=1e-9) and -1 < cosine < 1:
            return cosine
    rates = ", ".join(f"{known:g}" for known in sorted(stated, reverse=True))
    raise InputError(f"the embedder {embedder} states no cosine for a false match rate of {rate:g}; it knows {rates}.")
