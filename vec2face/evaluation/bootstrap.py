"""How far the figures of a verification set could have come out otherwise: the bootstrap over pairs.

Pairs are drawn with replacement inside each fold and kind, so that every draw is a set of the same make; the thresholds
of the folds are found anew in each draw. The intervals are percentiles. Pairs that share an image or a person are taken
as independent, which they are not, so true intervals are somewhat wider.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.folds import ACCURACY_THRESHOLDS, fold_of
from vec2face.evaluation.rates import OperatingCurve, area_under_curve, equal_error_rate, tar_at_far
from vec2face.seeding import rng_for

RESAMPLES = 1000
LEVEL = 0.95

Interval = tuple[float, float]
"""Lower and upper bound of a figure in [0, 1]."""


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of a verification set's figures.

    Attributes:
        level: share of the draws inside each interval.
        resamples: number of draws.
        seed: of the draws.
        accuracy, eer, auc: lower and upper bound.
        tar_at_far: FAR as text -> bounds; None where the set has too few impostor pairs to tell.
    """

    level: float
    resamples: int
    seed: int
    accuracy: Interval
    eer: Interval
    auc: Interval
    tar_at_far: dict[str, Interval | None]


def bootstrap(
    distances: NDArray[np.floating],
    same: NDArray[np.bool_],
    *,
    folds: int,
    fars: tuple[float, ...],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Draw the set's pairs anew `resamples` times and return the middle 95 % of each figure.

    Args:
        distances: (P,) squared distances.
        same: (P,) whether a pair shows one person.
        folds: number of consecutive folds, as in `fold_accuracy`.
        fars: false accept rates at which TAR is asked for.
    """
    rng = rng_for(seed, "verification-bootstrap")
    draws = _Draws(distances, same, folds)
    figures = np.empty((resamples, 3 + len(fars)))
    for row in range(resamples):
        weights = draws.weights(rng)
        curve = draws.curve(weights)
        tars = [tar_at_far(curve, far) for far in fars]
        figures[row, :3] = draws.accuracy(weights), equal_error_rate(curve), area_under_curve(curve)
        figures[row, 3:] = [np.nan if tar is None else tar for tar in tars]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(figures, [tail, 1 - tail], axis=0)
    bounds = [None if np.isnan(a) else (float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return Intervals(
        level=LEVEL,
        resamples=resamples,
        seed=seed,
        accuracy=(float(low[0]), float(high[0])),
        eer=(float(low[1]), float(high[1])),
        auc=(float(low[2]), float(high[2])),
        tar_at_far={f"{far:g}": bound for far, bound in zip(fars, bounds[3:], strict=True)},
    )


class _Draws:
    """A set's pairs, prepared so that figures of a weighted set cost one pass over it."""

    def __init__(self, distances: NDArray[np.floating], same: NDArray[np.bool_], folds: int) -> None:
        self.same, self.folds = same, folds
        fold = fold_of(len(same), folds)
        self.strata = [np.flatnonzero((fold == f) & (same == kind)) for f in range(folds) for kind in (False, True)]
        # The first threshold that a distance is below; distances of 4 and more are below none.
        below = np.searchsorted(ACCURACY_THRESHOLDS, distances, side="right")
        self.steps = len(ACCURACY_THRESHOLDS) + 1
        self.cell = (fold * 2 + same) * self.steps + below
        # Scores are negative distances, highest first; equal ones share one point of the curve.
        self.order = np.argsort(distances, kind="stable")
        ranked = distances[self.order]
        self.ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self.thresholds = np.concatenate([[np.inf], -ranked[self.ends].astype(np.float64)])

    def weights(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """(P,) how often each pair is drawn."""
        weights = np.zeros(len(self.same), np.int64)
        for stratum in self.strata:
            if len(stratum):
                drawn = rng.integers(len(stratum), size=len(stratum))
                weights[stratum] = np.bincount(drawn, minlength=len(stratum))
        return weights

    def accuracy(self, weights: NDArray[np.int64]) -> float:
        """Mean accuracy over the folds, as `fold_accuracy` of the drawn pairs."""
        counts = np.bincount(self.cell, weights, minlength=self.folds * 2 * self.steps)
        counts = counts.reshape(self.folds, 2, self.steps)
        accepted = counts.cumsum(axis=2)[:, :, :-1]
        correct = accepted[:, 1] + (counts[:, 0].sum(axis=1)[:, None] - accepted[:, 0])
        best = np.argmax(correct.sum(axis=0)[None] - correct, axis=1)
        pairs = counts.sum(axis=(1, 2))
        return float(np.mean(correct[np.arange(self.folds), best] / pairs))

    def curve(self, weights: NDArray[np.int64]) -> OperatingCurve:
        """The operating curve of the drawn pairs, at every score of the set."""
        ranked, same = weights[self.order], self.same[self.order]
        genuine = np.cumsum(ranked * same)[self.ends]
        impostor = np.cumsum(ranked * ~same)[self.ends]
        return OperatingCurve(
            thresholds=self.thresholds,
            fmr=np.concatenate([[0.0], impostor / impostor[-1]]),
            fnmr=np.concatenate([[1.0], 1.0 - genuine / genuine[-1]]),
            genuine=int(genuine[-1]),
            impostor=int(impostor[-1]),
        )
