"""Ablation recipes: changes are laid over the base, and what could not be compared is refused."""

import pytest

from vec2face.config.ablation import AblationRecipe, merged, trials
from vec2face.config.base import parse
from vec2face.config.library import load_recipe, shipped_recipes
from vec2face.errors import ConfigError


def ablation(*variants: dict, **values) -> AblationRecipe:
    entries = [{"purpose": "A test.", **variant} for variant in variants]
    return parse(AblationRecipe, {"base": "embedded", "variants": entries, **values}, where="test")


def test_changes_nest_and_null_takes_a_key_out():
    values = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(values, {"a": {"b": None, "e": {"f": 4}}, "d": [5]}) == {"a": {"c": 2, "e": {"f": 4}}, "d": [5]}
    assert values == {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}


def test_a_trial_differs_from_the_base_by_its_own_changes_alone():
    wanted = ablation(
        {"name": "no-mixtures", "changes": {"mixed_share": 0}},
        {"name": "other-seed", "changes": {"run": {"seed": 9}}},
        changes={"schedule": {"images": 640, "warmup_images": 0}},
    )
    full, mixtures, seed = trials(wanted)
    assert full.recipe.schedule.images == mixtures.recipe.schedule.images == 640
    assert mixtures.recipe == full.recipe.model_copy(update={"mixed_share": 0.0})
    assert seed.recipe.run == full.recipe.run.model_copy(update={"seed": 9})


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"name": "longer", "changes": {"schedule": {"images": 1}}}, "cannot change the schedule"),
        ({"name": "half", "changes": {"run": {"precision": "float32"}}}, "may change the seed alone"),
        ({"name": "full", "changes": {"mixed_share": 0}}, "is that of the base"),
        ({"name": "Bad/name", "changes": {"mixed_share": 0}}, "should match pattern"),
        ({"name": "empty", "changes": {}}, "at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(variant: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        ablation(variant)


def test_two_variants_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two variants have the same name"):
        ablation({"name": "a", "changes": {"mixed_share": 0}}, {"name": "a", "changes": {"mixed_share": 0.1}})


def test_every_problem_of_every_variant_is_named():
    base = trials(ablation({"name": "a", "changes": {"run": {"seed": 5}}}))[0].recipe
    wanted = ablation(
        {"name": "typo", "changes": {"mixed_shar": 0}},
        {"name": "same", "changes": {"mixed_share": base.mixed_share}},
        {"name": "bad", "changes": {"losses": {"pixel": -1}}},
    )
    with pytest.raises(ConfigError) as caught:
        trials(wanted)
    for text in (
        "variant typo: mixed_shar: unknown key",
        "variant same: it does not differ",
        "variant bad: losses.pixel",
    ):
        assert text in str(caught.value)


def test_every_shipped_ablation_gives_valid_trials():
    names = [recipe.name for recipe in shipped_recipes() if recipe.kind == "ablation"]
    assert names
    for name in names:
        assert len(trials(load_recipe(name, AblationRecipe))) > 3
