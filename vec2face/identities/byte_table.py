"""Stored directions as unsigned bytes with one step for all, multiplied tile by tile on all threads."""

from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import numpy as np
import torch

from vec2face.identities.cosine import error_bound
from vec2face.identities.table import FLOAT32_UNIT_ROUNDOFF, Queries, Table

ZERO = 64  # the byte that stands for 0
LARGEST_STORED, LARGEST_QUERIED = 63, 127
_HEADROOM = 1.4  # over the smallest step for the rows that are stored first
_TILE_BYTES = 1 << 17  # of stored rows that are multiplied at once: they stay in a core's cache
_TILE_ROWS = 512  # or more

Found = TypeVar("Found")


class ByteTable(Table):
    """One byte a feature: all rows are divided by one step and rounded, each query by a step of its own.

    With one step for all, the largest product is that of the largest cosine, and no pass over the products scales them.
    The step doubles if a row comes that does not fit. What rounding took is measured, and the longest such rests decide
    the bound: with rests r of a query and s of a stored row, the product of the rounded ones is off by (1 + s) r + s at
    most (Cauchy and Schwarz).

    Args:
        padded: bytes of a stored row, `width` or more; those behind the features stand for 0.
    """

    columns = 8192  # so many that threads seldom wait for each other; what is in the cache is a tile

    def __init__(self, capacity: int, width: int, *, padded: int | None = None) -> None:
        self.width = width
        padded = width if padded is None else padded
        self._rows = np.empty((capacity, padded), dtype=np.uint8)
        self._rows[:, width:] = ZERO
        self._size = 0
        self._step = np.float32(0)
        self._rest = self._rest_of_queries = 0.0
        self._arithmetic = error_bound(width)
        self._tile = max(_TILE_BYTES // padded, _TILE_ROWS)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None

    @property
    def bound(self) -> float:
        r, s = self._rest_of_queries, self._rest
        # The rounded rows are multiplied exactly; int32 to float32, and two scales, round three times.
        return (1.0 + s) * r + s + self._arithmetic + 4 * FLOAT32_UNIT_ROUNDOFF * (1.0 + r) * (1.0 + s)

    def store(self, start: int, units: np.ndarray) -> None:
        if not len(units):
            return
        self._make_room_for(self._smallest_step(units))
        rounded = np.clip(np.rint(units / self._step), -LARGEST_STORED, LARGEST_STORED)
        self._rest = max(self._rest, _longest_rest(units, rounded, self._step))
        self._rows[start : start + len(units), : self.width] = (rounded + np.float32(ZERO)).astype(np.uint8)
        self._size = max(self._size, start + len(units))

    def queries(self, units: np.ndarray) -> Queries:
        scales = self._scales(units)
        rounded = np.rint(units / scales[:, None])
        self._rest_of_queries = max(self._rest_of_queries, _longest_rest(units, rounded, scales[:, None]))
        return self._arranged(rounded.astype(np.int8), scales)

    def _smallest_step(self, units: np.ndarray) -> np.float32:
        """Return the smallest step with which rows `(B, D)` can be stored."""
        return np.float32(np.abs(units).max() / LARGEST_STORED)

    def _scales(self, units: np.ndarray) -> np.ndarray:
        """Return what each query is divided by before it is rounded, float32 `(B,)`."""
        scales: np.ndarray = np.abs(units).max(axis=1) / np.float32(LARGEST_QUERIED)
        return scales

    @abstractmethod
    def _arranged(self, rounded: np.ndarray, scales: np.ndarray) -> Queries:
        """Return int8 queries `(B, D)` as `multiply` takes them."""

    def _in_tiles(self, start: int, stop: int, multiply: Callable[[np.ndarray, slice], Found]) -> list[Found]:
        """Call `multiply` in all threads with tiles of stored rows. Returns what it returned, in order.

        Args:
            multiply: is given rows `(T, padded)` and which they are, counted from `start`.
        """
        count = stop - start
        tile = self._rows_of_tile(count)
        starts = range(0, count, tile)
        found: list[Found | None] = [None] * len(starts)
        places = iter(range(len(starts)))  # each thread takes what is next: cores are not equally fast all the time

        def work() -> None:
            for place in places:
                part = slice(starts[place], min(starts[place] + tile, count))
                found[place] = multiply(self._rows[start + part.start : start + part.stop], part)

        others = [] if self._pool is None else [self._pool.submit(work) for _ in range(1, self._threads)]
        work()
        for other in others:
            other.result()
        return cast(list[Found], found)

    def _rows_of_tile(self, count: int) -> int:
        """Return how many rows are multiplied at once where `count` are in all."""
        return max(1, min(self._tile, -(-count // self._threads)))

    def _make_room_for(self, smallest_step: np.float32) -> None:
        if self._step == 0:
            self._step = np.float32(smallest_step * _HEADROOM)
        while smallest_step > self._step:
            self._rest += self._double_step()

    def _double_step(self) -> float:
        """Round all stored rows anew. Returns by how much a row was moved at most."""
        moved = 0.0
        for start in range(0, self._size, _TILE_ROWS):
            stored = self._rows[start : min(start + _TILE_ROWS, self._size), : self.width]
            rows = stored.astype(np.float32) - ZERO
            halves = np.rint(rows / 2)
            moved = max(moved, _longest_rest(rows * self._step, halves, self._step * 2))
            stored[:] = (halves + np.float32(ZERO)).astype(np.uint8)
        self._step *= np.float32(2)
        return moved


def _longest_rest(units: np.ndarray, rounded: np.ndarray, scale: np.ndarray | np.float32) -> float:
    """Return how long `units - rounded * scale` is at most, float32 `(B, D)`, rounding of this sum included."""
    rests = units - rounded * scale
    longest = float(np.sqrt(np.einsum("nd,nd->n", rests, rests).max()))
    return longest * (1.0 + error_bound(units.shape[1])) + 4 * FLOAT32_UNIT_ROUNDOFF
