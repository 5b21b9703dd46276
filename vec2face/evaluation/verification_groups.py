"""Benchmarks made of several groups of people, such as RFW: how evenly an embedder serves them.

Accuracy over folds gives each group the threshold that suits it (the protocol of RFW, arXiv 1812.00194). In use there
is one threshold for everybody, at which groups differ in whom they take for another: that is stated too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vec2face.errors import InputError
from vec2face.evaluation.rates import operating_curve, threshold_at_fmr
from vec2face.evaluation.verification import Measured

COMMON_FMR = 0.01


@dataclass(frozen=True)
class CommonThreshold:
    """Every group at one threshold.

    Attributes:
        fmr: false match rate over the pairs of all groups together that the threshold is set for.
        cosine: the threshold.
        false_matches, false_non_matches: group -> share of its pairs of different people taken for one person, and of
            its pairs of one person taken for two.
    """

    fmr: float
    cosine: float
    false_matches: dict[str, float]
    false_non_matches: dict[str, float]


@dataclass(frozen=True)
class GroupResult:
    """How a benchmark's groups fare.

    Attributes:
        benchmark: its name.
        accuracies: group -> accuracy over folds, in [0, 1].
        mean, std: over the groups; std is the population's.
        skewed_error_ratio: highest error over lowest error, 1 where all are served alike; None where a group has no
            error.
        common: the groups at one threshold; None with too few pairs of different people to set one.
    """

    benchmark: str
    accuracies: dict[str, float]
    mean: float
    std: float
    skewed_error_ratio: float | None
    common: CommonThreshold | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def group_results(measured: Sequence[Measured]) -> list[GroupResult]:
    """Gather the sets that are groups of one benchmark, in the order given."""
    benchmarks: dict[str, list[Measured]] = {}
    for entry in measured:
        if entry.result.group is not None:
            benchmarks.setdefault(entry.result.group, []).append(entry)
    return [_group(name, members) for name, members in benchmarks.items()]


def require_groups(groups: Sequence[str | None]) -> None:
    """Raise `InputError` if a benchmark would have a single group; `groups` is one entry for each set."""
    for name in dict.fromkeys(group for group in groups if group is not None):
        if groups.count(name) < 2:
            raise InputError(
                f"the benchmark {name} has one group only; give all its groups, or name the set without it."
            )


def _group(benchmark: str, members: Sequence[Measured]) -> GroupResult:
    accuracies = {entry.result.name: entry.result.accuracy.mean for entry in members}
    values = np.array(list(accuracies.values()))
    errors = 1.0 - values
    return GroupResult(
        benchmark=benchmark,
        accuracies=accuracies,
        mean=float(values.mean()),
        std=float(values.std()),
        skewed_error_ratio=float(errors.max() / errors.min()) if errors.min() > 0 else None,
        common=_at_one_threshold(members),
    )


def _at_one_threshold(members: Sequence[Measured]) -> CommonThreshold | None:
    # |a - b|^2 = 2 - 2 cos for vectors of length 1.
    cosines = [1.0 - entry.distances / 2 for entry in members]
    impostors = np.concatenate([scores[~entry.same] for scores, entry in zip(cosines, members, strict=True)])
    genuine = np.concatenate([scores[entry.same] for scores, entry in zip(cosines, members, strict=True)])
    if len(impostors) * COMMON_FMR < 1:
        return None
    threshold = threshold_at_fmr(operating_curve(genuine, impostors), COMMON_FMR)
    names = [entry.result.name for entry in members]
    return CommonThreshold(
        fmr=COMMON_FMR,
        cosine=threshold,
        false_matches={
            name: float((scores[~entry.same] >= threshold).mean())
            for name, scores, entry in zip(names, cosines, members, strict=True)
        },
        false_non_matches={
            name: float((scores[entry.same] < threshold).mean())
            for name, scores, entry in zip(names, cosines, members, strict=True)
        },
    )
