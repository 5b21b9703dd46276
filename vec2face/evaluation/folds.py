"""Accuracy and validation rate of a verification set over consecutive folds: pure arithmetic on distances.

The arithmetic is insightface's (`eval/verification.py` of its arcface_torch), which facenet's came before: a fold's
threshold is found on the other folds, the folds stand one after the other in file order, and pairs are called one
person where their squared distance is below the threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError

FOLDS = 10
ACCURACY_THRESHOLDS = np.arange(0, 4, 0.01)
VAL_THRESHOLDS = np.arange(0, 4, 0.001)
VAL_FAR = 1e-3


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy over folds.

    Attributes:
        mean, std: of the folds' accuracies, in [0, 1]; std is the population's.
        folds: accuracy of each fold.
        thresholds: squared distance below which a fold's pairs were called one person.
    """

    mean: float
    std: float
    folds: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class FoldRate:
    """Validation rate: TAR at a target FAR.

    Attributes:
        mean, std: of the folds' TARs, in [0, 1]; std is the population's.
        far: mean of the FARs met, in [0, 1].
        target_far: FAR that the thresholds aim at.
        folds: how many folds hold pairs of one person; `mean` and `std` are over these.
        far_folds: how many folds hold pairs of different people; `far` is over these.
    """

    mean: float
    std: float
    far: float
    target_far: float
    folds: int
    far_folds: int


def require_even_folds(pairs: int, folds: int, *, where: str) -> None:
    """Raise `InputError` unless `pairs` divide into `folds` of one size, 2 or more of them."""
    if folds < 2:
        raise InputError(f"{where}: accuracy over folds needs at least 2 of them, not {folds}.")
    if pairs < folds:
        raise InputError(f"{where} holds {pairs} pairs; {folds}-fold accuracy needs at least {folds}.")
    if pairs % folds:
        fitting = [count for count in range(2, folds) if pairs % count == 0]
        other = f" or choose --folds {fitting[-1]}" if fitting else ""
        raise InputError(
            f"{where} holds {pairs:,} pairs, which do not divide into {folds} folds of one size; "
            f"leave out {pairs % folds}{other}."
        )


def fold_accuracy(distances: NDArray[np.floating], same: NDArray[np.bool_], *, folds: int = FOLDS) -> FoldAccuracy:
    """Accuracy of "same person if distance < threshold" over consecutive folds of the pairs, in order.

    A fold's threshold is the first of `ACCURACY_THRESHOLDS` (0 to 4 in steps of 0.01) that is best on the others.

    Args:
        distances: (P,) squared distances, in [0, 4] for vectors of length 1.
        same: (P,) whether a pair shows one person.
        folds: how many; where P does not divide, the first ones are longer by one pair.
    """
    accuracies, thresholds = [], []
    correct = (distances[None] < ACCURACY_THRESHOLDS[:, None]) == same
    for train, test in split(len(same), folds):
        best = int(np.argmax(correct[:, train].sum(axis=1)))
        thresholds.append(float(ACCURACY_THRESHOLDS[best]))
        accuracies.append(float(correct[best, test].mean()))
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies)), accuracies, thresholds)


def fold_val(distances: NDArray[np.floating], same: NDArray[np.bool_], *, folds: int = FOLDS) -> FoldRate:
    """TAR at `VAL_FAR`, each fold with the threshold at which the others reach that FAR.

    The threshold is linear between the neighbouring points of `VAL_THRESHOLDS` (0 to 4 in steps of 0.001) whose FARs
    enclose the target; among thresholds of equal FAR the largest counts, as in the linear spline that insightface
    takes. It is 0 where the target is not reached. A fold without pairs of one kind says nothing about that kind's rate
    and is left out of it; the answer says how many counted.

    Args:
        distances: (P,) squared distances, in [0, 4] for vectors of length 1.
        same: (P,) whether a pair shows one person; both kinds must occur.
        folds: how many; where P does not divide, the first ones are longer by one pair.
    """
    rates, fars = [], []
    for train, test in split(len(same), folds):
        impostors = np.sort(distances[train][~same[train]])
        far = np.searchsorted(impostors, VAL_THRESHOLDS, side="left") / max(1, len(impostors))
        threshold = float(np.interp(VAL_FAR, far, VAL_THRESHOLDS)) if far[-1] >= VAL_FAR else 0.0
        accepted = distances[test] < threshold
        genuine = same[test]
        if genuine.any():
            rates.append(float(accepted[genuine].mean()))
        if not genuine.all():
            fars.append(float(accepted[~genuine].mean()))
    return FoldRate(float(np.mean(rates)), float(np.std(rates)), float(np.mean(fars)), VAL_FAR, len(rates), len(fars))


def fold_of(pairs: int, folds: int) -> NDArray[np.int64]:
    """(P,) number of the fold that each pair belongs to."""
    return np.repeat(np.arange(folds), [len(test) for _, test in split(pairs, folds)])


def split(count: int, folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(train, test) positions; the first `count % folds` folds are one longer, as in scikit-learn's KFold."""
    parts = np.array_split(np.arange(count), folds)
    return [(np.concatenate(parts[:n] + parts[n + 1 :]), test) for n, test in enumerate(parts)]
