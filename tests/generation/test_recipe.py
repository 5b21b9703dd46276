"""Which recipe a run takes, and how options change it."""

import json
from pathlib import Path

import pytest

from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError, DatasetError
from vec2face.fileio.atomic import fingerprint
from vec2face.generation.recipe import find_recipe

NO_CHANGES: dict[str, object] = {"seed": None, "identities": {"photos": {"paths": None}, "count": None}, "image": {}}


def test_without_anything_the_defaults_are_taken(tmp_path: Path) -> None:
    assert find_recipe(None, tmp_path, changes=NO_CHANGES) == GenerateRecipe()


def test_a_shipped_recipe_is_found_by_name_and_changed(tmp_path: Path) -> None:
    recipe = find_recipe("demo", tmp_path, changes={"seed": 9, "identities": {"count": 3}})
    assert (recipe.name, recipe.seed, recipe.identities.count, recipe.identities.ceiling) == ("demo", 9, 3, 0.3)


def test_a_file_is_read_and_its_problems_are_told_with_those_of_options(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 5\nimages_per_identity: 0\n")
    with pytest.raises(ConfigError) as caught:
        find_recipe(str(tmp_path / "mine.yaml"), tmp_path, changes={"compute": {"batch_size": -1}})
    assert "images_per_identity" in str(caught.value)
    assert "compute.batch_size" in str(caught.value)
    assert "mine.yaml with options" in str(caught.value)


def test_an_origin_replaces_all_that_the_recipe_says_of_identities(tmp_path: Path) -> None:
    recipe = find_recipe("demo", tmp_path, changes={"identities": {"bank": "mine.npy"}})
    assert recipe.identities.model_dump(exclude_defaults=True) == {"bank": Path("mine.npy")}


def test_a_format_without_quality_takes_the_place_of_one_with(tmp_path: Path) -> None:
    recipe = find_recipe("published", tmp_path, changes={"image": {"format": "png"}})
    assert (recipe.image.format, recipe.image.quality) == ("png", None)


def test_the_recipe_of_the_dataset_is_taken_where_none_is_given(tmp_path: Path) -> None:
    description = {
        "format": 1,
        "fingerprint": fingerprint({}),
        "determinants": {},
        "identities": {},
        "images": 0,
        "shards": 1,
    }
    description["recipe"] = GenerateRecipe(seed=12).resolved().model_dump(mode="json")
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    assert find_recipe(None, tmp_path, changes={}) == GenerateRecipe(seed=12).resolved()
    # Written before there was a choice of method: by rejection.
    del description["recipe"]["identities"]["method"]
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    assert find_recipe(None, tmp_path, changes={}).identities.method == "reject"
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="damaged"):
        find_recipe(None, tmp_path, changes={})


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no shipped recipe is called 'dmo'; shipped: demo"):
        find_recipe("dmo", tmp_path, changes={})
