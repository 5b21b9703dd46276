"""The distance of feature maps: 0 for the same picture, more for another person than for one; and its definition."""

import numpy as np
import pytest
import torch

from vec2face.checkpoints import load_embedder
from vec2face.errors import ContractError
from vec2face.evaluation.people import People
from vec2face.evaluation.perceptual import PAIRS, PerceptualSpread, draw_pairs, perceptual_distances


@pytest.fixture(scope="module")
def network():
    return load_embedder("embedded")


@pytest.fixture(scope="module")
def pictures():
    """Four smooth random pictures, and each again with a little noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (4, 14, 14, 3))
    first = coarse.repeat(8, 1).repeat(8, 2)
    second = np.clip(first + rng.integers(-12, 13, first.shape), 0, 255)
    return first.astype(np.uint8), second.astype(np.uint8)


def test_the_same_picture_is_at_0_and_another_farther_than_a_changed_one(network, pictures):
    first, second = pictures
    assert perceptual_distances(network, first, first).tolist() == [0.0] * 4
    changed = perceptual_distances(network, first, second)
    other = perceptual_distances(network, first, np.roll(first, 1, axis=0))
    assert (changed > 0).all()
    assert changed.max() < other.min()
    assert perceptual_distances(network, second, first) == pytest.approx(changed, rel=1e-5)


def test_it_is_the_sum_over_maps_of_squared_differences_of_unit_channels(network, pictures):
    first, second = (side[:1] for side in pictures)
    expected = 0.0
    with torch.inference_mode():
        images = [torch.from_numpy(side).permute(0, 3, 1, 2).float() / 127.5 - 1 for side in (first, second)]
        for a, b in zip(*(network.embed_with_features(image)[1] for image in images), strict=True):
            a, b = a[0].double().numpy(), b[0].double().numpy()
            places = [
                np.square(a[:, y, x] / np.linalg.norm(a[:, y, x]) - b[:, y, x] / np.linalg.norm(b[:, y, x])).sum()
                for y in range(a.shape[1])
                for x in range(a.shape[2])
            ]
            expected += np.mean(places)
    assert perceptual_distances(network, first, second)[0] == pytest.approx(expected, rel=1e-3)


def test_pictures_are_compared_in_pairs_or_not_at_all(network, pictures):
    first, second = pictures
    assert perceptual_distances(network, first[:0], second[:0]).shape == (0,)
    with pytest.raises(ContractError, match="first pictures"):
        perceptual_distances(network, first, second[:2])


def test_pairs_are_of_one_person_or_of_two_under_a_seed():
    identity = np.repeat(np.arange(200), np.arange(200) % 3 + 1)
    people = People.of(identity)
    same, different = draw_pairs(people, seed=3)
    assert same.shape == different.shape == (PAIRS, 2)
    assert (identity[same[:, 0]] == identity[same[:, 1]]).all()
    assert (same[:, 0] != same[:, 1]).all()
    assert len(np.unique(identity[same[:, 0]])) == PAIRS  # each of another person
    assert (identity[different[:, 0]] != identity[different[:, 1]]).all()
    for side, again in zip((same, different), draw_pairs(people, seed=3), strict=True):
        assert (side == again).all()
    assert any((side != other).any() for side, other in zip((same, different), draw_pairs(people, seed=4), strict=True))


def test_what_has_no_pairs_is_not_measured():
    same, different = draw_pairs(People.of(np.zeros(1, np.int64)), seed=0)
    assert same.shape == different.shape == (0, 2)
    facts = PerceptualSpread(np.empty(0), np.array([1.0, 3.0])).facts()
    assert facts == {"same": None, "different": {"pairs": 2, "mean": 2.0, "std": 1.0}}
