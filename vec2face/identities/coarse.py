"""Many cosines at once, each with a known error: the fast filter before an exact decision.

A large bank is held and multiplied in whatever kind of number the processor is fastest at
(`vec2face.identities.tables`). That changes the time alone: whatever lies within the error of a threshold is decided by
exact cosines.
"""

from collections.abc import Callable, Iterator

import numpy as np

from vec2face.identities.cosine import unit_rows
from vec2face.identities.table import CosineBlock, Queries
from vec2face.identities.tables import TABLES, Kind, fastest_kind

LOWEST = np.float32(-np.inf)
ROWS = 512  # compared together
_STORED_AT_ONCE = 8192


class CoarseUnits:
    """Vectors of length 1 to be compared with many others, memory O(N D): four bytes a feature, or two, or one.

    Attributes:
        kind: which table holds them.
    """

    def __init__(self, capacity: int, width: int, *, kind: Kind | None = None) -> None:
        """Make room for `capacity` rows; `kind` None takes the fastest for that many."""
        self.kind: Kind = fastest_kind(capacity, width) if kind is None else kind
        self._table = TABLES[self.kind](capacity, width)
        self._capacity = capacity

    @classmethod
    def of(cls, vectors: np.ndarray, *, kind: Kind | None = None) -> "CoarseUnits":
        """Return the directions of `vectors` `(N, D)`."""
        stored = cls(*vectors.shape, kind=kind)
        for start in range(0, len(vectors), _STORED_AT_ONCE):
            stored.store(start, unit_rows(vectors[start : start + _STORED_AT_ONCE]))
        return stored

    def __len__(self) -> int:
        return self._capacity

    @property
    def columns(self) -> int:
        """How many stored rows are best compared at once."""
        return self._table.columns

    @property
    def bound(self) -> float:
        """How far a cosine computed here can be from the true one, for all rows and queries up to now."""
        return self._table.bound

    def store(self, start: int, units: np.ndarray) -> None:
        """Put rows of `unit_rows` at `start`."""
        self._table.store(start, units)

    def queries(self, units: np.ndarray) -> Queries:
        """Return rows of `unit_rows` in the form that `cosines` takes. It may raise `bound`, never lower it."""
        return self._table.queries(units)

    def cosines(self, queries: Queries, start: int, stop: int, floor: np.float32 = LOWEST) -> CosineBlock:
        """Compare prepared `queries` with the stored rows `start` to `stop - 1`.

        Args:
            floor: below it the block need not know cosines; only the highest of each query is known anyhow.
        """
        return self._table.multiply(queries, start, stop, floor)

    def limits(self, threshold: float) -> tuple[np.float32, np.float32]:
        """Return (low, high): below `low` a cosine is surely below the threshold, from `high` on surely not."""
        bound = self.bound
        # Comparisons are in float32: round outwards, so that the band between the two never shrinks.
        low = np.nextafter(np.float32(threshold - bound), np.float32(-np.inf))
        return low, np.nextafter(np.float32(threshold + bound), np.float32(np.inf))


def pairs_reaching(
    vectors: np.ndarray,
    floor: float,
    *,
    kind: Kind | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of rows whose true cosine may be `floor` or more, as (first, second), first < second.

    Every pair that reaches the floor is among them, and none whose cosine is more than twice the bound of
    `CoarseUnits` below it. Time is that of half the table of all cosines.

    Args:
        vectors: `(N, D)`, no zero rows.
        floor: a cosine.
        kind: which table holds them; None takes the fastest.
        progress: called with (rows compared with all later ones, rows in all).
    """
    stored = CoarseUnits.of(vectors, kind=kind)
    for start in range(0, len(vectors), ROWS):
        stop = min(start + ROWS, len(vectors))
        queries = stored.queries(unit_rows(vectors[start:stop]))
        low, _ = stored.limits(floor)
        for column in range(start, len(vectors), stored.columns):
            block = stored.cosines(queries, column, min(column + stored.columns, len(vectors)), low)
            first, second = block.reaching(low)
            first, second = first + start, second + column
            if column == start:
                later = first < second  # each pair once, no row with itself
                first, second = first[later], second[later]
            if len(first):
                yield first, second
        if progress is not None:
            progress(stop, len(vectors))
