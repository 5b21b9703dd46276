"""Which way to hold directions is fastest: a matter of the processor, so it is measured (`fastest_kind`).

No table decides anything by itself: a cosine within its bound of a threshold is computed again, exactly.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np

from vec2face.identities.cosine import unit_rows
from vec2face.identities.float_tables import BFloat16Table, Float32Table
from vec2face.identities.table import OUT_OF_REACH, Queries, Table

Kind = Literal["float32", "bfloat16", "int8", "uint8", "acc16"]

# Below so many rows a bank is compared in the time it takes to load torch.
TORCH_FROM = 20_000
_WIDEST = 4096  # the share of the sum in the error bounds stays small, and sums of products of bytes fit int32
_TRIALS = 10
_TRIAL_ROWS, _TRIAL_COLUMNS, _FEW_COLUMNS = 512, 8192, 512
_HOPELESS = 4.0  # times slower than another kind by a few columns: not tried further
_CALM_SECONDS = 0.1
_FASTER_BY = 1.2


def _int8(capacity: int, width: int) -> Table:
    from vec2face.identities.int8_table import Int8Table

    return Int8Table(capacity, width)


def _uint8(capacity: int, width: int) -> Table:
    from vec2face.identities.uint8_table import UInt8Table

    return UInt8Table(capacity, width)


def _acc16(capacity: int, width: int) -> Table:
    from vec2face.identities.acc16_table import Acc16Table

    return Acc16Table(capacity, width)


TABLES: dict[Kind, Callable[[int, int], Table]] = {
    "float32": Float32Table,
    "bfloat16": BFloat16Table,
    "int8": _int8,
    "uint8": _uint8,
    "acc16": _acc16,
}


def fastest_kind(rows: int, width: int) -> Kind:
    """Return the kind in which `rows` of `width` features are compared fastest on this machine (measured once)."""
    return _fastest(width) if rows >= TORCH_FROM and width <= _WIDEST else "float32"


def usable_kinds(width: int) -> list[Kind]:
    """Return the kinds in which rows of `width` features can be compared on this machine, whatever is installed."""
    from vec2face.identities import int8_table, uint8_table

    kinds: list[Kind] = ["float32", "bfloat16"]
    if int8_table.is_exact(width):
        kinds.append("int8")
    if uint8_table.is_exact(width):
        kinds.append("uint8")
    try:
        from vec2face.identities import acc16_table
    except (ImportError, OSError):  # llvmlite is not installed, or its library cannot be loaded
        return kinds
    if acc16_table.is_exact(width):
        kinds.append("acc16")
    return kinds


@lru_cache
def _fastest(width: int) -> Kind:
    rng = np.random.default_rng(0)
    units = unit_rows(rng.standard_normal((_TRIAL_COLUMNS, width)).astype(np.float32))
    seconds: dict[Kind, float] = {}
    for kind in usable_kinds(width):
        table = TABLES[kind](_TRIAL_COLUMNS, width)
        table.store(0, units)
        queries = table.queries(units[:_TRIAL_ROWS])
        time.sleep(_CALM_SECONDS)  # threads of the kind before wait for work by spinning, and would take a core
        few = min(_seconds(table, queries, _FEW_COLUMNS) for _ in range(2))
        if few * _TRIAL_COLUMNS / _FEW_COLUMNS < _HOPELESS * min(seconds.values(), default=np.inf):
            seconds[kind] = min(_seconds(table, queries, _TRIAL_COLUMNS) for _ in range(_TRIALS))
    fastest = min(seconds, key=lambda kind: seconds[kind])
    return fastest if seconds[fastest] * _FASTER_BY < seconds["float32"] else "float32"


def _seconds(table: Table, queries: Queries, columns: int) -> float:
    """Return how long a table takes to find nothing close among so many columns, as many at once as it likes best."""
    start = time.perf_counter()
    for column in range(0, columns, table.columns):
        stop = min(column + table.columns, columns)
        table.multiply(queries, column, stop, OUT_OF_REACH).reaching(OUT_OF_REACH)
    return time.perf_counter() - start
