"""The kernel that sums in 16 bits multiplies as the naive loop does, and finds what reaches the limits."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from vec2face import identities
from vec2face.identities import tables
from vec2face.identities.cosine import unit_rows

acc16_kernel = pytest.importorskip("vec2face.identities.acc16_kernel", reason="llvmlite is not installed")
if not acc16_kernel.is_supported():
    pytest.skip("this processor has no AVX2", allow_module_level=True)

from vec2face.identities import acc16_table  # noqa: E402
from vec2face.identities.acc16_table import Acc16Table  # noqa: E402

EVERYTHING = np.float32(-np.inf)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _fresh_kernels() -> Iterator[None]:
    yield
    acc16_kernel.kernel.cache_clear()


@pytest.mark.parametrize("width", [1, 4, 127, 130, 512])
@pytest.mark.parametrize("count", [1, 5, 6, 50])
def test_products_are_those_of_integers(width: int, count: int) -> None:
    units = unit_rows(RNG.standard_normal((count, width)).astype(np.float32))
    table = Acc16Table(count, width)
    table.store(0, units)
    queries = table.queries(unit_rows(RNG.standard_normal((21, width)).astype(np.float32)))
    exact = queries.rows.astype(np.int64) @ (table._rows[:, :width].astype(np.int64) - 64).T
    cosines = (exact * (queries.scales * table._step)[:, None]).astype(np.float32)
    for floor in (EVERYTHING, np.float32(-0.1), np.float32(0), np.float32(0.05), np.float32(2)):
        block = table.multiply(queries, 0, count, floor)
        np.testing.assert_array_equal(block.products, exact.max(axis=1))
        asked = np.float32(floor + queries.scales.min() * table._step / 2)
        assert np.abs(cosines - asked).min() > 1e-6  # so that the rounding of a last bit decides nothing
        np.testing.assert_array_equal(np.stack(block.reaching(asked)), np.stack(np.nonzero(cosines >= asked)))
        some = np.arange(0, 21, 4)
        query, column = np.nonzero(cosines[some] >= asked)
        np.testing.assert_array_equal(np.stack(block.reaching(asked, rows=some)), np.stack([some[query], column]))


@pytest.mark.parametrize("width", [8, 256, 500])
def test_no_sum_leaves_16_bits_whatever_the_rows(width: int) -> None:
    flat = np.where(RNG.random((8, width)) < 0.5, 1.0, -1.0)
    one_signed = np.ones((1, width))
    single = np.eye(4, width) + 1e-4
    in_one_sum = np.zeros((2, width))
    in_one_sum[0, :128:4], in_one_sum[0, 1:128:4] = 1, 1
    in_one_sum[1] = -in_one_sum[0]
    units = unit_rows(np.concatenate([flat, one_signed, single, in_one_sum, -flat]).astype(np.float32))
    table = Acc16Table(len(units), width)
    for row, unit in enumerate(units):  # singly, so that the step has to grow on the way
        table.store(row, unit[None])
    queries = table.queries(units)
    exact = queries.rows.astype(np.int64) @ (table._rows[:, :width].astype(np.int64) - 64).T
    found = [table.multiply(queries, column, column + 1, EVERYTHING).products for column in range(len(units))]
    np.testing.assert_array_equal(np.stack(found, axis=1), exact)


def test_it_is_left_out_where_it_cannot_be_made_or_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert acc16_table.is_exact(40)
    assert "acc16" in tables.usable_kinds(40)
    with monkeypatch.context() as broken:
        broken.setattr(acc16_table, "_LONGEST_STORED", 1e9)  # lengths are not minded
        broken.setattr(acc16_table, "_LARGEST_SUM", 1e15)
        assert not acc16_table.is_exact(512)
    with monkeypatch.context() as older:
        older.delattr(acc16_kernel.llvm, "create_mcjit_compiler")
        acc16_kernel.kernel.cache_clear()
        assert not acc16_table.is_exact(40)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(acc16_table, "is_supported", lambda: False)
        assert "acc16" not in tables.usable_kinds(40)
    monkeypatch.setitem(sys.modules, "vec2face.identities.acc16_table", None)
    monkeypatch.delattr(identities, "acc16_table")
    assert "acc16" not in tables.usable_kinds(40)
