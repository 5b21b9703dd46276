"""Machine code that multiplies bytes and sums them in 16 bits, made for the processor and the width at hand.

`vpmaddubsw` multiplies 32 pairs of bytes and adds each two products, in 16 bits. Widening these sums at every step, as
libraries do, doubles the work. Here they are added as they are over a segment of the features, and widened once at its
end: the caller sees to it that no sum of a segment leaves 16 bits (compare the "acc16" kernels of FBGEMM,
arXiv 2101.05615). llvmlite translates the code; it needs AVX2, which nearly all x86 processors have.

    for each panel of queries, for each group of rows:
        totals = 0
        for each segment:
            sums = first                                        of 16 bits
            for each four features:
                sums += vpmaddubsw(four bytes of a row, again and again; four bytes of each query)
            totals += vpmaddwd(sums, 1)                         of 32 bits
        highest = max(highest, totals)
        if any total >= limit: keep them all
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import product

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

PANEL = 16  # queries that are multiplied together: two registers of eight columns
TOGETHER = 4  # features of one query that stand side by side, as one 32-bit number
_ROWS = 6  # stored rows that are multiplied together: twelve sums fill the registers that the factors leave
_LARGEST_SEGMENT = 128

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _SHORTS, _INTS = ir.VectorType(_I8, 32), ir.VectorType(ir.IntType(16), 16), ir.VectorType(_I32, 8)
_POINTER = ir.PointerType()
_REGISTER_BYTES = 32
_REGISTERS = PANEL // _INTS.count
_PANEL_BYTES = _REGISTERS * _REGISTER_BYTES  # of whatever is asked about a panel: four bytes for each query


@dataclass(frozen=True)
class Segments:
    """How the features of a row are parted: `count` segments of `size` each, the last filled up."""

    count: int
    size: int

    @classmethod
    def of(cls, width: int) -> "Segments":
        count = -(-width // _LARGEST_SEGMENT)
        return cls(count, -(-width // (count * TOGETHER)) * TOGETHER)

    @property
    def padded(self) -> int:
        """Bytes of a row."""
        return self.count * self.size


@dataclass(frozen=True, eq=False)
class Close:
    """Tiles of products that hold one or more at or above its query's limit.

    Attributes:
        places: integers `(K, 2)`, of each tile its first row and its first query.
        products: int32 `(K, rows, PANEL)`, all of a tile.
    """

    places: np.ndarray
    products: np.ndarray


class Room:
    """Memory for what one thread finds among up to so many rows and panels of queries at once."""

    def __init__(self, rows: int, panels: int) -> None:
        self.places = np.empty((rows * panels, 2), dtype=np.int32)
        self.products = np.empty(rows * panels * PANEL, dtype=np.int32)

    def is_enough(self, rows: int, panels: int) -> bool:
        return rows * panels <= len(self.places)


class Kernel:
    """The product of stored rows and queries of one width; threads may use it side by side."""

    def __init__(self, width: int) -> None:
        self._padded = Segments.of(width).padded
        module = llvm.parse_assembly(str(_module(Segments.of(width))))
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        self._engine = llvm.create_mcjit_compiler(module, machine)  # owns the code
        self._engine.finalize_object()
        signature = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 7, *[ctypes.c_int64] * 2)
        self._functions = [(rows, signature(self._engine.get_function_address(_name(rows)))) for rows in (_ROWS, 1)]

    def __call__(
        self, rows: np.ndarray, panels: np.ndarray, first: np.ndarray, limits: np.ndarray, room: Room
    ) -> tuple[np.ndarray, list[Close]]:
        """Multiply rows by queries.

        Args:
            rows: uint8 `(T, padded)`, C-contiguous.
            panels: int8 `(P, padded / TOGETHER, PANEL, TOGETHER)`, C-contiguous: P times PANEL queries.
            first: int16 `(P, segments, PANEL, TOGETHER / 2)`, what every sum begins with.
            limits: int32 `(P * PANEL,)`, from where on a product of each query is looked for.
            room: for T rows and P panels; used again by the next call.

        Returns:
            The largest product of each query, int32 `(P * PANEL,)`, and what reaches the limits.
        """
        highest = np.full(len(limits), np.iinfo(np.int32).min, dtype=np.int32)
        close = []
        start = 0
        for size, multiply in self._functions:
            groups = (len(rows) - start) // size
            if not groups:
                continue
            arrays = (panels, first, limits, highest, room.places, room.products)
            found = multiply(
                rows.ctypes.data + start * self._padded, *[each.ctypes.data for each in arrays], groups, len(panels)
            )
            if found:
                products = room.products[: found * size * PANEL].reshape(found, size, PANEL)
                close.append(Close(room.places[:found] * (size, PANEL) + (start, 0), products.copy()))
            start += groups * size
        return highest, close


@lru_cache
def kernel(width: int) -> Kernel:
    """Return the kernel for rows of `width` features, made once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return Kernel(width)


