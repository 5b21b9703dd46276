"""How far apart the people of a dataset are, and how alike the images of one person: exact where it can be.

Every similarity is the cosine of two raw embeddings. Images come sorted by identity; people are addressed by their position
0..K-1 among the identities that have images, in rising order of identity index.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.seeding import rng_for

Array = NDArray[np.float32]
Gather = Callable[[NDArray[np.integer]], Array]
"""Takes positions of images, gives their raw vectors (n, D)."""

BLOCK = 4096


@dataclass(frozen=True)
class People:
    """Where the images of each identity stand.

    Attributes:
        identities: (K,) identity index of each person, rising.
        starts: (K + 1,) the images of person k are positions starts[k] to starts[k + 1] - 1.
    """

    identities: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, identity: NDArray[np.integer]) -> "People":
        """Group sorted identity labels (N,)."""
        identities, starts = np.unique(identity, return_index=True)
        return cls(identities.astype(np.int64), np.append(starts, len(identity)).astype(np.int64))

    @property
    def counts(self) -> NDArray[np.int64]:
        """(K,) images of each person."""
        return np.diff(self.starts)

    @property
    def genuine_pairs(self) -> int:
        return int((self.counts * (self.counts - 1) // 2).sum())

    @property
    def impostor_pairs(self) -> int:
        total = int(self.starts[-1])
        return (total * total - int((self.counts**2).sum())) // 2

    def __len__(self) -> int:
        return len(self.identities)


def unit(vectors: NDArray[np.floating]) -> Array:
    """Scale each row to length 1; a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)


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
    """Cosines of same-person pairs: every pair, or, if there are more than `max_pairs`, a keyed sample of each person's.

    When sampled, each person gives the same number of pairs (or all of theirs, if fewer), drawn without replacement with the
    key (seed, person's identity), so that a person's pairs do not depend on who else is in the dataset.
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
    person = np.repeat(np.arange(len(people)), people.counts)
    first, second = np.triu_indices(total, 1)
    different = person[first] != person[second]
    return first[different], second[different]


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


@dataclass(frozen=True)
class Centres:
    """The mean direction of each person's images.

    Attributes:
        sums: (K, D) float32, sum of the person's unit vectors.
        counts: (K,) images of each person.
    """

    sums: Array
    counts: NDArray[np.int64]

    @property
    def directions(self) -> Array:
        """(K, D) unit vectors."""
        return unit(self.sums)


def person_centres(gather: Gather, people: People) -> Centres:
    """Sum each person's unit vectors; memory is one person's images beside the (K, D) result."""
    sums = np.stack([unit(gather(np.arange(a, b))).sum(axis=0) for a, b in zip(people.starts, people.starts[1:], strict=False)])
    return Centres(sums, people.counts)


@dataclass(frozen=True)
class ImageScores:
    """Where each image stands among the people.

    Attributes:
        to_centre: (N,) cosine to the centre of the *other* images of the same person; NaN where there is no other.
        nearest: (N,) person whose centre is nearest, own centre left out of itself; -1 where not measured.
    """

    to_centre: Array
    nearest: NDArray[np.int64]


def image_scores(gather: Gather, people: People, centres: Centres, *, max_comparisons: int, seed: int) -> ImageScores:
    """Compare images with their own centre (all of them) and with everyone's (as many as `max_comparisons` allows).

    The own centre leaves the image itself out, or it would be flattered by its own share; an image that is the only one of
    its person is therefore not measured. If images x people exceed `max_comparisons`, a keyed sample is compared.
    """
    total = int(people.starts[-1])
    person = np.repeat(np.arange(len(people)), people.counts)
    directions = centres.directions
    to_centre = np.full(total, np.nan, np.float32)
    nearest = np.full(total, -1, np.int64)
    compared = np.ones(total, bool)
    budget = max(1, max_comparisons // len(people))
    if total > budget:
        compared[:] = False
        compared[rng_for(seed, "audit-nearest").choice(total, budget, replace=False)] = True
    # The block keeps the (block, K) table of cosines near 16 million values.
    step = max(1, min(BLOCK, (1 << 24) // len(people)))
    for start in range(0, total, step):
        positions = np.arange(start, min(start + step, total))
        vectors = unit(gather(positions))
        own = person[positions]
        alone = centres.counts[own] < 2
        without = unit(centres.sums[own] - vectors)
        cosines = np.einsum("nd,nd->n", vectors, without)
        to_centre[positions] = np.where(alone, np.nan, cosines)
        chosen = np.flatnonzero(compared[positions] & ~alone)
        if len(chosen):
            table = vectors[chosen] @ directions.T
            table[np.arange(len(chosen)), own[chosen]] = cosines[chosen]
            nearest[positions[chosen]] = table.argmax(axis=1)
    return ImageScores(to_centre, nearest)


def nearest_vector(gather: Gather, count: int, vectors: NDArray[np.floating], *, max_comparisons: int, seed: int) -> NDArray[np.int64]:
    """Row of `vectors` (B, D) with the highest cosine to each of `count` images; -1 where left out of a keyed sample."""
    targets = unit(vectors)
    nearest = np.full(count, -1, np.int64)
    budget = max(1, max_comparisons // len(targets))
    positions = np.arange(count)
    if count > budget:
        positions = np.sort(rng_for(seed, "audit-nearest").choice(count, budget, replace=False))
    step = max(1, min(BLOCK, (1 << 24) // len(targets)))
    for start in range(0, len(positions), step):
        block = positions[start : start + step]
        nearest[block] = (unit(gather(block)) @ targets.T).argmax(axis=1)
    return nearest


def own_vector_cosines(gather: Gather, identity: NDArray[np.integer], vectors: NDArray[np.floating]) -> Array:
    """Cosine of each image (N,) to its identity's vector, row `identity` of `vectors` (B, D)."""
    cosines = np.empty(len(identity), np.float32)
    for start in range(0, len(identity), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(identity)))
        cosines[block] = np.einsum("nd,nd->n", unit(gather(block)), unit(vectors[identity[block]]))
    return cosines


