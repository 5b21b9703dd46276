import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.evaluation.rates import (
    area_under_curve,
    equal_error_rate,
    fisher_ratio,
    fnmr_at_fmr,
    operating_curve,
    tar_at_far,
    threshold_at_fmr,
)

# Few distinct values, so that ties between and inside the two lists are common.
scores = st.lists(st.integers(-5, 5).map(lambda value: value / 5), min_size=1, max_size=30)


def naive_rates(genuine, impostor, threshold):
    fmr = sum(score >= threshold for score in impostor) / len(impostor)
    fnmr = sum(score < threshold for score in genuine) / len(genuine)
    return fmr, fnmr


@given(scores, scores)
def test_every_point_of_the_curve_counts_pairs(genuine, impostor):
    curve = operating_curve(np.array(genuine), np.array(impostor))
    assert curve.thresholds[0] == np.inf
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert (fmr, fnmr) == pytest.approx(naive_rates(genuine, impostor, threshold))


@given(scores, scores)
def test_area_is_the_share_of_ordered_pairs(genuine, impostor):
    wins = sum((g > i) + 0.5 * (g == i) for g in genuine for i in impostor) / (len(genuine) * len(impostor))
    assert area_under_curve(operating_curve(np.array(genuine), np.array(impostor))) == pytest.approx(wins)


@given(scores, scores, st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0]))
def test_fnmr_at_fmr_is_the_best_over_all_thresholds(genuine, impostor, target):
    curve = operating_curve(np.array(genuine), np.array(impostor))
    found = fnmr_at_fmr(curve, target)
    if len(impostor) * target < 1:
        assert found is None
        return
    candidates = [np.inf, *genuine, *impostor]
    allowed = [naive_rates(genuine, impostor, t) for t in candidates]
    assert found == pytest.approx(min(fnmr for fmr, fnmr in allowed if fmr <= target + 1e-12))
    assert tar_at_far(curve, target) == pytest.approx(1 - found)
    assert naive_rates(genuine, impostor, threshold_at_fmr(curve, target))[0] <= target + 1e-12


@given(scores, scores)
def test_equal_error_rate_lies_between_the_two_rates_at_the_crossing(genuine, impostor):
    curve = operating_curve(np.array(genuine), np.array(impostor))
    eer = equal_error_rate(curve)
    worst = np.maximum(curve.fmr, curve.fnmr).min()
    best = np.minimum(curve.fmr, curve.fnmr).max()
    assert min(best, worst) - 1e-12 <= eer <= worst + 1e-12


def test_known_distributions():
    genuine, impostor = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.3, 0.1, 0.0, -0.1])
    curve = operating_curve(genuine, impostor)
    assert equal_error_rate(curve) == pytest.approx(0.25)
    assert area_under_curve(curve) == pytest.approx(15 / 16)
    separated = operating_curve(np.array([0.9, 0.8]), np.array([0.1, 0.0]))
    assert equal_error_rate(separated) == 0.0
    assert area_under_curve(separated) == 1.0


def test_fisher_ratio_of_gaussians():
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(0.6, 0.1, 200_000), rng.normal(0.0, 0.2, 200_000)
    assert fisher_ratio(genuine, impostor) == pytest.approx(0.36 / 0.05, rel=0.02)
    assert fisher_ratio(np.array([1.0, 1.0]), np.array([0.0])) is None


@pytest.mark.parametrize(("genuine", "impostor"), [([], [0.1]), ([0.1], []), ([np.nan], [0.1])])
def test_unusable_scores_are_refused_in_one_sentence(genuine, impostor):
    with pytest.raises(InputError, match="error rates need"):
        operating_curve(np.array(genuine), np.array(impostor))
