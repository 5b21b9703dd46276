"""Shares of groups: what a probe counts, and what its known errors make of that."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.evaluation.group_shares import correct, measure_shares

SURE = np.array([[100, 0], [0, 100]])


def starts(*counts):
    return np.concatenate([[0], np.cumsum(counts)])


def test_each_identity_weighs_the_same_however_many_images_it_has():
    found = measure_shares(np.array([0, 0, 0, 0, 1]), starts(4, 1), SURE, seed=0)
    assert found.counted == pytest.approx([0.5, 0.5])
    assert found.corrected == pytest.approx([0.5, 0.5])


def test_agreement_is_of_pairs_of_images_of_identities_with_several():
    found = measure_shares(np.array([0, 0, 1, 1, 1, 1]), starts(3, 2, 1), SURE, seed=0)
    assert found.agreement == pytest.approx((1 / 3 + 1) / 2)
    assert found.expected == 1.0
    assert measure_shares(np.array([0, 1]), starts(1, 1), SURE, seed=0).agreement is None


def test_a_correction_is_doubted_where_the_pictures_contradict_the_errors():
    rng = np.random.default_rng(0)
    confusion = np.array([[900, 100], [100, 900]])
    as_measured = (rng.random((400, 5)) < 0.1).astype(int) ^ (np.arange(400) % 2)[:, None]
    found = measure_shares(as_measured.ravel(), starts(*[5] * 400), confusion, seed=0)
    assert found.agreement == pytest.approx(found.expected, abs=0.02)
    assert found.doubt(lasting=True) == ""
    worse = (rng.random((400, 5)) < 0.3).astype(int) ^ (np.arange(400) % 2)[:, None]
    doubted = measure_shares(worse.ravel(), starts(*[5] * 400), confusion, seed=0)
    assert "counted for different groups more often" in doubted.doubt(lasting=True)
    assert doubted.doubt(lasting=False) == ""
    # Nobody can be counted for a group less often than others are mistaken for it.
    never = measure_shares(np.zeros(2000, int), starts(*[5] * 400), confusion, seed=0)
    assert never.unexplained == pytest.approx(0.1, abs=1e-3)
    assert "no shares of the groups" in never.doubt(lasting=False)


def test_two_groups_are_corrected_as_rogan_and_gladen_do():
    missed, mistaken, counted = 0.1, 0.2, 0.55
    rates = np.array([[1 - mistaken, mistaken], [missed, 1 - missed]])
    found = correct(np.array([1 - counted, counted]), rates)
    assert found[1] == pytest.approx((counted - mistaken) / (1 - missed - mistaken), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    shares=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda x: sum(x) > 0.1),
    errors=st.lists(st.floats(0.0, 0.2), min_size=6, max_size=6),
)
def test_what_a_confusion_does_to_shares_is_undone(shares, errors):
    true = np.array(shares) / sum(shares)
    rates = np.eye(3)
    rates[~np.eye(3, dtype=bool)] = errors
    np.fill_diagonal(rates, 1 - (rates.sum(axis=1) - 1))
    assert correct(true @ rates, rates) == pytest.approx(true, abs=1e-4)


def test_shares_stay_shares_where_the_errors_would_leave_less_than_nobody():
    rates = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert correct(np.array([0.99, 0.01]), rates) == pytest.approx([1.0, 0.0], abs=1e-5)


def test_the_interval_holds_the_truth_and_narrows_with_people_and_faces():
    rng = np.random.default_rng(0)
    rates = np.array([[0.8, 0.2], [0.1, 0.9]])
    true, held = 0.3, 0
    for seed in range(20):
        people = (rng.random(200) < true).astype(int)
        counted = np.array([rng.choice(2, p=rates[one]) for one in np.repeat(people, 3)])
        confusion = np.stack([rng.multinomial(500, row) for row in rates])
        found = measure_shares(counted, starts(*[3] * 200), confusion, seed=seed)
        held += found.low[1] <= true <= found.high[1]
    assert held >= 16
    few = measure_shares(counted[:60], starts(*[3] * 20), confusion, seed=0)
    assert few.high[1] - few.low[1] > 1.5 * (found.high[1] - found.low[1])
    assert np.all(measure_shares(counted, starts(*[3] * 200), confusion, seed=19).low == found.low)
