"""Every row of one table of vectors against every row of another, exactly, in blocks.

A fast product with a known error (`identities.coarse`) says which pairs may matter; those alone are computed in
float64. So the outcome is that of the full table of cosines, which is never held: memory is one block beside the
references.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.identities.coarse import CoarseUnits
from vec2face.identities.cosine import exact_cosine, unit_rows

_ROWS, _COLUMNS = 1024, 8192
_PAIRS = 65_536  # pairs computed exactly at a time
# Far beyond the error of a float64 cosine of vectors of any width met here.
_DOUBT = 1e-10

Vectors = NDArray[np.floating]
Gather = Callable[[NDArray[np.integer]], Vectors]
"""Takes positions, gives their raw vectors (n, D)."""


@dataclass(frozen=True)
class ClosePair:
    """A query, a reference, and their cosine in float64."""

    query: int
    reference: int
    cosine: float


@dataclass(frozen=True)
class CrossMatches:
    """What a search found.

    Attributes:
        pairs: how many pairs of a query and a reference reach the threshold.
        matched: (Q,) bool, the queries that reach it with some reference.
        best: (Q,) the reference with the highest cosine among those that reach the threshold; -1 for none.
        cosine: (Q,) that cosine; NaN for none.
        closest: of each group of queries its closest pair, for the closest groups, the highest first, whether or not
            they reach the threshold.
    """

    pairs: int
    matched: NDArray[np.bool_]
    best: NDArray[np.int64]
    cosine: NDArray[np.float64]
    closest: tuple[ClosePair, ...]


class References:
    """A table of raw vectors that queries are compared with; it is read through once and held in a coarse form.

    Args:
        vectors: (M, D) floating, no zero rows; may be a memory map.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.coarse = CoarseUnits(*vectors.shape)
        for start in range(0, len(vectors), _COLUMNS):
            self.coarse.store(start, unit_rows(np.asarray(vectors[start : start + _COLUMNS], np.float32)))

    def __len__(self) -> int:
        return len(self.vectors)


def search(
    gather: Gather,
    groups: NDArray[np.integer],
    references: References,
    *,
    threshold: float,
    top: int,
    on_rows: Callable[[int], None] | None = None,
) -> CrossMatches:
    """Compare every query with every reference.

    Args:
        gather: gives the raw vectors of queries.
        groups: (Q,) which queries belong together; `CrossMatches.closest` lists a group once.
        references: what they are compared with.
        threshold: cosine from which a pair matches; decided exactly.
        top: how many groups are listed.
        on_rows: called with the number of queries that were finished.
    """
    found = _Found(len(groups), groups, threshold, top)
    for start in range(0, len(groups), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(groups)))
        raw = np.asarray(gather(rows), np.float32)
        queries = references.coarse.queries(unit_rows(raw))
        low, _ = references.coarse.limits(found.floor(rows))
        for column in range(0, len(references), _COLUMNS):
            block = references.coarse.cosines(queries, column, min(column + _COLUMNS, len(references)), low)
            found.expect(rows, block.highest() - references.coarse.bound)
            low, _ = references.coarse.limits(found.floor(rows))
            first, second = block.reaching(low)
            for part in range(0, len(first), _PAIRS):
                pairs = slice(part, part + _PAIRS)
                found.add(raw, start, first[pairs], references.vectors, second[pairs] + column)
        if on_rows is not None:
            on_rows(len(rows))
    return found.result()


def cosines_of_pairs(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each row of `first` (P, D) with the same row of `second`, in float64."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.sqrt(np.einsum("pd,pd->p", a, a) * np.einsum("pd,pd->p", b, b))
    cosines: NDArray[np.float64] = np.einsum("pd,pd->p", a, b) / lengths
    return cosines


class _Found:
    """What is known so far, and how high a cosine must be to add to it."""

    def __init__(self, count: int, groups: NDArray[np.integer], threshold: float, top: int) -> None:
        self._threshold, self._top = threshold, top
        _, self._group = np.unique(groups, return_inverse=True)
        self._pairs = 0
        self._best = np.full(count, -1, np.int64)
        self._cosine = np.full(count, np.nan)
        # By group: a cosine that some pair is known to have or to exceed, and the closest pair computed so far.
        self._surely = np.full(int(self._group.max(initial=-1)) + 1, -np.inf)
        self._closest: dict[int, ClosePair] = {}
        self._listed = -np.inf

    def floor(self, rows: NDArray[np.integer]) -> float:
        """Below this a cosine of these queries changes nothing: no match, no listed group's closest pair."""
        in_groups = np.maximum(self._surely[self._group[rows]], self._listed)
        return max(-1.0, min(self._threshold, float(in_groups.min())))

    def expect(self, rows: NDArray[np.integer], at_least: NDArray[np.floating]) -> None:
        """Take note that each of these queries has a pair with at least this cosine."""
        np.maximum.at(self._surely, self._group[rows], at_least)
        if len(self._surely) > self._top:
            self._listed = float(np.partition(self._surely, -self._top)[-self._top])

    def add(
        self, raw: Vectors, start: int, first: NDArray[np.integer], table: Vectors, second: NDArray[np.integer]
    ) -> None:
        wanted, where = np.unique(second, return_inverse=True)
        others = np.asarray(table[wanted], np.float32)
        cosines = cosines_of_pairs(raw[first], others[where])
        for pair in np.flatnonzero(np.abs(cosines - self._threshold) <= _DOUBT):
            cosines[pair] = exact_cosine(raw[first[pair]], others[where[pair]])
        reached = cosines >= self._threshold
        self._pairs += int(reached.sum())
        order = np.argsort(-cosines, kind="stable")
        queries = first + start
        # The highest of each query comes first in `order`, and np.unique keeps the first.
        matching = order[reached[order]]
        seen, at = np.unique(queries[matching], return_index=True)
        better = ~(self._cosine[seen] >= cosines[matching[at]])  # NaN counts as lower
        self._best[seen[better]] = second[matching[at][better]]
        self._cosine[seen[better]] = cosines[matching[at][better]]
        in_groups, at = np.unique(self._group[queries[order]], return_index=True)
        for group, pair in zip(in_groups.tolist(), order[at].tolist(), strict=True):
            known = self._closest.get(group)
            if known is None or cosines[pair] > known.cosine:
                self._closest[group] = ClosePair(int(queries[pair]), int(second[pair]), float(cosines[pair]))

    def result(self) -> CrossMatches:
        closest = sorted(self._closest.values(), key=lambda pair: (-pair.cosine, pair.query, pair.reference))
        return CrossMatches(self._pairs, self._best >= 0, self._best, self._cosine, tuple(closest[: self._top]))
