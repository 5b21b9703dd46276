"""What a table of directions is: rows held in one form, to be multiplied fast, with a known error."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

FLOAT32_UNIT_ROUNDOFF = 2.0**-24
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


@dataclass(frozen=True, eq=False)
class Products:
    """Products of queries and stored rows, to be multiplied by the queries' scales and `scale`.

    Attributes:
        values: array or tensor `(B, C)`.
        highest: `(P, B)` the largest of each query's with every `part` stored rows, where they came about on the way;
            the values are then the transpose of an array `(C, B)`. Else None.
        part: how many stored rows make a part.
        scale: what the stored rows were divided by.
    """

    values: Any
    highest: np.ndarray | None = None
    part: int = 0
    scale: float = 1.0


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
    def multiply(self, queries: Queries, start: int, stop: int) -> Products:
        """Return the products with the rows `start` to `stop - 1`.

        They stand in memory that the next call uses again: claiming fresh memory costs up to half of the time.
        """
