"""Three ways to hold directions for fast products: float32, bfloat16, and int8; each knows how far a cosine can be off.

Which is fastest is a matter of the processor, and is measured (`fastest_kind`). None decides anything by itself: a
cosine within the bound of a threshold is computed again, exactly.
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from vec2face.identities.cosine import error_bound

if TYPE_CHECKING:
    import torch

Kind = Literal["float32", "bfloat16", "int8"]

# Below so many rows a bank is compared in the time it takes to load torch.
TORCH_FROM = 20_000
_WIDEST = 4096  # the share of the sum in the error bounds stays small, and sums of int8 products fit int32
_BFLOAT16_UNIT_ROUNDOFF = 2.0**-8
_FLOAT32_UNIT_ROUNDOFF = 2.0**-24
_LARGEST_INT8 = 127
_TILE_ROWS, _TILE_COLUMNS = 512, 2048  # sums of int8 products are scaled while they are in the cache
_TRIALS = 3
_FASTER_BY = 1.2


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


class Table(Protocol):
    """Rows of `vec2face.identities.cosine.unit_rows`, held in one form."""

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
    def stored(self, start: int, stop: int) -> Queries:
        """Return the rows `start` to `stop - 1` in that form, not copied."""

    @abstractmethod
    def multiply(self, queries: Queries, start: int, stop: int) -> "np.ndarray | torch.Tensor":
        """Return the products with the rows `start` to `stop - 1`, `(B, C)`, to be multiplied by the queries' scales.

        They stand in memory that the next call uses again: claiming fresh memory costs up to half of the time.
        """


class Float32Table:
    """Four bytes a feature; NumPy's matrix product."""

    def __init__(self, capacity: int, width: int) -> None:
        self.bound = error_bound(width)
        self._rows = np.empty((capacity, width), dtype=np.float32)
        self._scratch = np.empty(0, dtype=np.float32)

    def store(self, start: int, units: np.ndarray) -> None:
        self._rows[start : start + len(units)] = units

    def queries(self, units: np.ndarray) -> Queries:
        return Queries(units)

    def stored(self, start: int, stop: int) -> Queries:
        return Queries(self._rows[start:stop])

    def multiply(self, queries: Queries, start: int, stop: int) -> np.ndarray:
        size = len(queries.rows) * (stop - start)
        if len(self._scratch) < size:
            self._scratch = np.empty(size, dtype=np.float32)
        out = self._scratch[:size].reshape(len(queries.rows), stop - start)
        return np.matmul(queries.rows, self._rows[start:stop].T, out=out)


class BFloat16Table:
    """Two bytes a feature, on processors that multiply them faster than float32."""

    def __init__(self, capacity: int, width: int) -> None:
        import torch

        self.bound = bfloat16_error_bound(width)
        self._rows = torch.empty((capacity, width), dtype=torch.bfloat16)
        self._scratch = torch.empty(0, dtype=torch.bfloat16)

    def store(self, start: int, units: np.ndarray) -> None:
        self._rows[start : start + len(units)] = self.queries(units).rows

    def queries(self, units: np.ndarray) -> Queries:
        import torch

        return Queries(torch.from_numpy(units).to(torch.bfloat16))

    def stored(self, start: int, stop: int) -> Queries:
        return Queries(self._rows[start:stop])

    def multiply(self, queries: Queries, start: int, stop: int) -> "torch.Tensor":
        import torch

        self._scratch = _enough(self._scratch, len(queries.rows) * (stop - start))
        out = _shaped(self._scratch, len(queries.rows), stop - start)
        return torch.mm(queries.rows, self._rows[start:stop].T, out=out)


