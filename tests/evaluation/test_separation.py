"""Every blocked or sampled measure against a slow, obvious loop."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.evaluation import separation
from vec2face.evaluation.pairs import _sample_impostor_pairs, genuine_scores, impostor_scores
from vec2face.evaluation.people import People, unit
from vec2face.evaluation.separation import (
    centre_separation,
    image_scores,
    nearest_vector,
    own_vector_cosines,
    person_centres,
)
from vec2face.identities.cosine import exact_cosine

MANY = 10**9


def cosine(a, b):
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


class Faces:
    """Random people around random centres, with any number of images each and gaps in the identity numbers."""

    def __init__(self, counts, seed=0, spread=0.8, width=12):
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(len(counts), width))
        self.identity = np.repeat(np.arange(len(counts)) * 3 + 1, counts)
        own = np.repeat(centres, counts, axis=0)
        lengths = rng.uniform(0.5, 4, size=(len(own), 1))
        self.vectors = ((own + spread * rng.normal(size=own.shape)) * lengths).astype(np.float32)
        self.people = People.of(self.identity)

    def gather(self, positions):
        return self.vectors[positions]


counts = st.lists(st.integers(1, 6), min_size=2, max_size=8)


@settings(deadline=None)
@given(counts)
def test_exact_pairs_are_all_pairs(numbers):
    faces = Faces(numbers)
    same, different = [], []
    for i, j in itertools.combinations(range(len(faces.vectors)), 2):
        target = same if faces.identity[i] == faces.identity[j] else different
        target.append(cosine(faces.vectors[i], faces.vectors[j]))
    genuine = genuine_scores(faces.gather, faces.people, max_pairs=MANY, seed=0)
    impostor = impostor_scores(faces.gather, faces.people, max_pairs=MANY, seed=0)
    assert (genuine.exact, genuine.total) == (True, len(same))
    assert (impostor.exact, impostor.total) == (True, len(different))
    np.testing.assert_allclose(np.sort(genuine.scores), np.sort(same), atol=1e-5)
    np.testing.assert_allclose(np.sort(impostor.scores), np.sort(different), atol=1e-5)


def test_sampled_genuine_pairs_belong_to_the_person_and_depend_on_the_seed_alone():
    faces = Faces([30, 2, 30])
    sampled = genuine_scores(faces.gather, faces.people, max_pairs=60, seed=5)
    assert len(sampled.scores) == 20 + 1 + 20
    assert not sampled.exact
    possible = {
        np.float32(round(cosine(faces.vectors[i], faces.vectors[j]), 4))
        for i, j in itertools.combinations(range(62), 2)
        if faces.identity[i] == faces.identity[j]
    }
    assert {np.float32(round(float(score), 4)) for score in sampled.scores} <= possible
    assert len(set(sampled.scores[:20].tolist())) == 20  # without replacement
    again = genuine_scores(faces.gather, faces.people, max_pairs=60, seed=5)
    other = genuine_scores(faces.gather, faces.people, max_pairs=60, seed=6)
    np.testing.assert_array_equal(sampled.scores, again.scores)
    assert not np.array_equal(sampled.scores, other.scores)


def test_sampled_impostor_pairs_are_uniform_over_all_pairs():
    faces = Faces([1, 2, 5])
    sampled = impostor_scores(faces.gather, faces.people, max_pairs=16, seed=1)
    assert (len(sampled.scores), sampled.total, sampled.exact) == (16, 17, False)
    first, second = _sample_impostor_pairs(faces.people, 17 * 3000, seed=1)
    assert (faces.identity[first] != faces.identity[second]).all()
    tally = {}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        key = (min(a, b), max(a, b))
        tally[key] = tally.get(key, 0) + 1
    assert len(tally) == 17
    assert max(abs(count - 3000) for count in tally.values()) < 5 * np.sqrt(3000)


@settings(deadline=None)
@given(counts, st.integers(0, 5))
def test_image_scores_match_a_loop(numbers, seed):
    faces = Faces(numbers, seed)
    centres = person_centres(faces.gather, faces.people)
    found = image_scores(faces.gather, faces.people, centres, max_comparisons=MANY, seed=0)
    groups = [np.flatnonzero(faces.identity == identity) for identity in faces.people.identities]
    for position in range(len(faces.vectors)):
        scores = []
        for group in groups:
            others = [unit(faces.vectors[[i]])[0].astype(np.float64) for i in group if i != position]
            scores.append(cosine(faces.vectors[position], np.mean(others, axis=0)) if others else None)
        own = int(np.searchsorted(faces.people.identities, faces.identity[position]))
        if scores[own] is None:
            assert np.isnan(found.to_centre[position])
            assert found.nearest[position] == -1
        else:
            assert found.to_centre[position] == pytest.approx(scores[own], abs=1e-4)
            assert scores[found.nearest[position]] == pytest.approx(max(scores), abs=1e-4)


def test_image_scores_are_compared_as_often_as_allowed_and_do_not_depend_on_the_block(monkeypatch):
    faces = Faces([5] * 8)
    centres = person_centres(faces.gather, faces.people)
    whole = image_scores(faces.gather, faces.people, centres, max_comparisons=MANY, seed=0)
    monkeypatch.setattr(separation, "BLOCK", 7)
    part = image_scores(faces.gather, faces.people, centres, max_comparisons=8 * 10, seed=0)
    measured = part.nearest >= 0
    assert measured.sum() == 10
    np.testing.assert_array_equal(part.nearest[measured], whole.nearest[measured])
    np.testing.assert_allclose(part.to_centre, whole.to_centre, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 100), st.sampled_from([-0.2, 0.2, 0.5, 0.9]), st.sampled_from([1, 3, 16, 64]))
def test_centre_separation_matches_a_loop(count, seed, threshold, block):
    directions = unit(np.random.default_rng(seed).normal(size=(count, 5)))
    found = centre_separation(directions, threshold=threshold, block=block)
    table = directions.astype(np.float64) @ directions.T.astype(np.float64)
    accepted, above = [], 0
    for i in range(count):
        others = [table[i, j] for j in range(count) if j != i]
        assert found.nearest_cosine[i] == pytest.approx(max(others), abs=1e-5)
        assert table[i, found.nearest[i]] == pytest.approx(max(others), abs=1e-5)
        above += sum(table[i, j] >= threshold for j in range(i))
        if all(table[i, j] < threshold for j in accepted):
            accepted.append(i)
    assert found.pairs_above == above
    assert np.flatnonzero(found.unique).tolist() == accepted


def test_greedy_count_of_a_chain_keeps_what_only_a_dropped_one_is_near_to():
    # 0-1 and 1-2 are close, 0-2 are not: 1 falls to 0, so 2 stays.
    angles = np.radians([0, 30, 60])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for block in (1, 2, 3):
        assert centre_separation(directions, threshold=0.8, block=block).unique.tolist() == [True, False, True]


def test_vectors_of_a_bank():
    faces = Faces([3, 4, 2])
    rng = np.random.default_rng(3)
    bank = rng.normal(size=(8, 12)).astype(np.float32)
    own = own_vector_cosines(faces.gather, faces.identity, bank)
    nearest = nearest_vector(faces.gather, 9, bank, max_comparisons=MANY, seed=0)
    for position in range(9):
        scores = [cosine(faces.vectors[position], vector) for vector in bank]
        assert own[position] == pytest.approx(scores[faces.identity[position]], abs=1e-5)
        assert nearest[position] == int(np.argmax(scores))
    some = nearest_vector(faces.gather, 9, bank, max_comparisons=8 * 4, seed=0)
    assert (some >= 0).sum() == 4


def test_a_zero_vector_is_nobody():
    np.testing.assert_array_equal(unit(np.zeros((1, 3), np.float32)), 0)


@given(st.integers(2, 40), st.integers(0, 20), st.sampled_from([1, 3, 16, 64]))
@settings(max_examples=30, deadline=None)
def test_unique_people_at_other_radii_are_those_at_that_threshold(count, seed, block):
    directions = unit(np.random.default_rng(seed).normal(size=(count, 3)))
    found = centre_separation(directions, threshold=0.2, radii=(0.5, 0.9), block=block)
    for radius in (0.5, 0.9):
        alone = centre_separation(directions, threshold=radius, block=block)
        assert found.unique_at[radius] == alone.unique.sum()


@pytest.mark.parametrize("block", [1, 64])
def test_a_pair_at_the_radius_is_decided_exactly(block):
    for seed in range(20):
        directions = unit(np.random.default_rng(seed).normal(size=(2, 128)))
        at = exact_cosine(*directions)
        for threshold, reaching in ((at, True), (float(np.nextafter(at, 2)), False)):
            found = centre_separation(directions, threshold=threshold, radii=(threshold,), block=block)
            assert found.pairs_above == reaching
            assert found.unique.tolist() == [True, not reaching]
            assert found.unique_at == {threshold: 2 - reaching}