@dataclass(frozen=True)
class CentreSeparation:
    """Every pair of centres, exactly.

    Attributes:
        nearest: (K,) the other person whose centre is nearest.
        nearest_cosine: (K,) cosine to it.
        pairs_above: number of pairs with cosine >= the threshold.
        unique: (K,) bool, the greedy r-ball count: in order of identity, a person is unique if its centre's cosine to every
            earlier unique person's centre is < the threshold (DCFace, arXiv 2304.07060, eq. 11).
    """

    nearest: NDArray[np.int64]
    nearest_cosine: Array
    pairs_above: int
    unique: NDArray[np.bool_]


def centre_separation(directions: Array, *, threshold: float, block: int = BLOCK) -> CentreSeparation:
    """Compare unit vectors (K, D), K >= 2, with each other, (block, block) cosines in memory; `block` changes speed only."""
    count = len(directions)
    nearest = np.zeros(count, np.int64)
    best = np.full(count, -np.inf, np.float32)
    unique = np.ones(count, bool)
    above = 0
    starts = range(0, count, block)
    for start in starts:
        rows = slice(start, min(start + block, count))
        for other in starts:
            columns = slice(other, min(other + block, count))
            cosines = directions[rows] @ directions[columns].T
            if other == start:
                np.fill_diagonal(cosines, -np.inf)
            candidate = cosines.argmax(axis=1)
            score = cosines[np.arange(len(cosines)), candidate]
            better = score > best[rows]
            nearest[rows] = np.where(better, candidate + other, nearest[rows])
            best[rows] = np.where(better, score, best[rows])
            close = cosines >= threshold
            if other < start:
                above += int(close.sum())
                unique[rows] &= ~(close & unique[columns]).any(axis=1)
            elif other == start:
                above += int(close.sum()) // 2
                _thin(close, unique[rows])
    return CentreSeparation(nearest, best, above, unique)


def _thin(close: NDArray[np.bool_], unique: NDArray[np.bool_]) -> None:
    """Apply the greedy rule inside one block, in place."""
    for row in np.flatnonzero(close.any(axis=1)):
        if unique[row] and (close[row, :row] & unique[:row]).any():
            unique[row] = False
