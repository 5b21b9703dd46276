"""Targets as quantiles of what is asked: the right value at each place, inside the attribute's range, or a refusal."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import truncnorm

from vec2face.config.attributes import read_request
from vec2face.errors import ConfigError
from vec2face.steering.distributions import AttributeRequest
from vec2face.steering.targets import AttributeFacts

YAW = AttributeFacts("yaw", "degrees", -60, 60, tolerance=5)


def asked(written: object) -> AttributeRequest:
    return AttributeRequest(YAW, read_request(written))


def test_a_target_for_all_is_the_same_everywhere() -> None:
    for position in (0.0, 0.3, 1.0):
        point, bound = asked("30+-2").at(position), asked(">=20").at(position)
        assert (point.value, point.target.low, point.target.high) == (30, 28, 32)
        assert (bound.value, bound.target.low, bound.target.high) == (None, 20, math.inf)


def test_uniform_values_lie_at_their_place_with_the_attributes_tolerance() -> None:
    request = asked("uniform[-40, 60]")
    assert [request.at(place).value for place in (0, 0.25, 0.5, 1)] == [-40, -15, 10, 60]
    assert (request.at(0.25).target.low, request.at(0.25).target.high) == (-20, -10)
    assert asked("uniform[-40, 60]+-1").at(0.5).target.high == 11


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(-60, 60), st.floats(0.5, 200))
def test_normal_values_are_those_of_scipys_truncated_normal(place: float, mean: float, std: float) -> None:
    value = asked(f"normal({mean:.15g}, {std:.15g})").at(place).value
    low, high = (YAW.low - mean) / std, (YAW.high - mean) / std
    assert value == pytest.approx(truncnorm.ppf(np.clip(place, 1e-12, 1 - 1e-12), low, high, mean, std), abs=1e-3 * std)
    assert YAW.low <= value <= YAW.high


def test_a_narrow_normal_is_not_cut() -> None:
    found = [asked("normal(10, 3)").at(place).value for place in (0.05, 0.5, 0.9)]
    assert found == pytest.approx([NormalDist(10, 3).inv_cdf(place) for place in (0.05, 0.5, 0.9)])


def test_intervals_come_by_their_shares() -> None:
    request = asked({"-60--30": 0.2, "-30-0": 0.5, ">=0": 0.3})
    found = [request.at(place).target for place in np.linspace(0, 0.999, 1000)]
    assert [sum(one.low == low for one in found) for low in (-60, -30, 0)] == pytest.approx([200, 500, 300], abs=1)
    assert found[-1].high == math.inf
    assert request.at(1.0).target.low == 0


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("61", "61"),
        ("uniform[-61, 0]", "-61"),
        ("uniform[0, 70]", "70"),
        ("normal(90, 1)", "90"),
        (">=61", "61"),
        ({"0-10": 1, "50-70": 1}, "70"),
    ],
)
def test_what_lies_outside_the_measured_range_is_refused(written: object, value: str) -> None:
    with pytest.raises(ConfigError, match=f"yaw {value} lies outside the range in which it was validated, -60 to 60"):
        asked(written)
