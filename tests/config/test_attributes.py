"""What recipes may ask of attributes: every form, written back alike, and one sentence for each mistake."""

import math

import pytest

from vec2face.config.attributes import Bins, Interval, Normal, Point, Request, Uniform, read_request
from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe
from vec2face.config.steering import RecipeSteering
from vec2face.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "request_"),
    [
        (30, Point(30)),
        (-7.5, Point(-7.5)),
        ("30 +- 2", Point(30, 2)),
        (">= 26", Interval(26, math.inf)),
        ("<=-3", Interval(-math.inf, -3)),
        ("-20..40", Interval(-20, 40)),
        ("uniform[-60, 60]", Uniform(-60, 60)),
        ("uniform[0.1,0.123456789012]+-.05", Uniform(0.1, 0.123456789012, 0.05)),
        ("normal(0, 20)", Normal(0, 20)),
        ("normal(1e2, 2.5)+-3", Normal(100, 2.5, 3)),
        (
            {"18-30": 0.4, "30..50": 0.5, ">=50": 0.1},
            Bins((Interval(18, 30), Interval(30, 50), Interval(50, math.inf)), (0.4, 0.5, 0.1)),
        ),
        ("{-60--30: 1, <=-60: 2}", Bins((Interval(-math.inf, -60), Interval(-60, -30)), (2, 1))),
    ],
)
def test_every_form_is_read_and_written_back(written: object, request_: Request) -> None:
    assert read_request(written) == request_
    assert read_request(str(request_)) == request_


def test_shares_are_normalised() -> None:
    found = read_request({"0-1": 1, "1-2": 3})
    assert isinstance(found, Bins)
    assert found.shares == (0.25, 0.75)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            "left",
            "left cannot be read; write 30, 30+-2, >=30, <=30, 20..40, uniform[-60, 60], normal(0, 20) or {18-30:",
        ),
        (True, "True cannot be read"),
        (["a"], "['a'] cannot be read"),
        ("uniform[60, -60]", "spreads values from 60 to -60; the first must be the lower one"),
        ("uniform(0, 1)", "cannot be read"),
        ("normal(0, -1)", "has a standard deviation of -1; it must be above 0"),
        ("uniform[0, 1]+-0", "has a tolerance of 0; it must be above 0"),
        ("40..20", "40..20 asks for at least 40 and at most 20; no value is both"),
        ({}, "{} has no intervals"),
        ({"18": 1}, "18 is no interval to give a share to"),
        ({"18-18": 1}, "18-18 is no interval"),
        ({"30-18": 1}, "30-18 asks for at least 30 and at most 18; no value is both"),
        ({"young": 1}, "young cannot be read; write 18-30"),
        ({"18-30": 0}, "the share of 18-30 must be a number above 0, not 0"),
        ({"18-30": "half"}, "the share of 18-30 must be a number above 0, not 'half'"),
        ({"18-40": 1, "30-50": 1}, "the intervals 18..40 and 30..50 overlap"),
    ],
)
def test_mistakes_are_one_sentence(written: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_request(written)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_tells_every_problem_of_its_attributes_at_once() -> None:
    values = {
        "attributes": {"yaw": "uniform[60, -60]", "age": {"18-30": -1}, "brightness": 140},
        "steering": {"capped": "redraw", "redraws": -1, "direction_pictures": 1},
    }
    with pytest.raises(ConfigError) as caught:
        parse(GenerateRecipe, values, where="mine.yaml")
    lines = str(caught.value).splitlines()
    for start in ("attributes.yaw: ", "attributes.age: ", "steering.capped: ", "steering.redraws: "):
        assert any(line.startswith(f"mine.yaml: {start}") for line in lines), (start, lines)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"attributes": {}}, "attributes names none"),
        ({"steering": {}}, "steering belongs to attributes, which are not asked for"),
        ({"attributes": {"a": 1}, "steering": {"direction_pictures": 1}}, "direction_pictures must be 2 or more"),
        (
            {"attributes": {"a": 1}, "steering": {"directions": "d", "direction_pictures": 3}},
            "directions and direction_pictures exclude each other",
        ),
        (
            {"attributes": {"a": 1}, "steering": {"steer_vector": False, "steer_code": False}},
            "nothing may be moved: turn steer_vector or steer_code on",
        ),
    ],
)
def test_parts_that_do_not_fit(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse(GenerateRecipe, values, where="mine.yaml")


def test_a_recipe_is_recorded_as_it_reads() -> None:
    recipe = parse(GenerateRecipe, {"attributes": {"age": {"30-50": 1, "18-30": 1}, "yaw": 3}}, where="test").resolved()
    assert recipe.attributes == {"age": "{18..30: 1, 30..50: 1}", "yaw": "3"}
    assert recipe.steering is not None
    assert recipe.steering.direction_pictures == 64
    assert parse(GenerateRecipe, recipe.model_dump(mode="json"), where="test") == recipe
    assert GenerateRecipe().resolved().steering is None
    assert RecipeSteering(directions="d").resolved().direction_pictures is None
