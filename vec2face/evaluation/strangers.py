"""What cosines strangers reach among real faces: where a threshold comes from, and what it is worth.

Images of the reference set (all, or a keyed sample) are compared with the images, or the centres, of everyone else in
it. Their highest scores give the threshold of a stated false match rate; how many of them reach that threshold with
anyone is the rate at which people who are *not* in a set of this size are taken for somebody in it. Both come from the
same comparisons that a dataset is then put through.

A set of few people shows no useful rate: three photographs of strangers make six pairs, all of which may be far apart,
or all alike. Then there is no threshold, rather than one that nothing reaches or that everything does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.cross_search import Vectors
from vec2face.evaluation.people import unit
from vec2face.seeding import rng_for

FEWEST_FALSE_MATCHES = 10
"""With fewer expected, a threshold would hang on chance: the rate is raised to where so many are."""

FEWEST_PAIRS = 1000
"""Pairs of different people that a threshold needs, each counted from both ends, so 33 people make as many. Pairs of
images of the same two people say the same again, and are one."""

_ROWS, _COLUMNS = 512, 8192


@dataclass(frozen=True)
class StrangerScores:
    """Cosines of real faces to the nearest stranger, and the threshold that goes with a rate.

    Attributes:
        pairs: how many pairs of strangers' vectors were compared.
        people_pairs: how many pairs of different people stand behind them.
        rate: share of them at or above the threshold: the rate asked for, or the lowest that so few pairs can show.
        threshold: cosine; the lowest that at most this share of the pairs reaches. None, as is the rate, where fewer
            than `FEWEST_PAIRS` pairs of people can set one.
        probes: (P,) rows that were compared with a stranger.
        nearest: (P,) highest cosine of each to a stranger, float32.
    """

    pairs: int
    people_pairs: int
    rate: float | None
    threshold: float | None
    probes: NDArray[np.int64]
    nearest: NDArray[np.float32]


def stranger_scores(
    probes: Vectors,
    people: NDArray[np.integer],
    others: Vectors,
    owners: NDArray[np.integer],
    *,
    rate: float,
    max_pairs: int,
    seed: int,
) -> StrangerScores:
    """Compare probes with everyone else.

    Args:
        probes: (N, D) raw vectors.
        people: (N,) a number for each probe's person.
        others: (M, D) raw vectors that they are compared with.
        owners: (M,) whose they are, in the same numbers.
        rate: false match rate wanted.
        max_pairs: most pairs to compare; beyond, a keyed sample of the probes is taken.
        seed: of that sample.
    """
    rows = np.arange(len(probes))
    most = max(2, max_pairs // len(others))
    if len(rows) > most:
        rows = np.sort(rng_for(seed, "audit-strangers").choice(rows, most, replace=False))
    table = unit(others)
    numbers, counts = np.unique(owners, return_counts=True)
    at = np.searchsorted(numbers, people[rows]).clip(max=len(numbers) - 1)
    pairs = int(len(rows) * len(others) - np.where(numbers[at] == people[rows], counts[at], 0).sum())
    probed = np.unique(people[rows])
    people_pairs = len(probed) * len(numbers) - int(np.isin(probed, numbers).sum())
    kept = max(FEWEST_FALSE_MATCHES, int(rate * pairs))
    nearest = np.full(len(rows), -np.inf, np.float32)
    highest = np.empty(0, np.float32)
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        vectors = unit(probes[block])
        for column in range(0, len(table), _COLUMNS):
            columns = slice(column, column + _COLUMNS)
            cosines = vectors @ table[columns].T
            cosines[people[block][:, None] == owners[columns]] = -np.inf
            of_block = nearest[start : start + _ROWS]
            np.maximum(of_block, cosines.max(axis=1), out=of_block)
            floor = highest.min() if len(highest) > kept else -np.inf
            highest = np.concatenate([highest, cosines[cosines > floor]])
            if len(highest) > kept + 1:
                highest = np.partition(highest, -kept - 1)[-kept - 1 :]
    some = np.isfinite(nearest)
    rows, nearest = rows[some], nearest[some]
    if not enough(people_pairs):
        return StrangerScores(pairs, people_pairs, None, None, rows, nearest)
    return StrangerScores(pairs, people_pairs, kept / pairs, _just_above(highest, kept), rows, nearest)


def enough(people_pairs: int) -> bool:
    """Whether so many pairs of different people can set a threshold."""
    return people_pairs >= FEWEST_PAIRS


def _just_above(highest: NDArray[np.float32], kept: int) -> float:
    """The lowest cosine that no more than `kept` of the scores, of which there are more, reach."""
    ordered = np.sort(highest)[::-1]
    return float(np.nextafter(ordered[kept], np.float32(2)))
