"""The facts about a bank agree with a dense computation."""

import json

import numpy as np
import pytest

from vec2face.identities import IdentityBank, inspect
from vec2face.identities.float_tables import Float32Table
from vec2face.identities.inspect import summarise

VECTORS = np.random.default_rng(0).standard_normal((150, 12)).astype(np.float32)


def bank_of(vectors: np.ndarray) -> IdentityBank:
    return IdentityBank(vectors, tuple(f"p{index}" for index in range(len(vectors))), {"source": "test"})


@pytest.fixture(params=[(512, 2048), (7, 11), (32, 5)])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "ROWS", request.param[0])
    monkeypatch.setattr(Float32Table, "columns", request.param[1])


@pytest.mark.usefixtures("_blocks")
def test_the_facts_are_those_of_a_dense_matrix() -> None:
    facts = summarise(bank_of(VECTORS), ceilings=(0.5, 0.7, 0.9))
    units = VECTORS.astype(np.float64) / np.linalg.norm(VECTORS.astype(np.float64), axis=1)[:, None]
    cosines = units @ units.T
    pairs = cosines[np.triu_indices(150, k=1)]
    np.fill_diagonal(cosines, -1)
    first, second = np.unravel_index(cosines.argmax(), cosines.shape)

    assert facts.closest is not None
    assert (facts.closest.first, facts.closest.second) == (f"p{first}", f"p{second}")
    assert facts.closest.cosine == pytest.approx(cosines.max(), abs=1e-12)
    nearest = cosines.max(axis=1)
    assert facts.under_ceiling == {f"{c:g}": int((nearest < c).sum()) for c in (0.5, 0.7, 0.9)}
    assert 0 < facts.under_ceiling["0.7"] < 150
    assert facts.histogram == np.histogram(pairs, bins=inspect.HISTOGRAM_BINS, range=(-1, 1))[0].tolist()
    norms = np.linalg.norm(VECTORS, axis=1)
    measured = (facts.norm_min, facts.norm_mean, facts.norm_std, facts.norm_max)
    assert measured == pytest.approx((norms.min(), norms.mean(), norms.std(), norms.max()), rel=1e-5)
    assert (facts.count, facts.width, facts.histogram_identities) == (150, 12, 150)


@pytest.mark.usefixtures("_blocks")
def test_of_equal_pairs_the_first_is_named() -> None:
    vectors = np.vstack([VECTORS, VECTORS[[40, 3]]])
    closest = summarise(bank_of(vectors)).closest
    assert closest is not None
    assert (closest.first, closest.second, closest.cosine) == ("p3", "p151", 1.0)


def test_a_single_identity_has_no_pair() -> None:
    facts = summarise(bank_of(VECTORS[:1]))
    assert facts.closest is None
    assert sum(facts.histogram) == 0
    assert set(facts.under_ceiling.values()) == {1}


def test_a_large_bank_takes_its_histogram_from_evenly_spaced_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "_HISTOGRAM_IDENTITIES", 40)
    facts = summarise(bank_of(VECTORS))
    assert facts.histogram_identities == 38
    assert facts.histogram == summarise(bank_of(VECTORS[::4])).histogram
    assert sum(facts.histogram) == 38 * 37 // 2


def test_facts_are_json_and_progress_ends_at_all() -> None:
    seen: list[tuple[int, int]] = []
    facts = summarise(bank_of(VECTORS), progress=lambda *step: seen.append(step))
    assert json.loads(json.dumps(facts.to_dict()))["closest"]["cosine"] == facts.closest.cosine  # type: ignore[union-attr]
    assert seen[-1] == (150, 150)
