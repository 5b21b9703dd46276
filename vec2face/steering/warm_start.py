"""A first jump towards the targets, along directions along which the attributes are known to change."""

from collections.abc import Mapping, Sequence

import numpy as np

from vec2face.errors import ContractError
from vec2face.steering.samples import FreeNumbers
from vec2face.steering.targets import Target

# Ridge of the small system of attributes, as a share of its mean diagonal: keeps attributes that change alike solvable.
_RIDGE = 1e-3


class WarmStart:
    """The least move that linear slopes say brings every attribute to where it is asked.

    Args:
        slopes: {attribute: `(width,)` change of the attribute for one unit of each free number}; see `FreeNumbers`.

    Raises:
        ContractError: no slopes, rows of different widths, or numbers that are not finite.
    """

    def __init__(self, slopes: Mapping[str, np.ndarray]) -> None:
        if not slopes or len({row.shape for row in slopes.values()}) != 1:
            raise ContractError("a warm start needs slopes of one width for at least one attribute.")
        self._names = tuple(slopes)
        self._slopes = np.stack([np.asarray(row, np.float64) for row in slopes.values()])
        if not np.isfinite(self._slopes).all():
            raise ContractError("the slopes of a warm start hold NaN or infinity.")

    def require_fit(self, free: FreeNumbers) -> None:
        """Raise `ContractError` unless the slopes are of these free numbers."""
        if self._slopes.shape[1] != free.width:
            raise ContractError(
                f"the directions have {self._slopes.shape[1]} numbers, but {free.width} may move here; "
                "use directions made for this generator."
            )

    def move(self, values: Mapping[str, float], targets: Sequence[Target]) -> np.ndarray:
        """Return the move `(width,)` float32 from measured values to just inside the targets: 0 where all are met.

        Attributes without slopes are left out; those that are met already are asked to stay.
        """
        wanted = {target.attribute: target for target in targets}
        chosen = [row for row, name in enumerate(self._names) if name in wanted]
        gaps = np.array([_gap(values[self._names[row]], wanted[self._names[row]]) for row in chosen])
        if not gaps.any():
            return np.zeros(self._slopes.shape[1], np.float32)
        slopes = self._slopes[chosen]
        system = slopes @ slopes.T
        system += np.eye(len(system)) * max(_RIDGE * np.trace(system) / len(system), np.finfo(np.float64).tiny)
        return (slopes.T @ np.linalg.solve(system, gaps)).astype(np.float32)


def _gap(value: float, target: Target) -> float:
    """How far a value must change to lie inside the target by its margin; 0 if it does."""
    return min(max(value, target.low + target.margin), target.high - target.margin) - value
