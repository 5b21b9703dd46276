"""What a table of directions is: rows held in one form, to be multiplied fast, with a known error."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

FLOAT32_UNIT_ROUNDOFF = 2.0**-24
OUT_OF_REACH = np.float32(1.5)  # of any cosine
COLUMNS = 2048  # with some hundred queries, a block of products that stays in the cache


@dataclass(frozen=True, eq=False)
class Queries:
    """Directions in the form that a table multiplies; `queries[keep]` takes some of them.

    Attributes:
        rows: array or tensor `(B, D)`.
        scales: float32 `(B,)`, what the rows were divided by; None for 1.
    """

    rows: Any
    scales: np.ndarray | None = None

    def __getitem__(self, keep: np.ndarray) -> "Queries":
        return Queries(self.rows[keep], None if self.scales is None else self.scales[keep])


class CosineBlock(Protocol):
    """Cosines of some queries to some stored rows, `(B, C)`, each within the bound of its table.

    They hold until the next block is asked for.
    """

    @abstractmethod
    def highest(self) -> np.ndarray:
        """Return the largest of each query's cosines, float32 `(B,)`."""

    @abstractmethod
    def reaching(self, floor: np.float32, *, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return query and column of every value at or above `floor`, in order; of the queries `rows`, or of all.

        `floor` is that of `Table.multiply` or more.
        """


class Table(Protocol):
    """Rows of `vec2face.identities.cosine.unit_rows`, held in one form.

    Attributes:
        columns: how many rows are best multiplied at once.
    """

    columns: int

    @property
    @abstractmethod
    def bound(self) -> float:
        """How far a cosine computed here can be from the true one, for all rows and queries up to now."""

    @abstractmethod
    def store(self, start: int, units: np.ndarray) -> None:
        """Put float32 rows `(B, D)` at `start`."""

    @abstractmethod
    def queries(self, units: np.ndarray) -> Queries:
        """Return float32 rows `(B, D)` in the form that `multiply` takes."""

    @abstractmethod
    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> CosineBlock:
        """Return the cosines to the rows `start` to `stop - 1`, those below `floor` only if they cost nothing.

        They stand in memory that the next call uses again: claiming fresh memory costs up to half of the time.
        """


def in_order(found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and columns, found in parts `(2, K)`, in order of both."""
    queries, columns = np.concatenate([np.empty((2, 0), dtype=np.int64), *found], axis=1)
    order = np.lexsort((columns, queries))
    return queries[order], columns[order]


class DenseBlock(CosineBlock):
    """All cosines at hand, in an array or tensor `(B, C)`, to be multiplied by the queries' scales."""

    def __init__(self, values: Any, scales: np.ndarray | None = None) -> None:
        self._values = values
        self._scales = scales
        self._numpy = isinstance(values, np.ndarray)

    def highest(self) -> np.ndarray:
        highest: np.ndarray = self._values.max(axis=1) if self._numpy else self._values.amax(dim=1).float().numpy()
        return highest if self._scales is None else highest * self._scales

    def reaching(self, floor: np.float32, *, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        if rows is None:
            rows = np.flatnonzero(self.highest() >= floor)
        if not len(rows):
            return rows, rows
        values = self._values[rows] if self._numpy else self._values[rows].float().numpy()
        if self._scales is not None:
            values = values * self._scales[rows, None]
        at = np.flatnonzero(values >= floor)
        return rows[at // values.shape[1]], at % values.shape[1]
