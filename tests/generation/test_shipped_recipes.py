"""Every shipped generation recipe makes a plan of the size that its header states."""

import re

import pytest

from vec2face.config.generation import GenerateRecipe
from vec2face.config.library import ShippedRecipe, shipped_recipes
from vec2face.generation.plan import BankFacts, GeneratorFacts, make_plan

RECIPES = [recipe for recipe in shipped_recipes() if recipe.kind == "generate"]
MASK = {"min": 0.1, "max": 1.0, "mean": 0.15, "std": 0.25}
# identities, images of each: as published, and in small
SIZES = {
    "hsface10k": (10_000, 50),
    "hsface20k": (20_000, 50),
    "hsface100k": (100_000, 50),
    "hsface200k": (200_000, 50),
    "hsface300k": (300_000, 50),
    "vface10k": (10_000, 50),
    "vface20k": (20_000, 50),
    "vface100k": (100_000, 40),
    "vface300k": (300_000, 40),
    "laptop-1k": (1_000, 50),
    "laptop-10k": (10_000, 10),
}


@pytest.mark.parametrize("shipped", RECIPES, ids=lambda recipe: recipe.stem)
def test_the_plan_is_as_large_as_the_header_says(shipped: ShippedRecipe) -> None:
    recipe = shipped.parse()
    assert isinstance(recipe, GenerateRecipe)
    count = recipe.identities.count
    assert count is not None
    appearance = 32 if recipe.weights == "embedded" else 0
    generator = GeneratorFacts("a" * 64, 512, "space", 1.0, MASK, appearance)
    plan = make_plan(recipe, bank=BankFacts("b" * 64, count, 512), generator=generator, request={})
    result = " ".join(line.removeprefix("#").strip() for line in shipped.text.split("# Result:")[1].splitlines())
    images = re.match(r"\s*([\d,]+) JPEG faces", result)
    shards = re.search(r" in ([\d,]+) shards", result)
    assert images is not None
    assert plan.images == _number(images[1])
    assert shards is None or plan.shard_count == _number(shards[1])
    assert f"vec2face generate {shipped.stem} " in shipped.text
    if shipped.stem in SIZES:
        assert shards is not None
        assert (count, recipe.images_per_identity) == SIZES[shipped.stem]
        assert recipe.name == shipped.stem


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def test_no_size_is_missing() -> None:
    assert set(SIZES) <= {recipe.stem for recipe in RECIPES}
