"""Jumps towards the targets, along slopes that are known before and corrected by what each jump shows.

For one sample, Broyden's method (Math. Comp. 19, 1965): the least move that the slopes say is enough, then a rank-one
correction of the slopes by what was measured. A jump needs no gradient, so its pass costs half of one that goes back.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vec2face.errors import ContractError
from vec2face.steering.samples import FreeNumbers
from vec2face.steering.targets import Target

# Ridge of the small system of attributes, as a share of its mean diagonal: keeps attributes that change alike solvable.
_RIDGE = 1e-3
# Where so many jumps did not arrive, or so many failed, gradients do better. One that leaves more of the loss than this
# share failed: the slopes are wrong, or the limits are reached along them.
_MOST_JUMPS = 8
_MOST_FAILURES = 2
_SHARE_LEFT = 0.8


class WarmStart:
    """Slopes to jump along.

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

    def jumps(self, targets: Sequence[Target]) -> "Jumps":
        """Return the jumps of one sample; attributes without slopes are left out."""
        wanted = {target.attribute: target for target in targets}
        chosen = [row for row, name in enumerate(self._names) if name in wanted]
        return Jumps([wanted[self._names[row]] for row in chosen], self._slopes[chosen])


class Jumps:
    """The jumps of one sample. Made by `WarmStart.jumps`."""

    def __init__(self, targets: Sequence[Target], slopes: np.ndarray) -> None:
        self._targets, self._slopes = tuple(targets), slopes
        self._made = self._failures = 0
        self._from: tuple[np.ndarray, np.ndarray, float] | None = None

    def next(self, row: np.ndarray, values: Mapping[str, float], *, loss: float, best: bool) -> np.ndarray | None:
        """Return the row `(width,)` float32 to jump to, which is to be confined, or None where jumps are over.

        Args:
            row: where the sample is: the row returned last, confined.
            values: what was measured there.
            loss: of the picture there, in tolerances.
            best: whether it is the sample's best picture; if not, it is jumped from the place before.
        """
        place, measured = row.astype(np.float64), np.array([values[one.attribute] for one in self._targets])
        if self._from is not None:
            self._learn(place - self._from[0], measured - self._from[1])
            self._failures += not best or loss > _SHARE_LEFT * self._from[2]
        if best or self._from is None:
            self._from = place, measured, loss
        place, measured, _ = self._from
        gaps = np.array([_gap(value, one) for value, one in zip(measured, self._targets, strict=True)])
        if not gaps.any() or self._failures == _MOST_FAILURES or self._made == _MOST_JUMPS:
            return None
        self._made += 1
        found: np.ndarray = (place + least_move(self._slopes, gaps)).astype(np.float32)
        return found

    def _learn(self, moved: np.ndarray, changed: np.ndarray) -> None:
        square = float(np.sum(moved * moved))
        if square > 0:
            surprise = changed - np.sum(self._slopes * moved, axis=1)
            self._slopes = self._slopes + surprise[:, None] * moved / square


def least_move(slopes: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return the shortest move `(width,)` that changes K values by `(K,)` gaps where `(K, width)` slopes are true."""
    # Sums of products, not matrix products, which may round by how memory is aligned.
    system = np.sum(slopes[:, None] * slopes[None], axis=2)
    system += np.eye(len(system)) * max(_RIDGE * np.trace(system) / len(system), np.finfo(np.float64).tiny)
    move: np.ndarray = np.sum(np.linalg.solve(system, gaps)[:, None] * slopes, axis=0)
    return move


def _gap(value: float, target: Target) -> float:
    """How far a value must change to lie inside the target by its margin; 0 if it does."""
    return min(max(value, target.low + target.margin), target.high - target.margin) - value
