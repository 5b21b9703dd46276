"""Shares are exact, perturbations keep the norm, and every image has its own key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.identities.variation import apportion, perturb, perturb_identity, sigma_schedule
from vec2face.seeding import rng_for

MIX = [(0.3, 0.4), (0.5, 0.4), (0.7, 0.2)]
VECTOR = np.random.default_rng(0).standard_normal(512).astype(np.float32) * 0.967


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (50, [0.4, 0.4, 0.2], [20, 20, 10]),
        (7, [0.4, 0.4, 0.2], [3, 3, 1]),
        (1, [0.4, 0.4, 0.2], [1, 0, 0]),
        (3, [1, 1], [2, 1]),
        (0, [1, 2], [0, 0]),
        (5, [0, 1], [0, 5]),
        (10, [0.1, 0.2, 0.7], [1, 2, 7]),
    ],
)
def test_shares_by_hand(total: int, weights: list[float], parts: list[int]) -> None:
    assert apportion(total, weights) == parts


@given(
    st.integers(0, 1000),
    st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=6).filter(lambda w: sum(w) > 0),
)
def test_shares_add_up_and_are_within_one_of_the_quota(total: int, weights: list[float]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1 + 1e-6
        assert part >= 0


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [float("nan"), 1], [float("inf")]])
def test_unusable_shares_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="shares"):
        apportion(5, weights)


def test_a_negative_total_is_refused() -> None:
    with pytest.raises(InputError, match="cannot divide -1"):
        apportion(-1, [1])


def test_the_mix_is_exact_inside_every_identity_and_shuffled_by_key() -> None:
    schedules = [sigma_schedule(50, MIX, 0, identity) for identity in range(20)]
    for schedule in schedules:
        assert schedule.dtype == np.float32
        assert sorted(schedule) == sorted(np.float32([0.3] * 20 + [0.5] * 20 + [0.7] * 10))
    assert len({schedule.tobytes() for schedule in schedules}) == 20
    np.testing.assert_array_equal(sigma_schedule(50, MIX, 0, 3), schedules[3])
    assert (sigma_schedule(50, MIX, 1, 3) != schedules[3]).any()


def test_no_images_give_an_empty_schedule() -> None:
    assert sigma_schedule(0, MIX, 0, 0).shape == (0,)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_an_unusable_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(InputError, match="noise strengths"):
        sigma_schedule(5, [(sigma, 1)], 0, 0)


def test_perturb_follows_its_formula() -> None:
    noise = rng_for(1, "variation", 2, 3).standard_normal(512) * 0.5 * 1.7
    expected = (VECTOR + noise) * np.linalg.norm(VECTOR) / np.linalg.norm(VECTOR + noise)
    perturbed = perturb(VECTOR, 0.5, 1.7, rng_for(1, "variation", 2, 3))
    assert perturbed.dtype == np.float32
    np.testing.assert_allclose(perturbed, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.7, 5.0])
def test_the_norm_is_kept(sigma: float) -> None:
    perturbed = perturb(VECTOR, sigma, 1.0, np.random.default_rng(0))
    assert np.linalg.norm(perturbed) == pytest.approx(np.linalg.norm(VECTOR), rel=1e-5)


def test_sigma_zero_returns_the_vector() -> None:
    np.testing.assert_array_equal(perturb(VECTOR, 0.0, 1.0, np.random.default_rng(0)), VECTOR)


@pytest.mark.parametrize(("sigma", "cosine"), [(0.2, 0.979), (0.3, 0.955), (0.5, 0.888), (0.7, 0.810), (1.0, 0.695)])
def test_the_cosine_to_the_centre_is_what_the_noise_means(sigma: float, cosine: float) -> None:
    images = perturb_identity(VECTOR, np.full(200, sigma), sigma_unit=1.0, run_seed=0, identity=0)
    measured = images @ VECTOR / np.linalg.norm(images, axis=1) / np.linalg.norm(VECTOR)
    assert measured.mean() == pytest.approx(cosine, abs=0.006)


def test_an_identity_at_once_is_the_same_as_image_by_image() -> None:
    sigmas = sigma_schedule(11, MIX, 5, 2)
    together = perturb_identity(VECTOR, sigmas, sigma_unit=0.8, run_seed=5, identity=2, first_image=4)
    assert together.dtype == np.float32
    for row, sigma in enumerate(sigmas):
        alone = perturb(VECTOR, sigma, 0.8, rng_for(5, "variation", 2, 4 + row))
        np.testing.assert_array_equal(together[row], alone)


def test_a_slice_of_an_identity_is_the_same_as_in_the_whole() -> None:
    sigmas = sigma_schedule(10, MIX, 5, 2)
    whole = perturb_identity(VECTOR, sigmas, sigma_unit=1.0, run_seed=5, identity=2)
    part = perturb_identity(VECTOR, sigmas[6:], sigma_unit=1.0, run_seed=5, identity=2, first_image=6)
    np.testing.assert_array_equal(part, whole[6:])
