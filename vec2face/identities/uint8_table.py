"""Directions as bytes, multiplied by ONNX Runtime: twice as fast as float32 on processors without any such help.

Its MatMulInteger multiplies unsigned by signed bytes. Processors without instructions for more than two products at a
time cut the sum of each two off at 2^15 - 1. So stored rows have 7 bits around a zero of 64, and queries 8 bits:
2 * 127 * 127 just fits.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from vec2face.identities.byte_table import LARGEST_QUERIED, LARGEST_STORED, ZERO, ByteTable
from vec2face.identities.table import CosineBlock, Queries, in_order

_PACKED_FROM = 1 << 14  # stored rows; fewer are multiplied in the time it takes to arrange the queries for it once
_FEW = 16  # queries
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


class UInt8Table(ByteTable):
    """Tiles are multiplied side by side, each by ONNX Runtime on one thread."""

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__(capacity, width)
        self._session = session_of()
        self._scratch = np.empty(0, dtype=np.int32)

    def _arranged(self, rounded: np.ndarray, scales: np.ndarray) -> Queries:
        return _ByteQueries(rounded, scales)

    def multiply(self, queries: Queries, start: int, stop: int, floor: np.float32) -> CosineBlock:
        some = cast(_ByteQueries, queries)
        count, columns = stop - start, len(some.rows)
        if len(self._scratch) < count * columns:
            self._scratch = np.empty(count * columns, dtype=np.int32)
        out = self._scratch[: count * columns].reshape(count, columns)
        some.used[0] += count
        packed = some.used[0] >= _PACKED_FROM
        session, matrix = (some.session, None) if packed else (self._session, some.columns)

        def multiply(rows: np.ndarray, part: slice) -> np.ndarray:
            multiply_bytes(session, rows, matrix, out[part])
            highest: np.ndarray = out[part].max(axis=0)  # while they are in the cache
            return highest

        highest = np.stack(self._in_tiles(start, stop, multiply))
        return _PartedBlock(out, highest, self._rows_of_tile(count), cast(np.ndarray, some.scales) * self._step)


class _PartedBlock(CosineBlock):
    """Products int32 `(C, B)`, and the largest of each query's with every `part` stored rows, `(P, B)`."""

    def __init__(self, values: np.ndarray, highest: np.ndarray, part: int, scales: np.ndarray) -> None:
        self._values = values
        self._highest = highest
        self._part = part
        self._scales = scales

    def highest(self) -> np.ndarray:
        highest: np.ndarray = self._highest.max(axis=0).astype(np.float32) * self._scales
        return highest

    def reaching(self, floor: np.float32, *, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Look at the parts alone whose largest product reaches the floor."""
        if rows is None:
            rows = np.arange(len(self._scales))
        scales = self._scales
        found = []
        reached = self._highest[:, rows].astype(np.float32) * scales[rows] >= floor
        for part in np.flatnonzero(reached.any(axis=1)):
            start = part * self._part
            values = self._values[start : start + self._part]
            queried = rows[reached[part]]
            # Along their own memory where there are many.
            products = values.T[queried] if len(queried) < _FEW else np.take(values, queried, axis=1).T
            some, places = np.divmod(np.flatnonzero(products * scales[queried, None] >= floor), len(values))
            found.append(np.stack([queried[some], start + places]))
        return in_order(found)


def is_exact(width: int) -> bool:
    """Whether this build of ONNX Runtime multiplies the largest such bytes without losing a bit."""
    signs = np.where(np.random.default_rng(0).random((2, 32, width)) < 0.25, -1, 1)
    stored = (ZERO + signs[0] * LARGEST_STORED).astype(np.uint8)
    queries = np.ascontiguousarray((signs[1] * LARGEST_QUERIED).astype(np.int8).T)
    expected = (stored.astype(np.int64) - ZERO) @ queries.astype(np.int64)
    found = np.empty((2, 32, 32), dtype=np.int32)
    multiply_bytes(session_of(), stored, queries, found[0])
    multiply_bytes(session_of(queries), stored, None, found[1])
    return bool((found == expected).all())


def session_of(queries: np.ndarray | None = None) -> onnxruntime.InferenceSession:
    """Return a product of stored rows `(C, D)` with queries `(D, B)`: these ones, or a second input."""
    inputs = [helper.make_tensor_value_info("stored", TensorProto.UINT8, [None, None])]
    constants = [helper.make_tensor("zero", TensorProto.UINT8, [], bytes([ZERO]), raw=True)]
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
