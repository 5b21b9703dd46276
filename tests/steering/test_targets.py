"""Targets: what users write, what is accepted, what is refused with which sentence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ConfigError
from vec2face.steering.targets import (
    AttributeFacts,
    as_asked,
    interval,
    parse_target,
    point,
    require_known,
    split_assignments,
)

YAW = AttributeFacts("yaw", "degrees", -60, 60, tolerance=5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("40", "40+-2.1"),
        ("-40", "-40+-2.1"),
        ("40 ± 2.25", "40+-2.25"),
        (">= 20", ">=20"),
        ("20..40", "20..40"),
    ],
)
def test_a_target_is_told_as_it_was_asked(text: str, said: str) -> None:
    assert as_asked(text, AttributeFacts("yaw", "degrees", -60, 60, tolerance=2.1049)) == said


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("30", 25, 35),
        ("-30", -35, -25),
        ("30+-2", 28, 32),
        ("-30 ± 2.5", -32.5, -27.5),
        (">=20", 20, math.inf),
        ("<= -20", -math.inf, -20),
        ("-30..-10", -30, -10),
        ("1e1", 5, 15),
    ],
)
def test_every_form_is_an_interval(text: str, low: float, high: float) -> None:
    target = parse_target(text, YAW)
    assert (target.low, target.high) == (low, high)
    assert parse_target(str(target), YAW) == target or "+-" in text or text[-1].isdigit()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("left", "the target yaw=left cannot be read; write 30, 30"),
        ("", "cannot be read"),
        ("10..", "cannot be read"),
        ("30..10", "at least 30 and at most 10; no value is both"),
        ("70", "yaw 70 lies outside the range in which it was validated, -60 to 60 degrees"),
        (">=61", "yaw 61 lies outside"),
        ("-80..0", "yaw -80 lies outside"),
        ("30+-0", "yaw=30+-0 has a tolerance of 0; it must be above 0"),
        ("30+--1", "yaw=30+--1 has a tolerance of -1"),
    ],
)
def test_mistakes_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as mistake:
        parse_target(text, YAW)
    assert sentence in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_nan_is_never_asked_for_nor_accepted() -> None:
    for make in (lambda: point(YAW, math.nan), lambda: interval(YAW, math.nan), lambda: interval(YAW)):
        with pytest.raises(ConfigError):
            make()
    assert not point(YAW, 0).accepts(math.nan)


@given(low=st.floats(-60, 60), width=st.floats(0, 60))
def test_the_margin_leaves_something_to_aim_at(low: float, width: float) -> None:
    target = interval(YAW, low, min(low + width, 60.0))
    assert target.low + target.margin <= target.high - target.margin + 1e-9
    assert target.margin <= YAW.tolerance / 2
    assert interval(YAW, low=low).margin == YAW.tolerance / 2


def test_assignments() -> None:
    assert split_assignments(["yaw=-30", "age=>=40", " roll = <=3 "]) == {"yaw": "-30", "age": ">=40", "roll": "<=3"}
    with pytest.raises(ConfigError, match="yaw is given two targets, 1 and 2"):
        split_assignments(["yaw=1", "yaw=2"])
    for text in ("yaw", "=3", "yaw=", "yaw>=3", "yaw <= 3"):
        with pytest.raises(ConfigError, match="is not NAME=TARGET"):
            split_assignments([text])


def test_an_unknown_attribute_is_named_with_those_known() -> None:
    with pytest.raises(ConfigError, match="no attribute 'hair'; known: brightness, yaw"):
        require_known(["yaw", "hair"], {"yaw": 1, "brightness": 2})


@pytest.mark.parametrize(("low", "high", "tolerance"), [(1, 1, 1), (0, 1, 0), (0, 1, math.inf), (math.nan, 1, 1)])
def test_facts_that_cannot_be(low: float, high: float, tolerance: float) -> None:
    with pytest.raises(ConfigError, match="the attribute x"):
        AttributeFacts("x", "u", low, high, tolerance=tolerance)


def test_acceptance_is_the_interval() -> None:
    target = parse_target("10..20", YAW)
    values = np.array([9.999, 10, 15, 20, 20.001])
    assert [target.accepts(value) for value in values] == [False, True, True, True, False]
