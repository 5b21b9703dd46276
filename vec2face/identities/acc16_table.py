"""Directions as bytes, multiplied by a kernel of our own that sums in 16 bits (`vec2face.identities.acc16_kernel`)."""

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from vec2face.identities.acc16_kernel import PANEL, TOGETHER, Close, Room, Segments, is_supported, kernel
from vec2face.identities.byte_table import ZERO, ByteTable
from vec2face.identities.cosine import unit_rows
from vec2face.identities.table import OUT_OF_REACH, CosineBlock, Queries, in_order

_LARGEST_SUM = 2**15 - 1
_LONGEST_STORED = 160.0  # part of a row, in steps; of Gaussian ones a coordinate decides the step sooner
_SLACK = 0.5  # in the length of part of a query: more than float32 arithmetic can be off
_NEVER = 2**31 - 1
_TRIAL_ROWS = 33
_ALIGNMENT = 64


@dataclass(frozen=True, eq=False)
class _PanelQueries(Queries):
    """Queries arranged for the kernel, once."""

    def __getitem__(self, keep: np.ndarray) -> Queries:
        kept = super().__getitem__(keep)
        return _PanelQueries(kept.rows, kept.scales)

    @property
    def segments(self) -> Segments:
        return Segments.of(self.rows.shape[1])

    @cached_property
    def panels(self) -> np.ndarray:
        padded = self.segments.padded
        count = -(-len(self.rows) // PANEL)
        filled = np.zeros((count * PANEL, padded), dtype=np.int8)
        filled[: len(self.rows), : self.rows.shape[1]] = self.rows
        parted = filled.reshape(count, PANEL, padded // TOGETHER, TOGETHER).transpose(0, 2, 1, 3)
        panels = _aligned(parted.size).reshape(parted.shape)
        panels[:] = parted
        return panels

    @cached_property
    def first(self) -> np.ndarray:
        """What takes the zero of the stored bytes away again from every sum, int16, whatever it is in more bits."""
        segments = self.segments
        lanes = self.panels.reshape(len(self.panels), segments.count, -1, PANEL, TOGETHER // 2, 2)
        return (lanes.sum(axis=(2, 5), dtype=np.int32) * -ZERO).astype(np.int16)


class Acc16Table(ByteTable):
    """Rows and queries are divided so that no sum can leave 16 bits, whichever two of them meet.

    A sum takes two of every four features of a segment. With s and q those of a row and of a query, it is |s| |q| at
    most (Cauchy and Schwarz): the rows keep the one below a limit, the queries the other. On the way there a sum may
    leave 16 bits; it comes back by as much.
    """

    columns = 16_384

    def __init__(self, capacity: int, width: int) -> None:
        self._segments = Segments.of(width)
        super().__init__(capacity, width, padded=self._segments.padded)
        self._kernel = kernel(width)
        self._rooms = threading.local()
        self._rounding = math.sqrt(self._segments.size // 2) / 2  # by how much it can lengthen part of a row

    def _longest_parts(self, units: np.ndarray) -> np.ndarray:
        """Return how long that part of each row is at most which one sum takes, float32 `(B,)`."""
        # Added side by side, in memory's order. A matrix product would leave threads behind that spin.
        squares = np.zeros((self._segments.padded, len(units)), dtype=np.float32)
        np.square(units.T, out=squares[: self.width])
        by_feature = squares.reshape(self._segments.count, -1, TOGETHER, len(units)).sum(axis=1)
        parts = by_feature.reshape(self._segments.count, TOGETHER // 2, 2, len(units)).sum(axis=2)
        longest: np.ndarray = np.sqrt(parts.max(axis=(0, 1)))
        return longest

    def _smallest_step(self, units: np.ndarray) -> np.float32:
        by_length = self._longest_parts(units).max() / (_LONGEST_STORED - self._rounding)
        return max(super()._smallest_step(units), np.float32(by_length))

    def _scales(self, units: np.ndarray) -> np.ndarray:
        by_length = self._longest_parts(units) / np.float32(_LARGEST_SUM / _LONGEST_STORED - self._rounding - _SLACK)
        scales: np.ndarray = np.maximum(super()._scales(units), by_length)
        return scales

    def _arranged(self, rounded: np.ndarray, scales: np.ndarray) -> Queries:
        return _PanelQueries(rounded, scales)

    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> "_CloseBlock":
        some = cast(_PanelQueries, queries)
        panels, first = some.panels, some.first
        scales = cast(np.ndarray, some.scales) * self._step
        limits = np.full(len(panels) * PANEL, _NEVER, dtype=np.int32)
        limits[: len(scales)] = _limits(floor, scales)

        def multiply(rows: np.ndarray, part: slice) -> tuple[np.ndarray, list[Close]]:
            highest, close = self._kernel(rows, panels, first, limits, self._room(len(rows), len(panels)))
            for tiles in close:
                tiles.places[:, 0] += part.start
            return highest, close

        found = self._in_tiles(start, stop, multiply)
        highest = np.max([each for each, _ in found], axis=0)[: len(scales)]
        return _CloseBlock(highest, [tiles for _, close in found for tiles in close], scales)

    def _room(self, rows: int, panels: int) -> Room:
        """Return memory of this thread's own. Fresh memory for each tile cost sampling 5 percent at 128 features."""
        room: Room | None = getattr(self._rooms, "room", None)
        if room is None or not room.is_enough(rows, panels):
            room = self._rooms.room = Room(rows, panels)
        return room


class _CloseBlock(CosineBlock):
    """The largest product of each query, and the tiles that hold one at or above the floor."""

    def __init__(self, products: np.ndarray, close: list[Close], scales: np.ndarray) -> None:
        self.products = products
        self._close = close
        self._scales = scales

    def highest(self) -> np.ndarray:
        highest: np.ndarray = self.products.astype(np.float32) * self._scales
        return highest

    def reaching(self, floor: np.float32, *, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        found = []
        asked = np.zeros(len(self._scales) + PANEL, dtype=bool)  # with those that fill the last panel
        asked[np.arange(len(self._scales)) if rows is None else rows] = True
        scales = np.pad(self._scales, (0, PANEL))
        for tiles in self._close:
            queries = tiles.places[:, 1, None] + np.arange(PANEL)
            reached = (tiles.products * scales[queries][:, None] >= floor) & asked[queries][:, None]
            tile, row, query = np.nonzero(reached)
            found.append(np.stack([queries[tile, query], tiles.places[tile, 0] + row]))
        return in_order(found)


def is_exact(width: int) -> bool:
    """Whether the kernel can be made here, and multiplies what strains it most without losing a bit."""
    if not is_supported():
        return False
    signs = np.where(np.random.default_rng(0).random((_TRIAL_ROWS, width)) < 0.25, -1, 1)
    units = unit_rows(signs.astype(np.float32))
    try:
        table = Acc16Table(len(units), width)
    except (AttributeError, RuntimeError, TypeError):  # another release of llvmlite than it was written for
        return False
    table.store(0, units)
    queries = table.queries(units)
    expected = queries.rows.astype(np.int64) @ (table._rows[:, :width].astype(np.int64) - ZERO).T
    for rows in (1, len(units)):
        starts = range(0, len(units), rows)
        found = [table.multiply(queries, start, start + rows, OUT_OF_REACH).products for start in starts]
        if not np.array_equal(np.stack(found, axis=1), expected.reshape(len(units), -1, rows).max(axis=2)):
            return False
    return True


def _limits(floor: np.float32, scales: np.ndarray) -> np.ndarray:
    """Return from where on products of each query may reach the floor: a little lower, since scaling rounds."""
    lowest = np.floor(float(floor) / scales.astype(np.float64) * (1.0 - 1e-6 * np.sign(floor))) - 1
    return np.clip(lowest, -_NEVER, _NEVER).astype(np.int32)


def _aligned(size: int) -> np.ndarray:
    """Return `size` int8 that begin with a line of the cache, so that no register's load takes two lines."""
    memory = np.empty(size + _ALIGNMENT, dtype=np.int8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]
