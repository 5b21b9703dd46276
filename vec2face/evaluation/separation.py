"""How far apart the people of a dataset are, and how alike the images of one person are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.people import BLOCK, Array, Gather, People, unit
from vec2face.identities.cosine import error_bound, pairs_reach
from vec2face.seeding import rng_for


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
    sums = np.stack(
        [unit(gather(np.arange(a, b))).sum(axis=0) for a, b in zip(people.starts, people.starts[1:], strict=False)]
    )
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

    The own centre leaves the image itself out, or it would be flattered by its own share; an image that is the only one
    of its person is therefore not measured. If images x people exceed `max_comparisons`, a keyed sample is compared.
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


def nearest_vector(
    gather: Gather, count: int, vectors: NDArray[np.floating], *, max_comparisons: int, seed: int
) -> NDArray[np.int64]:
    """Row of `vectors` (B, D) nearest to each of `count` images by cosine; -1 where left out of a keyed sample."""
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
        unique: (K,) bool, the greedy r-ball count: in order of identity, a person is unique if its centre's cosine to
            every earlier unique person's centre is < the threshold (DCFace, arXiv 2304.07060, eq. 11).
        unique_at: how many are unique by that rule at other cosines.
    """

    nearest: NDArray[np.int64]
    nearest_cosine: Array
    pairs_above: int
    unique: NDArray[np.bool_]
    unique_at: dict[float, int]


def centre_separation(
    directions: Array, *, threshold: float, radii: Sequence[float] = (), block: int = BLOCK
) -> CentreSeparation:
    """Compare unit vectors (K, D), K >= 2, with each other, block by block; `block` changes speed and memory only.

    Whether a pair reaches the threshold or a radius is decided exactly.
    """
    count = len(directions)
    apart = {radius: np.ones(count, bool) for radius in radii}
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
            if other <= start:
                close = _reaching(cosines, directions[rows], directions[columns], threshold)
                above += int(close.sum()) // (2 if other == start else 1)
                _thin(close, unique, rows, columns)
                for radius, kept in apart.items():
                    _thin(_reaching(cosines, directions[rows], directions[columns], radius), kept, rows, columns)
    return CentreSeparation(nearest, best, above, unique, {radius: int(kept.sum()) for radius, kept in apart.items()})


def _reaching(cosines: Array, first: Array, second: Array, threshold: float) -> NDArray[np.bool_]:
    """(R, C) which float32 products of unit vectors stand for a cosine that reaches a threshold.

    A product is off by a rounding error that depends on the block and the machine; pairs within it are computed again.
    """
    # The rows' lengths are off as well, by no more than a product; twice that is room for both.
    doubt = 4 * error_bound(first.shape[1])
    close: NDArray[np.bool_] = cosines >= np.float32(threshold - doubt)
    at = np.flatnonzero(close)
    at = at[cosines.reshape(-1)[at] < np.float32(threshold + doubt)]
    if len(at):
        rows, columns = np.unravel_index(at, close.shape)
        close.reshape(-1)[at] = pairs_reach(first, rows, second, columns, threshold)
    return close


def _thin(close: NDArray[np.bool_], unique: NDArray[np.bool_], rows: slice, columns: slice) -> None:
    """Apply the greedy rule between a block of rows and the same or an earlier block of columns, in place."""
    if columns.start < rows.start:
        unique[rows] &= ~(close & unique[columns]).any(axis=1)
        return
    own = unique[rows]  # a view
    for row in np.flatnonzero(close.any(axis=1)):
        if own[row] and (close[row, :row] & own[:row]).any():
            own[row] = False
