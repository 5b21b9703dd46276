"""Draws are keyed by sample: a slice is the same slice of the whole, and no two stages share numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.generation.conftest import MakeRecipe
from vec2face.generation.inputs import prepare
from vec2face.generation.noise import Draws, draw, draw_batches
from vec2face.generation.plan import Plan
from vec2face.identities import IdentityBank
from vec2face.identities.slices import BankSlices
from vec2face.identities.variation import perturb
from vec2face.models.generator.masking import truncated_normal
from vec2face.seeding import rng_for, seed_for


@pytest.fixture
def planned(make_recipe: MakeRecipe, tmp_path: Path) -> tuple[Plan, IdentityBank]:
    return prepare(make_recipe(images_per_identity=7), tmp_path / "d")


def test_draws_are_those_of_the_plain_definition(planned: tuple[Plan, IdentityBank]) -> None:
    plan, bank = planned
    draws = draw(plan, bank.vectors[2], 2, 0, 7)
    seed, unit = plan.recipe.seed, plan.generator.sigma_unit
    for image in range(7):
        expected = perturb(bank.vectors[2], draws.sigma[image], unit, rng_for(seed, "variation", 2, image))
        assert np.array_equal(draws.features[image], expected)
        assert draws.seed[image] == seed_for(seed, "variation", 2, image)
        noise = rng_for(seed, "mask-noise", 2, image).random(49, dtype=np.float32)
        assert np.array_equal(draws.mask_noise[image], noise)
        uniform = np.array([rng_for(seed, "mask-rate", 2, image).random()])
        rate = truncated_normal(uniform, **plan.generator.sampling_mask)
        assert draws.mask_rate[image] == np.float32(rate[0])
    assert sorted(draws.sigma.round(2).tolist()) == pytest.approx([0.3, 0.3, 0.3, 0.5, 0.5, 0.5, 0.7])


def test_a_slice_of_an_identity_is_the_slice_of_the_whole(planned: tuple[Plan, IdentityBank]) -> None:
    plan, bank = planned
    whole, part = draw(plan, bank.vectors[1], 1, 0, 7), draw(plan, bank.vectors[1], 1, 3, 2)
    for name in Draws.__annotations__:
        assert np.array_equal(getattr(whole, name)[3:5], getattr(part, name), equal_nan=True), name


def test_drawn_again_an_image_differs_in_all_but_its_strength(planned: tuple[Plan, IdentityBank]) -> None:
    plan, bank = planned
    first, second, third = (draw(plan, bank.vectors[1], 1, 2, 3, attempt=number) for number in range(3))
    for name in ("identity", "image", "sigma"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    for name in ("features", "seed", "mask_noise", "appearance"):
        assert not np.array_equal(getattr(first, name), getattr(second, name)), name
        assert not np.array_equal(getattr(second, name), getattr(third, name)), name


def test_batches_hold_a_shard_in_order(planned: tuple[Plan, IdentityBank], tmp_path: Path) -> None:
    plan, bank = planned
    bank.save(tmp_path / "bank.safetensors")
    slices = BankSlices(tmp_path / "bank.safetensors")
    for shard in plan.shards:
        batches = list(draw_batches(plan, shard, slices))
        assert [len(batch) for batch in batches[:-1]] == [3] * (len(batches) - 1)
        assert 1 <= len(batches[-1]) <= 3
        pairs = [(int(i), int(j)) for batch in batches for i, j in zip(batch.identity, batch.image, strict=True)]
        identities = range(shard.first_identity, shard.first_identity + shard.identities)
        assert pairs == [(identity, image) for identity in identities for image in range(7)]
        features = np.concatenate([batch.features for batch in batches])
        expected = np.concatenate([draw(plan, bank.vectors[i], i, 0, 7).features for i in identities])
        assert np.array_equal(features, expected)


def test_the_appearance_code_is_keyed_by_the_sample_and_scaled(planned: tuple[Plan, IdentityBank]) -> None:
    plan, bank = planned
    without = replace(plan, generator=replace(plan.generator, appearance_dim=0))
    assert draw(without, bank.vectors[2], 2, 0, 7).appearance.shape == (7, 0)
    coded = replace(plan, generator=replace(plan.generator, appearance_dim=5), appearance=0.5)
    found = draw(coded, bank.vectors[2], 2, 3, 4).appearance
    for row, image in enumerate(range(3, 7)):
        expected = rng_for(plan.recipe.seed, "appearance", 2, image).standard_normal(5, np.float32) * np.float32(0.5)
        assert np.array_equal(found[row], expected)
