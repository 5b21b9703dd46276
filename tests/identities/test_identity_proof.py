"""Coarse cosines stay within their bound, in every kind of number; close pairs are those of the naive loop."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.identities import byte_table, coarse, int8_table, sample, tables, uint8_table
from vec2face.identities.coarse import CoarseUnits, pairs_reaching
from vec2face.identities.cosine import exact_cosine, reaches, unit_rows
from vec2face.identities.proof import first_pair_reaching, number_apart
from vec2face.identities.sampling import CHECK_EVERY
from vec2face.identities.sources import GaussianSource
from vec2face.identities.tables import TABLES, Kind, usable_kinds

RNG = np.random.default_rng(0)
KINDS = usable_kinds(512)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [2, 33, 512])
def test_coarse_cosines_keep_their_bound(width: int, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_table, "_TILE_ROWS", 16)
    monkeypatch.setattr(int8_table, "_TILE_COLUMNS", 24)
    monkeypatch.setattr(byte_table, "_TILE_ROWS", 16)
    monkeypatch.setattr(byte_table, "_TILE_BYTES", 16)
    rows = RNG.standard_normal((40, width)).astype(np.float32)
    rows[20:] = rows[:20] * 3 + 0.01 * RNG.standard_normal((20, width))  # cosines near 1, where errors are largest
    rows[7, 0] = 100  # one coordinate outshines the others, so that int8 loses much of them
    stored = CoarseUnits.of(rows, kind=kind)
    queries = stored.queries(unit_rows(rows))
    stored.cosines(queries, 3, 5)  # leaves its own numbers in the memory that the next block uses
    block = stored.cosines(queries, 0, 40)
    exact = np.array([[exact_cosine(a, b) for b in rows] for a in rows])
    assert np.abs(block.highest() - exact.max(axis=1)).max() <= stored.bound
    singly = np.stack([stored.cosines(queries, column, column + 1).highest() for column in range(40)], axis=1)
    assert np.abs(singly - exact).max() <= stored.bound
    some = np.arange(40) % 3 == 0
    again = stored.cosines(queries[some], 0, 40).highest()
    assert np.abs(again - exact[some].max(axis=1)).max() <= stored.bound


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_reaching_a_floor_are_all_there_and_hardly_more(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "ROWS", 16)
    monkeypatch.setattr(CoarseUnits, "columns", 24)
    rows = RNG.standard_normal((90, 8)).astype(np.float32)
    stored = CoarseUnits.of(rows, kind=kind)
    stored.queries(unit_rows(rows))
    seen: list[int] = []
    pairs = [
        pair
        for block in pairs_reaching(rows, 0.5, kind=kind, progress=lambda done, total: seen.append(done))
        for pair in zip(*block, strict=True)
    ]
    assert len(pairs) == len(set(pairs))
    exact = {(a, b): exact_cosine(rows[a], rows[b]) for a in range(90) for b in range(a + 1, 90)}
    assert {pair for pair, cosine in exact.items() if cosine >= 0.5} <= set(pairs)
    assert all(exact[pair] >= 0.5 - 2 * stored.bound - 1e-6 for pair in pairs)
    assert seen[-1] == 90


@pytest.mark.parametrize("block_size", [2048, 700])
def test_every_kind_of_number_gives_the_same_bank(block_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = GaussianSource(16, 1.0)
    banks = []
    for kind in KINDS:
        monkeypatch.setattr(coarse, "fastest_kind", lambda rows, width, chosen=kind: chosen)
        banks.append(sample(source, count=700, ceiling=0.7, seed=4, block_size=block_size))
    assert banks[0].provenance["candidates"] > 900
    for bank in banks[1:]:
        np.testing.assert_array_equal(bank.vectors, banks[0].vectors)
        assert bank.provenance == banks[0].provenance


def test_the_fastest_kind_is_measured_for_large_banks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(width: int) -> Kind:
        raise RuntimeError

    assert int8_table.is_exact(33)
    assert uint8_table.is_exact(33)
    assert tables.fastest_kind(tables.TORCH_FROM, 64) in KINDS
    monkeypatch.setattr(tables, "_fastest", forbidden)
    assert tables.fastest_kind(tables.TORCH_FROM - 1, 64) == "float32"


def test_int8_is_not_used_where_it_loses_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch._int_mm

    def saturating(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return exact(first, second).clamp(max=2**15 - 1)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not int8_table.is_exact(512)
    monkeypatch.delattr(torch, "_int_mm")
    assert not int8_table.is_exact(512)


def test_uint8_is_not_used_where_it_loses_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(session: object, rows: np.ndarray, queries: np.ndarray | None, out: np.ndarray) -> None:
        out[:] = 2**15 - 1

    monkeypatch.setattr(uint8_table, "multiply_bytes", saturating)
    assert not uint8_table.is_exact(512)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in ("uint8", "acc16")])
def test_every_number_of_threads_and_every_way_to_multiply_bytes_give_the_same(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_table, "_TILE_ROWS", 16)
    monkeypatch.setattr(byte_table, "_TILE_BYTES", 16)
    units = unit_rows(RNG.standard_normal((100, 24)).astype(np.float32))
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        table = TABLES[kind](100, 24)
        table.store(0, units)
        queries = table.queries(units[:30])
        for packed_from in (1 << 30, 1):
            monkeypatch.setattr(uint8_table, "_PACKED_FROM", packed_from)
            block = table.multiply(queries, 5, 98, np.float32(0.2))
            found.append([block.highest(), *block.reaching(np.float32(0.2)), *block.reaching(np.float32(0.4))])
    assert len(found[0][1]) > len(found[0][3]) > 30
    for others in found[1:]:
        for other, first in zip(others, found[0], strict=True):
            np.testing.assert_array_equal(other, first)


def test_a_row_of_larger_coordinates_widens_the_step_of_all() -> None:
    rows = RNG.standard_normal((600, 64)).astype(np.float32)
    rows[590, 3] = 30
    stored = CoarseUnits(600, 64, kind="uint8")
    early = stored.queries(unit_rows(rows[:8]))
    stored.store(0, unit_rows(rows[:590]))
    before = stored.bound
    stored.store(590, unit_rows(rows[590:]))
    assert stored.bound > before
    exact = np.array([[exact_cosine(a, b) for b in rows] for a in rows[:8]])
    singly = np.stack([stored.cosines(early, column, column + 1).highest() for column in range(600)], axis=1)
    assert np.abs(singly - exact).max() <= stored.bound


def test_a_proof_finds_the_closest_pair_or_none() -> None:
    rows = RNG.standard_normal((60, 6)).astype(np.float32)
    exact = {(a, b): exact_cosine(rows[a], rows[b]) for a in range(60) for b in range(a + 1, 60)}
    (first, second), highest = max(exact.items(), key=lambda item: item[1])
    assert first_pair_reaching(rows, 0.3, highest=True) == (first, second, highest)
    assert first_pair_reaching(rows, highest) == (first, second, highest)
    assert first_pair_reaching(rows, np.nextafter(highest, 1)) is None


def test_the_number_apart_is_that_of_the_naive_rule() -> None:
    rows = RNG.standard_normal((80, 4)).astype(np.float32)
    kept: list[int] = []
    for row in range(80):
        if all(exact_cosine(rows[row], rows[other]) < 0.6 for other in kept):
            kept.append(row)
    assert number_apart(rows, 0.6) == len(kept) < 80


def test_a_cosine_on_the_threshold_reaches_it() -> None:
    others = np.array([[3, 4], [0, 1], [5, 0]], np.float32)
    assert reaches(np.array([2, 0], np.float32), others, 0.6).tolist() == [True, False, True]
    assert reaches(np.array([2, 0], np.float32), others, np.nextafter(0.6, 1)).tolist() == [False, False, True]


def test_stopped_sampling_goes_on_to_the_same_bank(tmp_path: Path) -> None:
    source = GaussianSource(6, 1.0)
    options = {"count": 200, "ceiling": 0.8, "seed": 1}
    whole = sample(source, **options)
    assert whole.provenance["candidates"] > 2 * CHECK_EVERY
    partial = PartialWork(tmp_path / "bank.safetensors", interval=0)

    def stop(accepted: int, tried: int) -> None:
        if tried > CHECK_EVERY:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(source, **options, partial=partial, progress=stop)
    assert partial.path.exists()
    seen: list[int] = []
    resumed = sample(source, **options, partial=partial, progress=lambda accepted, tried: seen.append(tried))
    assert seen[0] > CHECK_EVERY
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.provenance == whole.provenance


def test_unfinished_work_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    partial = PartialWork(tmp_path / "bank")
    assert partial.load({"ceiling": 0.3}) is None
    partial.save({"ceiling": 0.3, "seed": 1}, {"accepted": np.arange(3)}, {"tried": 4})
    arrays, state = partial.load({"seed": 1, "ceiling": 0.3}) or ({}, {})
    assert (arrays["accepted"].tolist(), state) == ([0, 1, 2], {"tried": 4})
    with pytest.raises(InputError, match="asked for with another ceiling; remove it to begin anew"):
        partial.load({"ceiling": 0.4, "seed": 1})
    partial.path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"bank\.partial is damaged"):
        partial.load({"ceiling": 0.3})
    partial.remove()
    assert not partial.path.exists()
