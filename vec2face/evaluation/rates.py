"""Error rates of a similarity score: pure arithmetic on two lists of scores.

Convention everywhere: a pair is accepted as "same person" if its score is >= the threshold. FMR (false match rate, also
FAR) is the share of impostor pairs accepted, FNMR the share of genuine pairs refused, TAR = 1 - FNMR (ISO/IEC 19795-1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError

Scores = NDArray[np.floating]


@dataclass(frozen=True)
class OperatingCurve:
    """FMR and FNMR at every threshold that changes either, by falling threshold.

    Attributes:
        thresholds: (T,) float64; the first is +inf (nothing is accepted), then each distinct score, highest first.
        fmr: (T,) float64 in [0, 1], rising from 0 to 1.
        fnmr: (T,) float64 in [0, 1], falling from 1 to 0.
        genuine, impostor: how many pairs stand behind the curve.
    """

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]
    genuine: int
    impostor: int


def operating_curve(genuine: Scores, impostor: Scores) -> OperatingCurve:
    """Build the curve from the scores of same-person and different-person pairs, in any order.

    Raises:
        InputError: one of the two lists is empty, or a score is not finite.
    """
    genuine = np.sort(np.asarray(genuine, dtype=np.float64))
    impostor = np.sort(np.asarray(impostor, dtype=np.float64))
    if not len(genuine) or not len(impostor):
        raise InputError(
            f"error rates need pairs of both kinds, but there are {len(genuine)} genuine and {len(impostor)} impostor."
        )
    if not (np.isfinite(genuine[[0, -1]]).all() and np.isfinite(impostor[[0, -1]]).all()):
        raise InputError(
            "error rates need finite scores, but some scores are not finite; check the embedder's weights."
        )
    scores = np.unique(np.concatenate([genuine, impostor]))[::-1]
    fmr = 1.0 - np.searchsorted(impostor, scores, side="left") / len(impostor)
    fnmr = np.searchsorted(genuine, scores, side="left") / len(genuine)
    return OperatingCurve(
        thresholds=np.concatenate([[np.inf], scores]),
        fmr=np.concatenate([[0.0], fmr]),
        fnmr=np.concatenate([[1.0], fnmr]),
        genuine=len(genuine),
        impostor=len(impostor),
    )


def equal_error_rate(curve: OperatingCurve) -> float:
    """Where the FMR and FNMR lines cross, each joined linearly between thresholds; in [0, 1]."""
    difference = curve.fmr - curve.fnmr
    after = int(np.argmax(difference >= 0))
    before = after - 1
    step = difference[after] - difference[before]
    share = -difference[before] / step
    return float(curve.fmr[before] + share * (curve.fmr[after] - curve.fmr[before]))


def threshold_at_fmr(curve: OperatingCurve, fmr: float) -> float:
    """The lowest threshold whose FMR does not exceed `fmr`; +inf if even the highest score exceeds it."""
    return float(curve.thresholds[_last_within(curve, fmr)])


def fnmr_at_fmr(curve: OperatingCurve, fmr: float) -> float | None:
    """The lowest FNMR whose FMR does not exceed `fmr`: FMR100 at 0.01, FMR1000 at 0.001, and TAR = 1 - it.

    None if there are fewer than 1 / `fmr` impostor pairs: then not even one false match could be told from none.
    """
    if curve.impostor * fmr < 1.0 - 1e-9:
        return None
    return float(curve.fnmr[_last_within(curve, fmr)])


def tar_at_far(curve: OperatingCurve, far: float) -> float | None:
    """Share of genuine pairs accepted at the lowest threshold whose FAR does not exceed `far`; see `fnmr_at_fmr`."""
    fnmr = fnmr_at_fmr(curve, far)
    return None if fnmr is None else 1.0 - fnmr


def area_under_curve(curve: OperatingCurve) -> float:
    """Probability that a genuine pair scores above an impostor pair, ties counting one half (trapezoids of the ROC)."""
    return float(np.trapezoid(1.0 - curve.fnmr, curve.fmr))


def fisher_ratio(genuine: Scores, impostor: Scores) -> float | None:
    """(mean_g - mean_i)^2 / (var_g + var_i), the Fisher discriminant ratio; None if both spreads are zero."""
    genuine, impostor = np.asarray(genuine, dtype=np.float64), np.asarray(impostor, dtype=np.float64)
    spread = genuine.var() + impostor.var()
    return float((genuine.mean() - impostor.mean()) ** 2 / spread) if spread > 0 else None


def _last_within(curve: OperatingCurve, fmr: float) -> int:
    # The tolerance keeps a FMR of exactly k / n inside the bound in spite of rounding.
    return int(np.searchsorted(curve.fmr, fmr + 1e-12, side="right")) - 1
