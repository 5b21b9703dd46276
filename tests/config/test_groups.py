"""What a recipe of group probes may say, and how a row of labels finds its group."""

import pytest

from vec2face.config.base import parse
from vec2face.config.groups import GroupsOf, GroupsRecipe
from vec2face.errors import ConfigError

SEX = {"name": "sex", "column": "sex", "groups": [{"name": "male", "labels": [0]}, {"name": "female", "labels": ["1"]}]}


def of(**changes):
    return parse(GroupsOf, SEX | changes, where="test")


def test_labels_are_compared_as_they_are_written():
    probe = of()
    assert [probe.group_of({"sex": cell}, where="x") for cell in ("0", " 1 ", "2", "", "1.0")] == [
        0,
        1,
        None,
        None,
        None,
    ]


def test_ranges_hold_their_lower_end_and_no_text():
    probe = of(groups=[{"name": "young", "below": 18}, {"name": "grown", "low": 18, "below": 60}])
    assert [probe.group_of({"sex": cell}, where="x") for cell in ("-3", "17.9", "18", "60", "old", "nan")] == [
        0,
        0,
        1,
        None,
        None,
        None,
    ]


def test_rows_that_a_probe_does_not_use_are_in_no_group():
    probe = of(rows=[{"column": "age", "low": 18}, {"column": "kept", "labels": ["yes"]}])
    assert probe.columns == {"sex", "age", "kept"}
    assert probe.group_of({"sex": "1", "age": "18", "kept": "yes"}, where="x") == 1
    assert probe.group_of({"sex": "1", "age": "17", "kept": "yes"}, where="x") is None
    assert probe.group_of({"sex": "1", "age": "18", "kept": "no"}, where="x") is None


def test_a_row_in_two_groups_is_told():
    probe = of(groups=[{"name": "young", "below": 18}, {"name": "small", "below": 10}])
    with pytest.raises(ValueError, match="here: '5' is in two groups of sex, young and small"):
        probe.group_of({"sex": "5"}, where="here")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"name": "a", "labels": [0]}], "at least 2"),
        ([{"name": "a", "labels": [0]}, {"name": "a", "labels": [1]}], "has the group a twice"),
        ([{"name": "a", "labels": [0]}, {"name": "b"}], "either labels or a range"),
        ([{"name": "a", "labels": [0]}, {"name": "b", "labels": [1], "low": 3}], "either labels or a range"),
        ([{"name": "a", "labels": [0]}, {"name": "b", "low": 3, "below": 3}], "low smaller than below"),
    ],
)
def test_groups_that_cannot_be_told_are_refused(groups, message):
    with pytest.raises(ConfigError, match=message):
        of(groups=groups)


def test_a_recipe_knows_its_columns_and_has_each_probe_once():
    values = {"name": "mine", "probes": [SEX], "rows": [{"column": "good", "labels": [1]}]}
    recipe = parse(GroupsRecipe, values | {"further": [{"column": "new", "labels": [1]}]}, where="test")
    assert recipe.columns == {"sex", "good", "new"}
    with pytest.raises(ConfigError, match="the probe sex is there twice"):
        parse(GroupsRecipe, values | {"probes": [SEX, SEX]}, where="test")
