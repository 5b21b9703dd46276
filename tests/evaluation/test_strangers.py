"""Thresholds are those of the sorted scores of all pairs of strangers."""

import numpy as np
import pytest

from vec2face.evaluation import strangers
from vec2face.evaluation.strangers import FEWEST_FALSE_MATCHES, stranger_scores


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(40), 3)
    vectors = rng.standard_normal((40, 16))[owners] + 0.5 * rng.standard_normal((120, 16))
    return vectors.astype(np.float32), owners


def full(vectors, owners):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    cosines[owners[:, None] == owners] = np.nan
    return cosines


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_threshold_and_nearest_are_those_of_all_pairs(people, rate, monkeypatch):
    monkeypatch.setattr(strangers, "_ROWS", 7)
    monkeypatch.setattr(strangers, "_COLUMNS", 13)
    vectors, owners = people
    found = stranger_scores(vectors, owners, vectors, owners, rate=rate, max_pairs=10**9, seed=0)
    cosines = full(vectors, owners)
    scores = np.sort(cosines[~np.isnan(cosines)])[::-1]
    assert found.pairs == len(scores) == 120 * 117
    kept = int(rate * len(scores))
    # Each pair is there twice, once from each end, and a tie is not split.
    assert kept - 1 <= (scores >= found.threshold).sum() <= kept
    assert found.threshold == pytest.approx(scores[kept], abs=1e-5)
    np.testing.assert_allclose(found.nearest, np.nanmax(cosines, axis=1), atol=1e-6)


def test_a_rate_too_small_for_the_set_is_raised_to_what_it_can_show(people):
    vectors, owners = people
    found = stranger_scores(vectors, owners, vectors, owners, rate=1e-9, max_pairs=10**9, seed=0)
    assert found.rate == FEWEST_FALSE_MATCHES / found.pairs


def test_a_sample_of_the_probes_is_compared_with_everyone(people):
    vectors, owners = people
    found = stranger_scores(vectors, owners, vectors, owners, rate=0.05, max_pairs=120 * 40, seed=3)
    assert len(found.probes) == 40
    assert found.pairs == 40 * 117
    again = stranger_scores(vectors, owners, vectors, owners, rate=0.05, max_pairs=120 * 40, seed=3)
    assert again.threshold == found.threshold


@pytest.mark.parametrize("people", [1, 2, 32, 33])
def test_few_people_set_no_threshold_however_many_images_they_have(people):
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(people), 40)
    vectors = rng.standard_normal((len(owners), 16)).astype(np.float32)
    found = stranger_scores(vectors, owners, vectors, owners, rate=1e-6, max_pairs=10**9, seed=0)
    assert (found.threshold is None) == (people < 33)
    assert (found.rate is None) == (people < 33)
    assert found.people_pairs == people * (people - 1)
    assert len(found.nearest) == (0 if people == 1 else len(owners))
    assert np.isfinite(found.nearest).all()
