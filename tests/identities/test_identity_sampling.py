"""Acceptance equals the obvious loop over pairs, whatever the block size, also where cosines lie on the ceiling."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.identities import sample, sampling
from vec2face.identities.cosine import error_bound, exact_cosine, unit_rows
from vec2face.identities.float_tables import Float32Table
from vec2face.identities.sampling import CHECK_EVERY, default_max_candidates
from vec2face.identities.sources import GaussianSource


class Rows:
    """A source of given rows; `limit` None lets it pass for a random one."""

    def __init__(self, rows: np.ndarray, limit: int | None) -> None:
        self.rows = rows.astype(np.float32)
        self.width = rows.shape[1]
        self.limit = limit
        self.provenance: dict[str, Any] = {"source": "rows"}

    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        return self.rows[start : start + count]


def naive(rows: np.ndarray, ceiling: float) -> list[int]:
    accepted: list[int] = []
    for index, row in enumerate(rows.astype(np.float32)):
        if all(exact_cosine(row, rows[other].astype(np.float32)) < ceiling for other in accepted):
            accepted.append(index)
    return accepted


# Small whole numbers give many pairs whose cosine is exactly a simple ceiling, or exactly 1.
SMALL = st.integers(-2, 2)


@given(
    rows=st.lists(st.lists(SMALL, min_size=4, max_size=4).filter(any), min_size=1, max_size=40),
    ceiling=st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0]),
    block_size=st.integers(1, 41),
)
@settings(deadline=None)
def test_acceptance_is_that_of_the_naive_loop(rows: list[list[int]], ceiling: float, block_size: int) -> None:
    table = np.array(rows, dtype=np.float32)
    expected = naive(table, ceiling)
    source = Rows(table, len(table))
    bank = sample(source, count=len(expected), ceiling=ceiling, seed=0, block_size=block_size)
    np.testing.assert_array_equal(bank.vectors, table[expected])
    if len(expected) < len(table):
        with pytest.raises(InputError, match=rf"only {len(expected)} of {len(expected) + 1} identities fit"):
            sample(source, count=len(expected) + 1, ceiling=ceiling, seed=0, block_size=block_size)


@pytest.mark.parametrize("block_size", [1, 7, 100, 1024, 4000])
def test_the_block_size_changes_nothing(block_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = GaussianSource(16, 1.0)
    reference = sample(source, count=300, ceiling=0.6, seed=4)
    monkeypatch.setattr(Float32Table, "columns", 64)
    monkeypatch.setattr(sampling, "ROWS", 48)
    bank = sample(source, count=300, ceiling=0.6, seed=4, block_size=block_size)
    np.testing.assert_array_equal(bank.vectors, reference.vectors)
    assert bank.provenance == reference.provenance
    assert bank.ids == reference.ids
    assert reference.provenance["candidates"] > 300  # some were turned away, so the order of decisions matters


def test_candidates_close_to_the_ceiling_are_decided_exactly() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal(64)
    base /= np.linalg.norm(base)
    across = rng.standard_normal((300, 64))
    across -= (across @ base)[:, None] * base
    across /= np.linalg.norm(across, axis=1)[:, None]
    cosines = 0.3 + rng.uniform(-2e-7, 2e-7, (300, 1))
    rows = np.vstack([base[None], cosines * base + np.sqrt(1 - cosines**2) * across]).astype(np.float32)
    # With the other pairs out of the way, a candidate stands or falls by its cosine to the first row alone.
    expected = [index for index in range(1, 301) if exact_cosine(rows[0], rows[index]) < 0.3]
    assert 50 < len(expected) < 250
    for index in range(1, 301):
        source = Rows(rows[[0, index]], 2)
        for block_size in (1, 2):
            if index in expected:
                assert len(sample(source, count=2, ceiling=0.3, seed=0, block_size=block_size)) == 2
            else:
                with pytest.raises(InputError, match="only 1 of 2"):
                    sample(source, count=2, ceiling=0.3, seed=0, block_size=block_size)


def test_a_pair_exactly_on_the_ceiling_is_refused_and_one_below_is_kept() -> None:
    rows = np.array([[1, 0], [3, 4]], dtype=np.float32)  # cosine 3/5
    assert len(sample(Rows(rows, 2), count=2, ceiling=math.nextafter(0.6, 1), seed=0)) == 2
    with pytest.raises(InputError, match="only 1 of 2"):
        sample(Rows(rows, 2), count=2, ceiling=0.6, seed=0)


def test_no_pair_of_the_bank_reaches_the_ceiling_and_the_bank_is_described() -> None:
    bank = sample(GaussianSource(24, 1.0), count=400, ceiling=0.45, seed=1)
    units = bank.vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1)[:, None]
    cosines = units @ units.T - np.eye(400)
    assert cosines.max() < 0.45
    assert bank.provenance["ceiling"] == 0.45
    assert bank.provenance["seed"] == 1
    assert bank.ids[-1] == "0000399"


def test_a_longer_bank_starts_with_the_shorter_one() -> None:
    source = GaussianSource(24, 1.0)
    short, long = (sample(source, count=count, ceiling=0.5, seed=1) for count in (50, 200))
    np.testing.assert_array_equal(long.vectors[:50], short.vectors)


def test_too_many_identities_end_early_with_the_number_that_fit() -> None:
    source = GaussianSource(4, 1.0)
    tried: list[int] = []
    messages = set()
    for block_size in (500, 4096):
        with pytest.raises(InputError, match=r"out of reach under cosine 0\.5") as caught:
            sample(
                source,
                count=1000,
                ceiling=0.5,
                seed=0,
                block_size=block_size,
                progress=lambda accepted, seen: tried.append(seen),
            )
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert max(tried) < default_max_candidates(1000) / 4
    assert max(tried) % CHECK_EVERY == 0


@pytest.mark.parametrize(("dim", "ceiling"), [(4, 0.8), (6, 0.6), (12, 0.6)])
def test_the_early_end_does_not_stop_a_count_that_can_be_reached(dim: int, ceiling: float) -> None:
    source = GaussianSource(dim, 1.0)
    most = 5 * CHECK_EVERY + 100
    rows = Rows(source.candidates(0, 0, most), most)  # a source that ends is never given up early
    accepted: list[int] = []
    with pytest.raises(InputError, match="fit under"):
        sample(rows, count=most, ceiling=ceiling, seed=0, progress=lambda fitted, tried: accepted.append(fitted))
    reachable = accepted[-1]
    assert len(sample(source, count=reachable, ceiling=ceiling, seed=0, max_candidates=most)) == reachable
    with pytest.raises(InputError, match=f"{reachable + 1} identities .*{reachable} fit"):
        sample(source, count=reachable + 1, ceiling=ceiling, seed=0, max_candidates=most)


def test_running_out_says_how_many_fit() -> None:
    with pytest.raises(InputError, match=r"only \d+ of 60 identities fit under cosine 0.5 .* after 100 candidates"):
        sample(GaussianSource(4, 1.0), count=60, ceiling=0.5, seed=0, max_candidates=100)


def test_progress_only_grows_and_ends_at_the_count() -> None:
    seen: list[tuple[int, int]] = []
    bank = sample(
        GaussianSource(16, 1.0), count=300, ceiling=0.6, seed=4, block_size=64, progress=lambda *step: seen.append(step)
    )
    assert seen == sorted(seen)
    assert seen[-1] == (300, bank.provenance["candidates"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count of identities must be 1 or more"),
        ({"ceiling": 1.5}, "ceiling must be above -1"),
        ({"ceiling": math.nan}, "ceiling must be above -1"),
        ({"seed": 2**63}, "64 signed bits"),
        ({"block_size": 0}, "block size"),
        ({"max_candidates": 3}, "3 candidates cannot give 5 identities"),
    ],
)
def test_unusable_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample(GaussianSource(4, 1.0), **{"count": 5, "ceiling": 0.5, "seed": 0, **options})


def test_a_source_with_too_few_vectors_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="holds 3 vectors, fewer than the 5"):
        sample(Rows(np.eye(3), 3), count=5, ceiling=0.5, seed=0)


@given(st.integers(0, 2**32), st.sampled_from([2, 64, 512]))
@settings(max_examples=30, deadline=None)
def test_a_float32_product_keeps_its_error_bound(seed: int, width: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((8, width)).astype(np.float32) * 10
    product = unit_rows(rows) @ unit_rows(rows).T
    exact = np.array([[exact_cosine(a, b) for b in rows] for a in rows])
    assert np.abs(product - exact).max() <= error_bound(width)
    assert (np.diag(exact) == 1.0).all()