class Int8Table:
    """One byte a feature: every row divided by a 127th of its largest coordinate, and rounded.

    What rounding took from each row is measured, and the longest such rest decides the bound: with rests r and s of two
    unit rows, the product of the rounded ones is off by (1 + r) s + r at most (Cauchy and Schwarz).
    """

    def __init__(self, capacity: int, width: int) -> None:
        import torch

        self._rows = torch.empty((capacity, width), dtype=torch.int8)
        self._scales = torch.empty(capacity)
        self._scratch = torch.empty(0)
        self._sums = torch.empty(_TILE_ROWS * _TILE_COLUMNS, dtype=torch.int32)
        self._longest_rest = 0.0
        self._arithmetic = error_bound(width)

    @property
    def bound(self) -> float:
        rest = self._longest_rest
        # The rounded rows are multiplied exactly; int32 to float32, and two scales, round three times.
        return rest * (2.0 + rest) + self._arithmetic + 4 * _FLOAT32_UNIT_ROUNDOFF * (1.0 + rest) ** 2

    def store(self, start: int, units: np.ndarray) -> None:
        import torch

        queries = self.queries(units)
        self._rows[start : start + len(units)] = queries.rows
        self._scales[start : start + len(units)] = torch.from_numpy(queries.scales)

    def queries(self, units: np.ndarray) -> Queries:
        import torch

        scales = np.abs(units).max(axis=1) / np.float32(_LARGEST_INT8)
        rounded = np.rint(units / scales[:, None])
        rests = units - rounded.astype(np.float64) * scales[:, None]
        self._longest_rest = max(self._longest_rest, float(np.sqrt(np.einsum("nd,nd->n", rests, rests).max())))
        return Queries(torch.from_numpy(rounded.astype(np.int8)), scales)

    def stored(self, start: int, stop: int) -> Queries:
        return Queries(self._rows[start:stop], self._scales[start:stop].numpy())

    def multiply(self, queries: Queries, start: int, stop: int) -> "torch.Tensor":
        import torch

        count, columns = len(queries.rows), stop - start
        self._scratch = _enough(self._scratch, count * columns)
        out = _shaped(self._scratch, count, columns)
        for row in range(0, count, _TILE_ROWS):
            rows = queries.rows[row : row + _TILE_ROWS]
            for column in range(start, stop, _TILE_COLUMNS):
                end = min(column + _TILE_COLUMNS, stop)
                sums = _shaped(self._sums, len(rows), end - column)
                torch._int_mm(rows, self._rows[column:end].T, out=sums)
                tile = out[row : row + len(rows), column - start : end - start]
                tile.copy_(sums)
                tile.mul_(self._scales[column:end])
        return out


TABLES: dict[Kind, Callable[[int, int], Table]] = {
    "float32": Float32Table,
    "bfloat16": BFloat16Table,
    "int8": Int8Table,
}


def bfloat16_error_bound(width: int) -> float:
    """How far a bfloat16 product of two unit rows, summed in float32 and rounded to bfloat16, can be from the cosine.

    Each factor is rounded once (2u + u^2 of sum |x_i y_i| <= 1), the sum as in `error_bound`, doubled because some
    processors add two products in one step of their own rounding, and the result once more.
    """
    u = _BFLOAT16_UNIT_ROUNDOFF
    before_rounding = 2 * u + u * u + 2 * error_bound(width)
    return before_rounding + u * (1 + before_rounding)


def fastest_kind(rows: int, width: int) -> Kind:
    """Return the kind in which `rows` of `width` features are compared fastest on this machine (measured once)."""
    return _fastest(width) if rows >= TORCH_FROM and width <= _WIDEST else "float32"


@lru_cache
def _fastest(width: int) -> Kind:
    rng = np.random.default_rng(0)
    units = rng.standard_normal((_TILE_COLUMNS, width)).astype(np.float32)
    units /= np.sqrt(np.einsum("nd,nd->n", units, units))[:, None]
    kinds: list[Kind] = ["float32", "bfloat16"]
    if _int8_is_exact(width):
        kinds.append("int8")
    tables = {kind: TABLES[kind](_TILE_COLUMNS, width) for kind in kinds}
    seconds: dict[Kind, float] = {}
    for _ in range(_TRIALS):
        for kind, table in tables.items():
            table.store(0, units)
            queries = table.queries(units[:_TILE_ROWS])
            start = time.perf_counter()
            table.multiply(queries, 0, _TILE_COLUMNS)
            seconds[kind] = min(seconds.get(kind, np.inf), time.perf_counter() - start)
    fastest = min(kinds, key=lambda kind: seconds[kind])
    return fastest if seconds[fastest] * _FASTER_BY < seconds["float32"] else "float32"


def _int8_is_exact(width: int) -> bool:
    """Whether this build of torch multiplies int8 matrices without losing a bit, as on some processors it would."""
    import torch

    if not hasattr(torch, "_int_mm"):
        return False
    signs = np.where(np.random.default_rng(0).random((2, 32, width)) < 0.25, -1, 1).astype(np.int8)
    first, second = signs * _LARGEST_INT8
    try:
        found = torch._int_mm(torch.from_numpy(first), torch.from_numpy(second).T).numpy()
    except RuntimeError:
        return False
    return bool(np.array_equal(found, first.astype(np.int64) @ second.astype(np.int64).T))


def _enough(scratch: "torch.Tensor", size: int) -> "torch.Tensor":
    return scratch if len(scratch) >= size else scratch.new_empty(size)


def _shaped(scratch: "torch.Tensor", rows: int, columns: int) -> "torch.Tensor":
    return scratch[: rows * columns].view(rows, columns)
