"""Directions as float32 or bfloat16 numbers."""

from typing import TYPE_CHECKING

import numpy as np

from vec2face.identities.cosine import error_bound
from vec2face.identities.table import COLUMNS, DenseBlock, Queries

if TYPE_CHECKING:
    import torch

_BFLOAT16_UNIT_ROUNDOFF = 2.0**-8


class Float32Table:
    """Four bytes a feature; NumPy's matrix product."""

    columns = COLUMNS

    def __init__(self, capacity: int, width: int) -> None:
        self.bound = error_bound(width)
        self._rows = np.empty((capacity, width), dtype=np.float32)
        self._scratch = np.empty(0, dtype=np.float32)

    def store(self, start: int, units: np.ndarray) -> None:
        self._rows[start : start + len(units)] = units

    def queries(self, units: np.ndarray) -> Queries:
        return Queries(units)

    def stored(self, start: int, stop: int) -> np.ndarray:
        """Return the rows `start` to `stop - 1`, not copied."""
        return self._rows[start:stop]

    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> DenseBlock:
        return DenseBlock(self.products(queries.rows, start, stop))

    def products(self, rows: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the products of `rows` `(B, D)` with the rows `start` to `stop - 1`, in the memory of `multiply`."""
        size = len(rows) * (stop - start)
        if len(self._scratch) < size:
            self._scratch = np.empty(size, dtype=np.float32)
        out = self._scratch[:size].reshape(len(rows), stop - start)
        return np.matmul(rows, self._rows[start:stop].T, out=out)


class BFloat16Table:
    """Two bytes a feature, on processors that multiply them faster than float32."""

    columns = COLUMNS

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

    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> DenseBlock:
        import torch

        self._scratch = enough(self._scratch, len(queries.rows) * (stop - start))
        out = shaped(self._scratch, len(queries.rows), stop - start)
        return DenseBlock(torch.mm(queries.rows, self._rows[start:stop].T, out=out))


def bfloat16_error_bound(width: int) -> float:
    """How far a bfloat16 product of two unit rows, summed in float32 and rounded to bfloat16, can be from the cosine.

    Each factor is rounded once (2u + u^2 of sum |x_i y_i| <= 1), the sum as in `error_bound`, doubled because some
    processors add two products in one step of their own rounding, and the result once more.
    """
    u = _BFLOAT16_UNIT_ROUNDOFF
    before_rounding = 2 * u + u * u + 2 * error_bound(width)
    return before_rounding + u * (1 + before_rounding)


def enough(scratch: "torch.Tensor", size: int) -> "torch.Tensor":
    """Return memory for `size` numbers: `scratch`, or new memory of its kind."""
    return scratch if len(scratch) >= size else scratch.new_empty(size)


def shaped(scratch: "torch.Tensor", rows: int, columns: int) -> "torch.Tensor":
    """Return the beginning of `scratch` as a matrix."""
    return scratch[: rows * columns].view(rows, columns)
