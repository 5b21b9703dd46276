"""The Frechet distance against a naive definition, its invariances, and the bootstrap against a known truth."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.evaluation.realism_distances import (
    Gaussian,
    bootstrap_distance,
    frechet_distance,
    psd_root,
    resampled,
)

SEEDS = st.integers(0, 2**32 - 1)


def vectors(seed: int, count: int, width: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


def rotation(seed: int, width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def naive(a: np.ndarray, b: np.ndarray) -> float:
    """The formula with the square root of the product of the covariances, which is not symmetric."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cross = np.trace(scipy.linalg.sqrtm(first @ second)).real
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * cross)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return frechet_distance(Gaussian.of(a), Gaussian.of(b))


@settings(max_examples=20, deadline=None)
@given(SEEDS, SEEDS)
def test_it_is_the_naive_definition(one: int, other: int):
    a, b = vectors(one, 30), vectors(other, 40)
    assert distance(a, b) == pytest.approx(naive(a, b), rel=1e-6, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS, SEEDS, st.floats(0.1, 10))
def test_it_is_symmetric_and_moves_with_neither_rotation_nor_shift(one: int, other: int, scale: float):
    a, b = vectors(one, 20), vectors(other, 25)
    turn, shift = rotation(one, 5), vectors(other, 1)[0]
    expected = distance(a, b)
    assert distance(b, a) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert distance(a @ turn + shift, b @ turn + shift) == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert distance(scale * a, scale * b) == pytest.approx(scale**2 * expected, rel=1e-7, abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 12))
def test_it_is_nothing_from_a_set_to_itself_even_with_fewer_images_than_dimensions(seed: int, count: int):
    a = vectors(seed, count, width=16)
    assert distance(a, a) <= 1e-9 * np.trace(np.cov(a, rowvar=False))


def test_degenerate_sets_have_the_distance_of_their_means():
    point = np.full((5, 3), 2.0)
    assert distance(point, point + 1) == pytest.approx(3.0)
    line = np.zeros((4, 3))
    line[:, 0] = [0, 1, 2, 3]
    other = np.zeros((4, 3))
    other[:, 1] = [0, 1, 2, 3]
    # Along different axes the roots' product is zero: both variances count in full.
    assert distance(line, other) == pytest.approx(2 * 1.5**2 + 2 * np.var([0, 1, 2, 3], ddof=1))


def test_one_dimension_is_the_difference_of_means_and_deviations():
    a, b = np.array([[1.0], [3.0]]), np.array([[10.0], [20.0]])
    expected = (2 - 15) ** 2 + (np.std([1, 3], ddof=1) - np.std([10, 20], ddof=1)) ** 2
    assert distance(a, b) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_the_root_is_scipys_and_squares_to_the_matrix(seed: int):
    matrix = np.cov(vectors(seed, 12), rowvar=False)
    root = psd_root(matrix)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-10 * np.trace(matrix))
    np.testing.assert_allclose(root, scipy.linalg.sqrtm(matrix).real, atol=1e-6 * np.trace(matrix) ** 0.5)


def test_the_root_of_a_singular_matrix_has_no_more_directions_than_it():
    column = np.arange(1.0, 5.0)[:, None]
    root = psd_root(column @ column.T)
    assert np.linalg.matrix_rank(root, tol=1e-12) == 1
    assert not psd_root(np.zeros((3, 3))).any()


def test_weights_count_rows_as_often_as_they_say():
    a, counts = vectors(0, 6), np.array([0, 1, 3, 2, 0, 1])
    weighted, repeated = Gaussian.of(a, counts), Gaussian.of(np.repeat(a, counts, axis=0))
    np.testing.assert_allclose(weighted.mean, repeated.mean)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance)


def test_one_face_has_no_covariance():
    with pytest.raises(InputError, match="at least two faces, not 1"):
        Gaussian.of(np.ones((1, 4)))


def test_resampling_keeps_a_persons_images_together():
    people = np.array([7, 7, 7, 1, 2, 2])
    counts = resampled(people, np.random.default_rng(3))
    assert len(set(counts[:3])) == 1
    assert counts[4] == counts[5]
    assert counts[0] + counts[3] + counts[4] == 3


def test_the_bootstrap_takes_the_bias_away_and_its_interval_holds_the_truth():
    rng, width, count = np.random.default_rng(1), 16, 60
    scale = np.exp(-np.arange(width) / 5)
    truth = float(np.square(0.3 * scale).sum())
    people = np.arange(count)
    found = []
    for _ in range(6):
        a, b = rng.normal(size=(count, width)) * scale, (rng.normal(size=(count, width)) + 0.3) * scale
        found.append(bootstrap_distance(a, people, b, people, resamples=40, rng=rng))
    plain = np.mean([one.plain for one in found])
    corrected = np.mean([one.corrected for one in found])
    assert plain > 2 * truth
    assert abs(corrected - truth) < 0.35 * abs(plain - truth)
    assert sum(one.low <= truth <= one.high for one in found) >= 5
