"""Many cosines at once, each with a known error: the fast filter before an exact decision.

Where the processor multiplies bfloat16 numbers faster than float32, a large bank is held and multiplied in bfloat16.
That changes the time alone: whatever lies within the error of a threshold is decided by exact cosines.
"""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vec2face.identities.cosine import error_bound, unit_rows

if TYPE_CHECKING:
    import torch

# Below so many rows a bank is compared in the time it takes to load torch.
BFLOAT16_FROM = 20_000
_WIDEST_BFLOAT16 = 4096  # the share of the sum in the error bound stays small
_BFLOAT16_UNIT_ROUNDOFF = 2.0**-8
_TRIAL_ROWS, _TRIAL_COLUMNS, _TRIALS = 512, 4096, 3
_FASTER_BY = 1.2
_STORED_AT_ONCE = 8192
_ROWS, _COLUMNS = 1024, 8192  # a block of cosines of 16 or 32 MiB


class CosineBlock:
    """Cosines of some queries to some stored rows, `(B, C)`, each within the bound of its `CoarseUnits`."""

    def __init__(self, values: "np.ndarray | torch.Tensor") -> None:
        self._values: Any = values
        self._numpy = isinstance(values, np.ndarray)

    def highest(self) -> np.ndarray:
        """Return the largest of each query's cosines, float32 `(B,)`."""
        highest: np.ndarray = self._values.max(axis=1) if self._numpy else self._values.amax(dim=1).float().numpy()
        return highest

    def row(self, query: int) -> np.ndarray:
        """Return one query's cosines, float32 `(C,)`."""
        row: np.ndarray = self._values[query] if self._numpy else self._values[query].float().numpy()
        return row

    def reaching(self, floor: np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Return query and column of every value at or above `floor`, in order."""
        rows = np.flatnonzero(self.highest() >= floor)
        if not len(rows):
            return rows, rows
        values = self._values[rows] if self._numpy else self._values[rows].float().numpy()
        at = np.flatnonzero(values >= floor)
        return rows[at // values.shape[1]], at % values.shape[1]


class CoarseUnits:
    """Vectors of length 1 to be compared with many others, memory O(N D): four bytes a feature, or two in bfloat16.

    Attributes:
        bound: how far a cosine computed here can be from the true one.
    """

    def __init__(self, capacity: int, width: int, *, bfloat16: bool | None = None) -> None:
        """Make room for `capacity` rows; `bfloat16` None takes the faster kind for that many."""
        self._rows: Any
        self._bfloat16 = bfloat16_pays(capacity, width) if bfloat16 is None else bfloat16
        if self._bfloat16:
            import torch

            self._rows = torch.empty((capacity, width), dtype=torch.bfloat16)
        else:
            self._rows = np.empty((capacity, width), dtype=np.float32)
        self.bound = bfloat16_error_bound(width) if self._bfloat16 else error_bound(width)

    @classmethod
    def of(cls, vectors: np.ndarray, *, bfloat16: bool | None = None) -> "CoarseUnits":
        """Return the directions of `vectors` `(N, D)`."""
        stored = cls(*vectors.shape, bfloat16=bfloat16)
        for start in range(0, len(vectors), _STORED_AT_ONCE):
            stored.store(start, unit_rows(vectors[start : start + _STORED_AT_ONCE]))
        return stored

    def __len__(self) -> int:
        return len(self._rows)

    def store(self, start: int, units: np.ndarray) -> None:
        """Put rows of `unit_rows` at `start`."""
        if self._bfloat16:
            import torch

            self._rows[start : start + len(units)] = torch.from_numpy(units)
        else:
            self._rows[start : start + len(units)] = units

    def queries(self, units: np.ndarray) -> "np.ndarray | torch.Tensor":
        """Return rows of `unit_rows` in the form that `cosines` takes."""
        if not self._bfloat16:
            return units
        import torch

        return torch.from_numpy(units).to(torch.bfloat16)

    def cosines(self, queries: "np.ndarray | torch.Tensor", start: int, stop: int) -> CosineBlock:
        """Compare prepared `queries` with the stored rows `start` to `stop - 1`."""
        return CosineBlock(queries @ self._rows[start:stop].T)

    def pairs_reaching(
        self, floor: float, *, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the pairs of stored rows whose true cosine may be `floor` or more, as (first, second), first < second.

        Every pair that reaches the floor is among them, and none whose cosine is more than twice `bound` below it. Time
        is that of half the table of all cosines.

        Args:
            floor: a cosine.
            progress: called with (rows compared with all later ones, rows in all).
        """
        low, _ = self.limits(floor)
        for start in range(0, len(self), _ROWS):
            stop = min(start + _ROWS, len(self))
            for column in range(start, len(self), _COLUMNS):
                block = self.cosines(self._rows[start:stop], column, min(column + _COLUMNS, len(self)))
                first, second = block.reaching(low)
                first, second = first + start, second + column
                if column == start:
                    later = first < second  # each pair once, no row with itself
                    first, second = first[later], second[later]
                if len(first):
                    yield first, second
            if progress is not None:
                progress(stop, len(self))

    def limits(self, threshold: float) -> tuple[np.float32, np.float32]:
        """Return (low, high): below `low` a cosine is surely below the threshold, from `high` on surely not."""
        # Comparisons are in float32: round outwards, so that the band between the two never shrinks.
        low = np.nextafter(np.float32(threshold - self.bound), np.float32(-np.inf))
        return low, np.nextafter(np.float32(threshold + self.bound), np.float32(np.inf))


def bfloat16_error_bound(width: int) -> float:
    """How far a bfloat16 product of two unit rows, summed in float32 and rounded to bfloat16, can be from the cosine.

    Each factor is rounded once (2u + u^2 of sum |x_i y_i| <= 1), the sum as in `error_bound`, doubled because some
    processors add two products in one step of their own rounding, and the result once more.
    """
    u = _BFLOAT16_UNIT_ROUNDOFF
    before_rounding = 2 * u + u * u + 2 * error_bound(width)
    return before_rounding + u * (1 + before_rounding)


def bfloat16_pays(rows: int, width: int) -> bool:
    """Whether `rows` of `width` features are compared faster in bfloat16 on this machine (measured once)."""
    return rows >= BFLOAT16_FROM and width <= _WIDEST_BFLOAT16 and _bfloat16_is_faster(width)


@lru_cache
def _bfloat16_is_faster(width: int) -> bool:
    import torch

    wide = np.full((_TRIAL_COLUMNS, width), 0.01, dtype=np.float32)
    narrow = torch.from_numpy(wide).to(torch.bfloat16)
    seconds = {"float32": [], "bfloat16": []}  # type: dict[str, list[float]]
    for _ in range(_TRIALS):
        for kind, table in (("float32", wide), ("bfloat16", narrow)):
            start = time.perf_counter()
            table[:_TRIAL_ROWS] @ table.T
            seconds[kind].append(time.perf_counter() - start)
    return min(seconds["bfloat16"]) * _FASTER_BY < min(seconds["float32"])