def is_supported() -> bool:
    """Whether this processor has the instructions."""
    return bool(llvm.get_host_cpu_features().get("avx2"))


def _name(rows: int) -> str:
    return f"multiply_{rows}_rows"


def _module(segments: Segments) -> ir.Module:
    module = ir.Module("acc16")
    multiply_and_add = ir.Function(module, ir.FunctionType(_SHORTS, [_BYTES, _BYTES]), "llvm.x86.avx2.pmadd.ub.sw")
    widen = ir.Function(module, ir.FunctionType(_INTS, [_SHORTS, _SHORTS]), "llvm.x86.avx2.pmadd.wd")
    signature = ir.FunctionType(_I64, [_POINTER] * 7 + [_I64] * 2)
    for rows in (_ROWS, 1):
        function = ir.Function(module, signature, _name(rows))
        _Writer(function, rows, segments, multiply_and_add, widen).write()
    return module


class _Builder(ir.IRBuilder):
    """Loops and loads."""

    @contextmanager
    def loop(self, count: ir.Value | int, carried: Sequence[ir.Value] = ()) -> Iterator["_Loop"]:
        """Do what is built within `count` times, 1 or more. `carried` are values that each pass hands to the next."""
        before, body = self.block, self.function.append_basic_block()
        self.branch(body)
        self.position_at_end(body)
        loop = _Loop(self.phi(_I64), [self.phi(value.type) for value in carried])
        for value, start in zip((loop.index, *loop.values), (_number(0), *carried), strict=True):
            value.add_incoming(start, before)
        yield loop
        following = self.add(loop.index, _number(1))
        for value, next_value in zip((loop.index, *loop.values), (following, *loop.next_values), strict=True):
            value.add_incoming(next_value, self.block)
        end = self.function.append_basic_block()
        count = _number(count) if isinstance(count, int) else count
        self.cbranch(self.icmp_unsigned("<", following, count), body, end)
        self.position_at_end(end)

    def at(self, pointer: ir.Value, distance: ir.Value, unit: int = 1, constant: int = 0) -> ir.Value:
        """Return the address `distance` times `unit` bytes and `constant` behind `pointer`."""
        place = self.add(self.mul(distance, _number(unit)), _number(constant))
        return self.gep(pointer, [place], source_etype=_I8)

    def take(self, kind: ir.Type, address: ir.Value) -> ir.Value:
        return self.load(address, align=1, typ=kind)

    def larger(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.select(self.icmp_signed(">", one, other), one, other)

    def put(self, value: ir.Value, address: ir.Value) -> None:
        self.store(value, address, align=1)


@dataclass
class _Loop:
    index: ir.Value
    values: list[ir.Value]
    next_values: Sequence[ir.Value] = ()


class _Writer:
    """Writes a function that takes `rows` stored rows at a time, and returns how many tiles it kept."""

    def __init__(
        self, function: ir.Function, rows: int, segments: Segments, multiply_and_add: ir.Function, widen: ir.Function
    ) -> None:
        self._build = _Builder(function.append_basic_block())
        self._arguments = function.args
        self._rows = rows
        self._segments = segments
        self._multiply_and_add, self._widen = multiply_and_add, widen
        self._tile = list(product(range(rows), range(_REGISTERS)))  # row and register of each register of sums

    def write(self) -> None:
        stored, panels, first, limits, highest, places, products, groups, panel_count = self._arguments
        build, segments = self._build, self._segments
        found = build.alloca(_I64)
        build.store(_number(0), found)
        with build.loop(panel_count) as panel, build.loop(groups) as group:
            totals = self._totals(
                build.at(stored, group.index, segments.padded * self._rows),
                build.at(panels, panel.index, segments.padded * PANEL),
                build.at(first, panel.index, segments.count * _PANEL_BYTES),
            )
            reached = self._reached(
                totals,
                build.at(limits, panel.index, _PANEL_BYTES),
                build.at(highest, panel.index, _PANEL_BYTES),
            )
            with build.if_then(reached, likely=False):
                number = build.load(found)
                place = build.at(places, number, 8)
                build.put(build.trunc(group.index, _I32), place)
                build.put(build.trunc(panel.index, _I32), build.at(place, _number(4)))
                kept = build.at(products, number, self._rows * _PANEL_BYTES)
                for index, total in enumerate(totals):
                    build.put(total, build.at(kept, _number(index), _REGISTER_BYTES))
                build.store(build.add(number, _number(1)), found)
        build.ret(build.load(found))

    def _totals(self, rows: ir.Value, panel: ir.Value, first: ir.Value) -> Sequence[ir.Value]:
        """Write the product of a group of rows with a panel of queries."""
        build, segments = self._build, self._segments
        ones = ir.Constant(_SHORTS, [1] * _SHORTS.count)
        steps = segments.size // TOGETHER
        with build.loop(segments.count, [ir.Constant(_INTS, [0] * _INTS.count)] * len(self._tile)) as segment:
            first_sums = self._registers(_SHORTS, build.at(first, segment.index, _PANEL_BYTES))
            with build.loop(steps, [first_sums[register] for _, register in self._tile]) as step:
                place = build.add(build.mul(segment.index, _number(steps)), step.index)
                queries = self._registers(_BYTES, build.at(panel, place, _PANEL_BYTES))
                repeated = [
                    _everywhere(build, build.take(_I32, build.at(rows, place, TOGETHER, row * segments.padded)))
                    for row in range(self._rows)
                ]
                step.next_values = [
                    build.add(sums, build.call(self._multiply_and_add, [repeated[row], queries[register]]))
                    for sums, (row, register) in zip(step.values, self._tile, strict=True)
                ]
            segment.next_values = [
                build.add(total, build.call(self._widen, [sums, ones]))
                for total, sums in zip(segment.values, step.next_values, strict=True)
            ]
        return segment.next_values

    def _reached(self, totals: Sequence[ir.Value], limits: ir.Value, highest: ir.Value) -> ir.Value:
        """Write the highest, and whether one or more reach their limit."""
        build = self._build
        reached = []
        highest_before, limits_of = self._registers(_INTS, highest), self._registers(_INTS, limits)
        for register in range(_REGISTERS):
            largest = reduce(build.larger, totals[register::_REGISTERS])
            build.put(
                build.larger(largest, highest_before[register]), build.at(highest, _number(register), _REGISTER_BYTES)
            )
            reached.append(build.icmp_signed(">=", largest, limits_of[register]))
        any_of_them = build.bitcast(reduce(build.or_, reached), ir.IntType(_INTS.count))
        return build.icmp_unsigned("!=", any_of_them, any_of_them.type(0))

    def _registers(self, kind: ir.Type, address: ir.Value) -> list[ir.Value]:
        """Read what belongs to a panel."""
        build = self._build
        return [build.take(kind, build.at(address, _number(index), _REGISTER_BYTES)) for index in range(_REGISTERS)]


def _everywhere(build: _Builder, number: ir.Value) -> ir.Value:
    """Return a register that holds a 32-bit number eight times, as bytes."""
    once = build.insert_element(ir.Constant(_INTS, ir.Undefined), number, ir.Constant(_I32, 0))
    often = build.shuffle_vector(once, once, ir.Constant(_INTS, [0] * _INTS.count))
    return build.bitcast(often, _BYTES)


def _number(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)
