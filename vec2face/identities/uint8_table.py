"""Directions as bytes, multiplied by ONNX Runtime: twice as fast as float32 on processors without any such help.

Its MatMulInteger multiplies unsigned by signed bytes. Processors without instructions for more than two products at a
time cut the sum of each two off at 2^15 - 1. So stored rows have 7 bits around a zero of 64, and queries 8 bits:
2 * 127 * 127 just fits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from vec2face.identities.cosine import error_bound
from vec2face.identities.table import FLOAT32_UNIT_ROUNDOFF, Products, Queries

_ZERO = 64
_LARGEST_STORED, _LARGEST_QUERIED = 63, 127
_HEADROOM = 1.4  # over the largest coordinate of the rows that are stored first
_TILE_BYTES = 1 << 17  # of stored rows that are multiplied at once: they stay in a core's cache
_TILE_ROWS = 512  # or more
_PACKED_FROM = 1 << 14  # stored rows; fewer are multiplied in the time it takes to arrange the queries for it once
_OPSET, _IR_VERSION = 10, 7  # what onnxruntime 1.18 and later read


@dataclass(frozen=True, eq=False)
class _ByteQueries(Queries):
    """Queries as the columns of a matrix, which is arranged for the product once if much is multiplied by it."""

    used: list[int] = field(default_factory=lambda: [0])

    def __getitem__(self, keep: np.ndarray) -> Queries:
        kept = super().__getitem__(keep)
        return _ByteQueries(kept.rows, kept.scales)

    @cached_property
    def columns(self) -> np.ndarray:
        return np.ascontiguousarray(self.rows.T)

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        return session_of(self.columns)


class UInt8Table:
    """One byte a feature: all rows are divided by one step and rounded, each query by a step of its own.

    With one step for all, the largest product is that of the largest cosine, and no pass over the products scales them.
    The step doubles if a row comes that does not fit. What rounding took is measured, and the longest such rests decide
    the bound: with rests r of a query and s of a stored row, the product of the rounded ones is off by (1 + s) r + s at
    most (Cauchy and Schwarz).
    """

    columns = 8192  # so many that threads seldom wait for each other; what is in the cache is a tile

    def __init__(self, capacity: int, width: int) -> None:
        self._rows = np.empty((capacity, width), dtype=np.uint8)
        self._size = 0
        self._step = np.float32(0)
        self._rest = self._rest_of_queries = 0.0
        self._arithmetic = error_bound(width)
        self._session = session_of()
        self._tile = max(_TILE_BYTES // width, _TILE_ROWS)
        self._scratch = np.empty(0, dtype=np.int32)
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
        self._make_room_for(np.abs(units).max())
        rounded = np.rint(units / self._step)
        self._rest = max(self._rest, _longest_rest(units, rounded, self._step))
        self._rows[start : start + len(units)] = (rounded + np.float32(_ZERO)).astype(np.uint8)
        self._size = max(self._size, start + len(units))

    def queries(self, units: np.ndarray) -> Queries:
        scales = np.abs(units).max(axis=1) / np.float32(_LARGEST_QUERIED)
        rounded = np.rint(units / scales[:, None])
        self._rest_of_queries = max(self._rest_of_queries, _longest_rest(units, rounded, scales[:, None]))
        return _ByteQueries(rounded.astype(np.int8), scales)

    def multiply(self, queries: Queries, start: int, stop: int) -> Products:
        count, columns = stop - start, len(queries.rows)
        if len(self._scratch) < count * columns:
            self._scratch = np.empty(count * columns, dtype=np.int32)
        out = self._scratch[: count * columns].reshape(count, columns)
        multiply = self._product(cast(_ByteQueries, queries), count)
        tile = min(self._tile, -(-count // self._threads))
        starts = range(0, count, tile)
        highest = np.empty((len(starts), columns), dtype=np.int32)

        def work(first: int) -> None:
            for place in range(first, len(starts), self._threads):
                part = slice(starts[place], min(starts[place] + tile, count))
                multiply(self._rows[start + part.start : start + part.stop], out[part])
                out[part].max(axis=0, out=highest[place])  # while they are in the cache

        others = [] if self._pool is None else [self._pool.submit(work, first) for first in range(1, self._threads)]
        work(0)
        for other in others:
            other.result()
        return Products(out.T, highest, tile, float(self._step))

    def _product(self, queries: _ByteQueries, count: int) -> Callable[[np.ndarray, np.ndarray], None]:
        queries.used[0] += count
        if queries.used[0] >= _PACKED_FROM:
            session = queries.session
            return lambda rows, out: multiply_bytes(session, rows, None, out)
        matrix = queries.columns
        return lambda rows, out: multiply_bytes(self._session, rows, matrix, out)

    def _make_room_for(self, largest: np.float32) -> None:
        """Make the step so large that such a coordinate can be stored."""
        if self._step == 0:
            self._step = np.float32(largest * _HEADROOM / _LARGEST_STORED)
        while largest > self._step * np.float32(_LARGEST_STORED):
            self._rest += self._double_step()

    def _double_step(self) -> float:
        """Round all stored rows anew. Returns by how much a row was moved at most."""
        moved = 0.0
        for start in range(0, self._size, _TILE_ROWS):
            stored = self._rows[start : min(start + _TILE_ROWS, self._size)]
            rows = stored.astype(np.float32) - _ZERO
            halves = np.rint(rows / 2)
            moved = max(moved, _longest_rest(rows * self._step, halves, self._step * 2))
            stored[:] = (halves + np.float32(_ZERO)).astype(np.uint8)
        self._step *= np.float32(2)
        return moved


def is_exact(width: int) -> bool:
    """Whether this build of ONNX Runtime multiplies the largest such bytes without losing a bit."""
    signs = np.where(np.random.default_rng(0).random((2, 32, width)) < 0.25, -1, 1)
    stored = (_ZERO + signs[0] * _LARGEST_STORED).astype(np.uint8)
    queries = np.ascontiguousarray((signs[1] * _LARGEST_QUERIED).astype(np.int8).T)
    expected = (stored.astype(np.int64) - _ZERO) @ queries.astype(np.int64)
    found = np.empty((2, 32, 32), dtype=np.int32)
    multiply_bytes(session_of(), stored, queries, found[0])
    multiply_bytes(session_of(queries), stored, None, found[1])
    return bool((found == expected).all())


def _longest_rest(units: np.ndarray, rounded: np.ndarray, scale: np.ndarray | np.float32) -> float:
    """Return how long `units - rounded * scale` is at most, float32 `(B, D)`, rounding of this sum included."""
    rests = units - rounded * scale
    longest = float(np.sqrt(np.einsum("nd,nd->n", rests, rests).max()))
    return longest * (1.0 + error_bound(units.shape[1])) + 4 * FLOAT32_UNIT_ROUNDOFF


def session_of(queries: np.ndarray | None = None) -> onnxruntime.InferenceSession:
    """Return a product of stored rows `(C, D)` with queries `(D, B)`: these ones, or a second input."""
    inputs = [helper.make_tensor_value_info("stored", TensorProto.UINT8, [None, None])]
    constants = [helper.make_tensor("zero", TensorProto.UINT8, [], bytes([_ZERO]), raw=True)]
    if queries is None:
        inputs.append(helper.make_tensor_value_info("queries", TensorProto.INT8, [None, None]))
    else:
        constants.append(helper.make_tensor("queries", TensorProto.INT8, queries.shape, queries.tobytes(), raw=True))
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["stored", "queries", "zero"], ["products"])],
        "products",
        inputs,
        [helper.make_tensor_value_info("products", TensorProto.INT32, [None, None])],
        constants,
    )
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # tiles are multiplied side by side instead, each in its core's cache
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def multiply_bytes(
    session: onnxruntime.InferenceSession, rows: np.ndarray, queries: np.ndarray | None, out: np.ndarray
) -> None:
    """Put the product of `rows` `(C, D)` with `queries`, or those that the session holds, into `out` `(C, B)`."""
    binding = session.io_binding()
    binding.bind_cpu_input("stored", rows)
    if queries is not None:
        binding.bind_cpu_input("queries", queries)
    binding.bind_output("products", "cpu", 0, np.int32, out.shape, out.ctypes.data)
    session.run_with_iobinding(binding)
