"""Many cosines at once, each with a known error: the fast filter before an exact decision.

A large bank is held and multiplied in whatever kind of number the processor is fastest at
(`vec2face.identities.tables`). That changes the time alone: whatever lies within the error of a threshold is decided by
exact cosines.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from vec2face.identities.cosine import unit_rows
from vec2face.identities.table import Products, Queries
from vec2face.identities.tables import TABLES, Kind, fastest_kind

_STORED_AT_ONCE = 8192
ROWS = 512  # compared together
_FEW = 16


class CosineBlock:
    """Cosines of some queries to some stored rows, `(B, C)`, each within the bound of its `CoarseUnits`.

    They hold until the next block is asked for.
    """

    def __init__(self, products: Products, scales: np.ndarray | None) -> None:
        self._products = products
        self._values: Any = products.values
        self._scales = None if scales is None else scales * products.scale
        self._numpy = isinstance(products.values, np.ndarray)

    def highest(self) -> np.ndarray:
        """Return the largest of each query's cosines, float32 `(B,)`."""
        highest: np.ndarray
        if self._products.highest is not None:
            highest = self._products.highest.max(axis=0)
        else:
            highest = self._values.max(axis=1) if self._numpy else self._values.amax(dim=1).float().numpy()
        return highest if self._scales is None else highest.astype(np.float32, copy=False) * self._scales

    def reaching(self, floor: np.float32, *, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return query and column of every value at or above `floor`, in order; of the queries `rows`, or of all."""
        if rows is None:
            rows = np.flatnonzero(self.highest() >= floor)
        if not len(rows):
            return rows, rows
        if self._products.highest is not None:
            return self._reaching_by_parts(floor, rows)
        values = self._values[rows] if self._numpy else self._values[rows].float().numpy()
        if self._scales is not None:
            values = values * self._scales[rows, None]
        at = np.flatnonzero(values >= floor)
        return rows[at // values.shape[1]], at % values.shape[1]

    def _reaching_by_parts(self, floor: np.float32, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `reaching`, looking at the parts alone whose largest product reaches the floor."""
        scales, highest = cast(np.ndarray, self._scales), cast(np.ndarray, self._products.highest)
        found = [np.empty((2, 0), dtype=np.int64)]
        reached = highest[:, rows].astype(np.float32) * scales[rows] >= floor
        for part in np.flatnonzero(reached.any(axis=1)):
            start = part * self._products.part
            columns = self._values[:, start : start + self._products.part]
            queried = rows[reached[part]]
            # Along their own memory where there are many.
            values = columns[queried] if len(queried) < _FEW else np.take(columns.T, queried, axis=1).T
            some, places = np.divmod(np.flatnonzero(values * scales[queried, None] >= floor), columns.shape[1])
            found.append(np.stack([queried[some], start + places]))
        queries, columns = np.concatenate(found, axis=1)
        order = np.lexsort((columns, queries))
        return queries[order], columns[order]


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

    def cosines(self, queries: Queries, start: int, stop: int) -> CosineBlock:
        """Compare prepared `queries` with the stored rows `start` to `stop - 1`."""
        return CosineBlock(self._table.multiply(queries, start, stop), queries.scales)

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
            block = stored.cosines(queries, column, min(column + stored.columns, len(vectors)))
            first, second = block.reaching(low)
            first, second = first + start, second + column
            if column == start:
                later = first < second  # each pair once, no row with itself
                first, second = first[later], second[later]
            if len(first):
                yield first, second
        if progress is not None:
            progress(stop, len(vectors))
