"""The training benchmark takes real steps of a recipe's size and reports both precisions."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vec2face.config.library import load_recipe
from vec2face.config.training import EmbedderRecipe, GeneratorRecipe
from vec2face.data.facepack import FacePack
from vec2face.training.embedder import train_embedder


@pytest.fixture
def speed(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("training_speed")


def test_both_precisions_take_turns_with_the_recipes_batch(speed: ModuleType, tmp_path: Path) -> None:
    pack = speed.write_random_pack(tmp_path / "pack", images=12)
    assert FacePack.load(pack).holdout.sum() == 1
    recipe = load_recipe("tiny", EmbedderRecipe)
    recipe = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"batch_size": 4})})
    order = []

    def train(values: EmbedderRecipe, pack: Path, out: Path) -> Any:
        order.append(values.run.precision)
        assert values.schedule.batch_size == recipe.schedule.batch_size
        return train_embedder(values, pack=pack, out=out, reporter=speed.Quiet(), device="cpu")

    found = speed.measure("embedder", recipe, train, pack, tmp_path, steps=1, rounds=2)
    assert order == ["float32", "bfloat16"] * 2
    assert [(one.precision, one.batch_size) for one in found] == [("float32", 4), ("bfloat16", 4)]
    assert all(one.images_per_second > 0 and 0 <= one.data_wait_share <= 1 for one in found)


def test_a_shortened_recipe_has_all_its_losses_from_the_first_image(speed: ModuleType) -> None:
    recipe = load_recipe("embedded", GeneratorRecipe)
    short = speed.shortened(recipe, precision="float32", steps=7)
    assert short.schedule.images == 7 * recipe.schedule.batch_size
    assert short.losses.identity_start_images == short.losses.adversarial_start_images == 0
    assert short.losses.identity == recipe.losses.identity
