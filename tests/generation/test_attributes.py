"""Targets of a dataset's images: strata inside each identity, keyed, and not tied between attributes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.config.attributes import read_request
from vec2face.config.steering import RecipeSteering
from vec2face.generation.attributes import AttributePlan, decode_slope, encode_slope, positions
from vec2face.steering.distributions import AttributeRequest
from vec2face.steering.targets import AttributeFacts


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**40), st.integers(0, 1000))
def test_one_place_lies_in_each_stratum(images: int, seed: int, identity: int) -> None:
    found = positions(images, seed=seed, attribute="yaw", identity=identity)
    assert sorted((found * images).astype(int).tolist()) == list(range(images))
    assert ((found >= 0) & (found < 1)).all()


def test_places_are_keyed_by_seed_attribute_and_identity() -> None:
    def one(seed: int = 1, attribute: str = "yaw", identity: int = 2) -> list[float]:
        return positions(8, seed=seed, attribute=attribute, identity=identity).tolist()

    assert one() == one()
    assert len({tuple(one()), tuple(one(seed=2)), tuple(one(attribute="age")), tuple(one(identity=3))}) == 4


def plan(**attributes: object) -> AttributePlan:
    facts = {name: AttributeFacts(name, "u", 0, 100, tolerance=1) for name in attributes}
    requests = tuple(AttributeRequest(facts[name], read_request(asked)) for name, asked in attributes.items())
    return AttributePlan(
        requests=requests,
        settings=RecipeSteering(),
        estimators=dict.fromkeys(attributes, "0" * 64),
        embedder="embedded",
        embedder_sha256="1" * 64,
        slopes={},
        slopes_asked="",
    )


def test_attributes_are_spread_alike_in_each_identity_and_not_tied_to_each_other() -> None:
    one = plan(a="uniform[0, 100]", b="normal(50, 10)", c={"0-50": 0.25, "50-100": 0.75})
    values = []
    for identity in range(60):
        asked = one.wanted(20, seed=5, identity=identity)
        assert [sum(wanted[2].target.low == low for wanted in asked) for low in (0, 50)] == [5, 15]
        assert np.mean([wanted[0].value for wanted in asked]) == pytest.approx(50, abs=2.5)
        values += [(wanted[0].value, wanted[1].value) for wanted in asked]
    table = np.array(values)
    assert abs(np.corrcoef(table.T)[0, 1]) < 0.1
    assert np.quantile(table[:, 0], [0.1, 0.5, 0.9]) == pytest.approx([10, 50, 90], abs=2)
    assert table[:, 1].std() == pytest.approx(10, abs=0.7)


def test_shares_hold_over_identities_where_an_identity_has_too_few_images() -> None:
    one = plan(c={"0-50": 0.9, "50-100": 0.1})
    counts = [sum(w[0].target.low == 50 for w in one.wanted(4, seed=0, identity=number)) for number in range(400)]
    assert max(counts) == 1  # never more than a share's worth, rounded up
    assert np.mean(counts) == pytest.approx(0.4, abs=0.08)


def test_slopes_are_written_to_the_last_bit() -> None:
    row = np.random.default_rng(0).standard_normal(7).astype(np.float32)
    assert np.array_equal(decode_slope(encode_slope(row)), row)


def test_determinants_name_what_a_user_wrote() -> None:
    named = plan(a="uniform[0, 100]").determinants()
    assert named["attributes.a"] == "uniform[0, 100]"
    assert named["attributes.a (range and tolerance)"] == [0, 100, 1]
    assert named["steering.capped"] == "keep"
    assert named["steering.directions (sha256)"] is None
    assert "steering.estimators" not in named
