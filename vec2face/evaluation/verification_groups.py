"""Benchmarks made of several groups of people, such as RFW: how evenly an embedder serves them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vec2face.errors import InputError
from vec2face.evaluation.verification import SetResult


@dataclass(frozen=True)
class GroupResult:
    """Accuracy over the groups of a benchmark.

    Attributes:
        benchmark: its name.
        accuracies: group -> accuracy over folds, in [0, 1].
        mean, std: over the groups; std is the population's.
        skewed_error_ratio: highest error over lowest error, 1 where all are served alike; None where a group has no
            error.
    """

    benchmark: str
    accuracies: dict[str, float]
    mean: float
    std: float
    skewed_error_ratio: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def group_results(results: Sequence[SetResult]) -> list[GroupResult]:
    """Gather the sets that are groups of one benchmark, in the order given."""
    benchmarks: dict[str, dict[str, float]] = {}
    for result in results:
        if result.group is not None:
            benchmarks.setdefault(result.group, {})[result.name] = result.accuracy.mean
    return [_group(name, accuracies) for name, accuracies in benchmarks.items()]


def require_groups(groups: Sequence[str | None]) -> None:
    """Raise `InputError` if a benchmark would have a single group; `groups` is one entry for each set."""
    for name in dict.fromkeys(group for group in groups if group is not None):
        if groups.count(name) < 2:
            raise InputError(
                f"the benchmark {name} has one group only; give all its groups, or name the set without it."
            )


def _group(name: str, accuracies: dict[str, float]) -> GroupResult:
    values = np.array(list(accuracies.values()))
    errors = 1.0 - values
    ratio = float(errors.max() / errors.min()) if errors.min() > 0 else None
    return GroupResult(name, accuracies, float(values.mean()), float(values.std()), ratio)
