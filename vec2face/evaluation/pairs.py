"""Cosines of pairs of images: same person (genuine) and different people (impostor)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.people import BLOCK, Array, Gather, People, unit
from vec2face.seeding import rng_for


@dataclass(frozen=True)
class PairScores:
    """Cosines of pairs of images.

    Attributes:
        scores: (P,) float32.
        total: how many such pairs the dataset has; P if all were measured.
    """

    scores: Array
    total: int

    @property
    def exact(self) -> bool:
        return len(self.scores) == self.total


def genuine_scores(gather: Gather, people: People, *, max_pairs: int, seed: int) -> PairScores:
    """Cosines of same-person pairs: every pair, or, if there are more than `max_pairs`, a keyed sample of them.

    When sampled, each person gives the same number of pairs (or all of theirs, if fewer), drawn without replacement
    under the key (seed, person's identity).
    """
    total = people.genuine_pairs
    share = total if total <= max_pairs else max(1, max_pairs // len(people))
    parts = []
    for person, (start, count) in enumerate(zip(people.starts[:-1], people.counts, strict=True)):
        pairs = int(count * (count - 1) // 2)
        if not pairs:
            continue
        if pairs <= share:
            numbers = np.arange(pairs)
        else:
            rng = rng_for(seed, "audit-genuine", int(people.identities[person]))
            numbers = rng.choice(pairs, share, replace=False)
        first, second = _pair_of(numbers)
        vectors = unit(gather(np.arange(start, start + count)))
        parts.append(np.einsum("pd,pd->p", vectors[first], vectors[second]))
    return PairScores(np.concatenate(parts) if parts else np.empty(0, np.float32), total)


def impostor_scores(gather: Gather, people: People, *, max_pairs: int, seed: int) -> PairScores:
    """Cosines of different-person pairs: every pair, or a keyed sample, uniform over them with replacement."""
    total = people.impostor_pairs
    if total <= max_pairs:
        first, second = _all_impostor_pairs(people)
    else:
        first, second = _sample_impostor_pairs(people, max_pairs, seed)
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK):
        block = slice(start, start + BLOCK)
        scores[block] = np.einsum("pd,pd->p", unit(gather(first[block])), unit(gather(second[block])))
    return PairScores(scores, total)


def _pair_of(numbers: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unrank pairs (i, j), i < j, in the order (0,1), (0,2), (1,2), (0,3), ...: pair number j(j-1)/2 + i."""
    second = ((1 + np.sqrt(8.0 * numbers + 1)) // 2).astype(np.int64)
    first = numbers - second * (second - 1) // 2
    return first.astype(np.int64), second


def _all_impostor_pairs(people: People) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    total = int(people.starts[-1])
    # Person by person, so that nothing larger than the result is made, however many images one person has.
    after = total - people.starts[1:]
    first = np.repeat(np.arange(total), np.repeat(after, people.counts))
    seconds = [np.tile(np.arange(b, total), b - a) for a, b in zip(people.starts, people.starts[1:], strict=False)]
    return first, np.concatenate(seconds)


def _sample_impostor_pairs(people: People, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = rng_for(seed, "audit-impostor")
    total = int(people.starts[-1])
    # Person a is drawn by the number of ordered pairs that begin with one of a's images; then both ends are uniform.
    weights = np.cumsum(people.counts * (total - people.counts))
    person = np.searchsorted(weights, rng.integers(weights[-1], size=count), side="right")
    first = people.starts[person] + rng.integers(people.counts[person])
    second = rng.integers(total - people.counts[person])
    second = np.where(second >= people.starts[person], second + people.counts[person], second)
    return first, second
