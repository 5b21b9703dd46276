"""The bootstrap's quick arithmetic against the plain figures, and its intervals against theory."""

import numpy as np
import pytest

from vec2face.evaluation.bootstrap import _Draws, bootstrap
from vec2face.evaluation.folds import fold_accuracy
from vec2face.evaluation.rates import area_under_curve, equal_error_rate, operating_curve, tar_at_far


def scores(pairs, seed=0):
    rng = np.random.default_rng(seed)
    same = np.arange(pairs) % 2 == 0
    distances = np.where(same, rng.normal(1.2, 0.3, pairs), rng.normal(1.9, 0.3, pairs)).clip(0, 4)
    return np.round(distances, 2), same  # rounded, so that there are ties, also with the thresholds


def drawn(distances, same, weights, folds):
    """The drawn set written out pair by pair, folds in order."""
    rows = np.repeat(np.arange(len(same)), weights)
    return distances[rows], same[rows]


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_a_draw_are_those_of_the_pairs_written_out(seed):
    distances, same = scores(200, seed)
    draws = _Draws(distances, same, 10)
    weights = draws.weights(np.random.default_rng(seed))
    assert weights.sum() == 200
    assert weights.max() > 1
    some, flags = drawn(distances, same, weights, 10)
    assert draws.accuracy(weights) == pytest.approx(fold_accuracy(some, flags).mean, abs=1e-12)
    plain, quick = operating_curve(-some[flags], -some[~flags]), draws.curve(weights)
    assert (quick.genuine, quick.impostor) == (100, 100)
    assert equal_error_rate(quick) == pytest.approx(equal_error_rate(plain), abs=1e-12)
    assert area_under_curve(quick) == pytest.approx(area_under_curve(plain), abs=1e-12)
    assert tar_at_far(quick, 0.05) == pytest.approx(tar_at_far(plain, 0.05), abs=1e-12)


def test_every_fold_keeps_its_pairs_of_each_kind():
    distances, same = scores(100)
    weights = _Draws(distances, same, 10).weights(np.random.default_rng(0))
    assert np.add.reduceat(weights * same, range(0, 100, 10)).tolist() == [5] * 10


def test_intervals_hold_the_figures_and_are_as_wide_as_theory_says():
    distances, same = scores(2000)
    found = bootstrap(distances, same, folds=10, fars=(1e-1, 1e-4), resamples=200)
    accuracy = fold_accuracy(distances, same).mean
    assert found.accuracy[0] < accuracy < found.accuracy[1]
    expected = 2 * 1.96 * (accuracy * (1 - accuracy) / 2000) ** 0.5
    assert found.accuracy[1] - found.accuracy[0] == pytest.approx(expected, rel=0.35)
    assert found.auc[0] < area_under_curve(operating_curve(-distances[same], -distances[~same])) < found.auc[1]
    assert found.tar_at_far["0.1"] is not None
    assert found.tar_at_far["0.0001"] is None  # a thousand impostor pairs cannot tell 1 in 10,000
    assert bootstrap(distances, same, folds=10, fars=(1e-1, 1e-4), resamples=200) == found
    assert bootstrap(distances, same, folds=10, fars=(1e-1, 1e-4), resamples=200, seed=1) != found
