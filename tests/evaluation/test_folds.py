"""The arithmetic of folds against slow versions of it, written out after the protocol's description."""

import numpy as np
import pytest
from scipy.interpolate import BSpline
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from vec2face.errors import InputError
from vec2face.evaluation.folds import fold_accuracy, fold_of, fold_val, require_even_folds
from vec2face.evaluation.rates import area_under_curve, operating_curve
from vec2face.evaluation.verification import pair_distances


def overlapping(count, seed):
    rng = np.random.default_rng(seed)
    same = np.arange(count) % 20 < 10
    return np.where(same, rng.normal(1.0, 0.35, count), rng.normal(1.9, 0.35, count)).clip(0.01, 3.9), same


def folds_of(count):
    sizes = [count // 10 + (fold < count % 10) for fold in range(10)]
    starts = [sum(sizes[:fold]) for fold in range(10)]
    return [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


@pytest.mark.parametrize("count", [10, 37, 100])
def test_accuracy_is_that_of_a_loop_over_folds_and_thresholds(count):
    distances, same = overlapping(count, seed=count)
    expected = []
    for test in folds_of(count):
        best, chosen = -1, None
        for step in range(400):
            right = sum((distances[i] < step * 0.01) == same[i] for i in range(count) if i not in test)
            if right > best:  # the first of equals stays
                best, chosen = right, step * 0.01
        expected.append(sum((distances[i] < chosen) == same[i] for i in test) / len(test))
    found = fold_accuracy(distances, same)
    assert found.folds == pytest.approx(expected, abs=1e-12)
    assert found.mean == pytest.approx(sum(expected) / 10, abs=1e-12)
    assert found.std == pytest.approx((sum((e - found.mean) ** 2 for e in expected) / 10) ** 0.5, abs=1e-12)


def random_faces(pairs, seed):
    """Raw embeddings of images and of their mirror images, (2P, 2, 16), and flags."""
    rng = np.random.default_rng(seed)
    same = np.arange(pairs) % 20 < 10
    first = rng.normal(size=(pairs, 16))
    second = np.where(same[:, None], first + 0.9 * rng.normal(size=(pairs, 16)), rng.normal(size=(pairs, 16)))
    faces = np.stack([first, second], axis=1).reshape(2 * pairs, 1, 16)
    both = faces + 0.1 * rng.normal(size=(2 * pairs, 2, 16))
    return (both * rng.uniform(5, 20, (2 * pairs, 1, 1))).astype(np.float32), same


def insightface_figures(both, same):
    """The protocol with scikit-learn's folds and lengths and scipy's linear spline, one threshold at a time."""
    sums = normalize(both[:, 0].astype(np.float64) + both[:, 1].astype(np.float64))
    dist = np.sum(np.square(np.subtract(sums[0::2], sums[1::2])), 1)
    accuracies, vals, fars = [], [], []
    for train, test in KFold(n_splits=10, shuffle=False).split(np.arange(len(same))):
        scores = []
        for threshold in np.arange(0, 4, 0.01):
            predicted = np.less(dist[train], threshold)
            right = np.sum(predicted & same[train]) + np.sum(~predicted & ~same[train])
            scores.append(float(right) / len(train))
        predicted = np.less(dist[test], np.arange(0, 4, 0.01)[np.argmax(scores)])
        accuracies.append(np.mean(predicted == same[test]))
        grid = np.arange(0, 4, 0.001)
        far = np.array([np.sum(np.less(dist[train], t) & ~same[train]) / np.sum(~same[train]) for t in grid])
        # The spline of order 1 that scipy's "slinear" made until it began to refuse repeated abscissae.
        spline = BSpline.construct_fast(np.r_[far[0], far, far[-1]], grid, 1)
        threshold = float(spline(1e-3)) if far.max() >= 1e-3 else 0.0
        accepted = np.less(dist[test], threshold)
        vals.append(np.sum(accepted & same[test]) / np.sum(same[test]))
        fars.append(np.sum(accepted & ~same[test]) / np.sum(~same[test]))
    return dist, np.mean(accuracies), np.std(accuracies), np.mean(vals), np.std(vals), np.mean(fars)


@pytest.mark.parametrize(("pairs", "seed"), [(400, 0), (600, 1)])
def test_every_figure_equals_insightfaces_arithmetic(pairs, seed):
    both, same = random_faces(pairs, seed)
    dist, accuracy, accuracy_std, val, val_std, far = insightface_figures(both, same)
    found = pair_distances(both.astype(np.float64).sum(axis=1))
    np.testing.assert_allclose(found, dist, atol=1e-12, rtol=0)
    by_folds, rate = fold_accuracy(found, same), fold_val(found, same)
    assert 0.6 < accuracy < 1
    assert by_folds.mean == pytest.approx(accuracy, abs=1e-12)
    assert by_folds.std == pytest.approx(accuracy_std, abs=1e-12)
    assert 0 < val < 1
    assert (rate.mean, rate.std, rate.far) == pytest.approx((val, val_std, far), abs=1e-12)
    curve = operating_curve(-found[same], -found[~same])
    assert area_under_curve(curve) == pytest.approx(roc_auc_score(same, -dist), abs=1e-12)


def test_val_is_zero_where_the_far_is_never_reached():
    same = np.arange(40) % 2 == 0
    found = fold_val(np.where(same, 0.5, 4.0), same)
    assert (found.mean, found.far) == (0.0, 0.0)


def test_val_counts_the_folds_that_hold_pairs_of_a_kind():
    distances = np.array([0.1, 0.1, 3.0, 3.0, 0.1, 3.0, 3.0, 3.0])
    same = np.array([True, True, False, False, True, False, False, False])  # the kinds of four folds: 1, 0, both, 0
    found = fold_val(distances, same, folds=4)
    assert (found.mean, found.std, found.folds, found.far_folds) == (1.0, 0.0, 2, 3)
    whole = fold_val(np.where(same, 0.5, 3.0), np.arange(8) % 2 == 0, folds=4)
    assert (whole.folds, whole.far_folds) == (4, 4)


def test_folds_stand_one_after_the_other():
    assert fold_of(6, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert fold_of(5, 3).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("pairs", "folds", "message"),
    [
        (4, 10, "holds 4 pairs; 10-fold accuracy needs at least 10"),
        (1203, 10, "1,203 pairs, which do not divide into 10 folds of one size; leave out 3 or choose --folds 3"),
        (13, 10, "leave out 3."),
        (20, 1, "at least 2"),
    ],
)
def test_folds_that_do_not_divide_are_refused(pairs, folds, message):
    require_even_folds(1200, 10, where="set.bin")
    with pytest.raises(InputError, match=f"set.bin.*{message}"):
        require_even_folds(pairs, folds, where="set.bin")
