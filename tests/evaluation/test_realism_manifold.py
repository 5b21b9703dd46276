"""Precision, recall and kernel distance against slow, obvious versions and cases with known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.evaluation import realism_manifold
from vec2face.evaluation.realism_manifold import kernel_distance, overlap

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, count: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)), np.append(np.arange(people), rng.integers(0, people, count - people))


def slow_share_inside(queries: np.ndarray, points: np.ndarray, people: np.ndarray, k: int) -> float:
    inside = 0
    for query in queries:
        for point, person in zip(points, people, strict=True):
            others = [
                np.linalg.norm(other - point) for other, owner in zip(points, people, strict=True) if owner != person
            ]
            if np.linalg.norm(query - point) <= sorted(others)[k - 1]:
                inside += 1
                break
    return inside / len(queries)


def slow_kernel_distance(a: np.ndarray, p: np.ndarray, b: np.ndarray, q: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    def within(x: np.ndarray, owner: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if owner[i] != owner[j]]
        return float(np.mean([kernel(x[i], x[j]) for i, j in pairs]))

    return within(a, p) + within(b, q) - 2 * float(np.mean([kernel(x, y) for x in a for y in b]))


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS, st.integers(1, 3))
def test_precision_and_recall_are_those_of_the_definition(one: int, other: int, k: int):
    a, people_a = draw(one, 12, 6)
    b, people_b = draw(other, 10, 5)
    found = overlap(a, people_a, b, people_b, k=k)
    assert found.precision == slow_share_inside(a, b, people_b, k)
    assert found.recall == slow_share_inside(b, a, people_a, k)


@settings(max_examples=15, deadline=None)
@given(SEEDS, SEEDS)
def test_the_kernel_distance_is_that_of_the_definition(one: int, other: int):
    a, people_a = draw(one, 9, 4)
    b, people_b = draw(other, 8, 3)
    expected = slow_kernel_distance(a, people_a, b, people_b)
    assert kernel_distance(a, people_a, b, people_b) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    a, people_a = draw(0, 20, 9)
    b, people_b = draw(1, 17, 8)
    whole = overlap(a, people_a, b, people_b, k=2), kernel_distance(a, people_a, b, people_b)
    monkeypatch.setattr(realism_manifold, "BLOCK", 3)
    assert overlap(a, people_a, b, people_b, k=2) == whole[0]
    assert kernel_distance(a, people_a, b, people_b) == pytest.approx(whole[1])


def test_sets_far_apart_share_nothing_and_a_narrow_set_is_precise_alone():
    rng = np.random.default_rng(0)
    wide, people = rng.normal(size=(60, 2)), np.arange(60)
    assert overlap(wide + 100, people, wide, people, k=3) == realism_manifold.Overlap(0.0, 0.0)
    narrow = overlap(0.01 * rng.normal(size=(60, 2)), people, wide, people, k=3)
    assert narrow.precision == 1.0
    assert narrow.recall < 0.1


def test_copies_of_one_person_do_not_shrink_the_manifold():
    points, people = np.array([[0.0], [0.0], [0.0], [1.0], [2.0]]), np.array([0, 0, 0, 1, 2])
    assert overlap(np.array([[0.9], [5.0]]), np.array([0, 1]), points, people, k=1).precision == 0.5


def test_too_few_people_are_refused():
    a, people = draw(0, 6, 3)
    with pytest.raises(InputError, match="more than 3 people on each side"):
        overlap(a, people, a, people, k=3)
    with pytest.raises(InputError, match="at least two people"):
        kernel_distance(a, np.zeros(6, int), a, people)
