"""Directions as bytes, multiplied by torch: fast on processors with instructions that add four products of bytes."""

import numpy as np
import torch

from vec2face.identities.cosine import error_bound
from vec2face.identities.float_tables import enough, shaped
from vec2face.identities.table import COLUMNS, FLOAT32_UNIT_ROUNDOFF, DenseBlock, Queries

_LARGEST = 127
_TILE_ROWS, _TILE_COLUMNS = 512, 2048  # sums of products are scaled while they are in the cache


class Int8Table:
    """One byte a feature: every row divided by a 127th of its largest coordinate, and rounded.

    What rounding took from each row is measured, and the longest such rest decides the bound: with rests r and s of two
    unit rows, the product of the rounded ones is off by (1 + r) s + r at most (Cauchy and Schwarz).
    """

    columns = COLUMNS

    def __init__(self, capacity: int, width: int) -> None:
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
        return rest * (2.0 + rest) + self._arithmetic + 4 * FLOAT32_UNIT_ROUNDOFF * (1.0 + rest) ** 2

    def store(self, start: int, units: np.ndarray) -> None:
        queries = self.queries(units)
        self._rows[start : start + len(units)] = queries.rows
        self._scales[start : start + len(units)] = torch.from_numpy(queries.scales)

    def queries(self, units: np.ndarray) -> Queries:
        scales = np.abs(units).max(axis=1) / np.float32(_LARGEST)
        rounded = np.rint(units / scales[:, None])
        rests = units - rounded.astype(np.float64) * scales[:, None]
        self._longest_rest = max(self._longest_rest, float(np.sqrt(np.einsum("nd,nd->n", rests, rests).max())))
        return Queries(torch.from_numpy(rounded.astype(np.int8)), scales)

    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> DenseBlock:
        count, columns = len(queries.rows), stop - start
        self._scratch = enough(self._scratch, count * columns)
        out = shaped(self._scratch, count, columns)
        for row in range(0, count, _TILE_ROWS):
            rows = queries.rows[row : row + _TILE_ROWS]
            for column in range(start, stop, _TILE_COLUMNS):
                end = min(column + _TILE_COLUMNS, stop)
                sums = shaped(self._sums, len(rows), end - column)
                torch._int_mm(rows, self._rows[column:end].T, out=sums)
                tile = out[row : row + len(rows), column - start : end - start]
                tile.copy_(sums)
                tile.mul_(self._scales[column:end])
        return DenseBlock(out, queries.scales)


def is_exact(width: int) -> bool:
    """Whether this build of torch multiplies int8 matrices without losing a bit, as on some processors it would."""
    if not hasattr(torch, "_int_mm"):
        return False
    signs = np.where(np.random.default_rng(0).random((2, 32, width)) < 0.25, -1, 1).astype(np.int8)
    first, second = signs * _LARGEST
    try:
        found = torch._int_mm(torch.from_numpy(first), torch.from_numpy(second).T).numpy()
    except RuntimeError:
        return False
    return bool(np.array_equal(found, first.astype(np.int64) @ second.astype(np.int64).T))
