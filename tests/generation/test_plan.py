"""Plans: how a dataset is cut, what decides its bytes, how two plans differ."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError, ContractError
from vec2face.generation.plan import BankFacts, GeneratorFacts, Plan, differences, make_plan, sample_key

MASK = {"min": 0.1, "max": 1.0, "mean": 0.15, "std": 0.25}


def plan_of(
    *,
    count: int = 5,
    dim: int = 8,
    bank: str = "a",
    weights: str = "b",
    mask: dict[str, float] = MASK,
    appearance_dim: int = 0,
    **values: object,
) -> Plan:
    recipe = parse(GenerateRecipe, values, where="test")
    generator = GeneratorFacts(weights, 8, "space", 1.0, mask, appearance_dim)
    return make_plan(recipe, bank=BankFacts(bank, count, dim), generator=generator, request={})


@given(count=st.integers(1, 300), size=st.integers(1, 60), images=st.integers(1, 50))
def test_shards_cover_every_identity_once(count: int, size: int, images: int) -> None:
    plan = plan_of(count=count, images_per_identity=images, shards={"identities_per_shard": size})
    covered = []
    for index, shard in enumerate(plan.shards):
        assert (shard.index, shard.images) == (index, shard.identities * images)
        assert 1 <= shard.identities <= size
        covered += range(shard.first_identity, shard.first_identity + shard.identities)
    assert covered == list(range(count))
    assert plan.images == sum(shard.images for shard in plan.shards)


def test_keys_sort_as_numbers_do() -> None:
    pairs = [(0, 0), (0, 9), (0, 10), (2, 0), (10, 3), (1234567, 9999)]
    keys = [sample_key(*pair) for pair in pairs]
    assert keys == sorted(keys)
    assert keys[-1] == "1234567_9999"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"bank": "c"},
        {"weights": "c"},
        {"count": 6},
        {"mask": {**MASK, "max": 0.9}},
        {"images_per_identity": 3},
        {"variation": {"mixture": [{"sigma": 0.2, "share": 1}]}},
        {"image": {"quality": 90}},
        {"shards": {"identities_per_shard": 3}},
        {"compute": {"dtype": "bfloat16"}},
        {"compute": {"threads_per_worker": 2}},
    ],
)
def test_whatever_decides_the_bytes_changes_the_fingerprint(changes: dict[str, object]) -> None:
    plain, changed = plan_of(), plan_of(**changes)  # type: ignore[arg-type]
    assert plain.fingerprint != changed.fingerprint
    assert len(differences(plain.determinants(), changed.determinants())) == 1


def test_paths_do_not_change_the_fingerprint() -> None:
    moved = plan_of(identities={"bank": "elsewhere.npy"})
    assert moved.fingerprint == plan_of(identities={"bank": "here.npy"}).fingerprint


def test_another_release_of_a_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = plan_of().determinants()
    monkeypatch.setattr("vec2face.generation.plan.version", lambda library: "9.9")
    lines = differences(plain, plan_of().determinants())
    assert [line.split(":")[0] for line in lines] == ["torch release", "pillow release", "numpy release"]
    assert all(line.endswith("there, 9.9 wanted") for line in lines)


def test_differences_name_fields_that_one_side_lacks() -> None:
    assert differences({"old": 1, "same": 2}, {"new": 3, "same": 2}) == [
        "new: nothing there, 3 wanted",
        "old: 1 there, nothing wanted",
    ]


def test_the_description_is_json_and_holds_the_mask_in_use() -> None:
    description = json.loads(json.dumps(plan_of().describe()))
    assert description["recipe"]["mask"] == MASK
    assert description["recipe"]["identities"]["count"] == 5
    assert GenerateRecipe.model_validate(description["recipe"]).resolved() == plan_of().recipe


def test_a_bank_of_another_width_does_not_join() -> None:
    with pytest.raises(ContractError, match="the identity bank has width 7, but the generator has width 8"):
        plan_of(dim=7)


def test_a_generator_with_an_unusable_mask_is_named() -> None:
    with pytest.raises(ConfigError, match="the generator's sampling_mask: std"):
        plan_of(mask={**MASK, "std": 0.0})


def test_planning_and_verifying_load_no_torch() -> None:
    code = (
        "import sys, vec2face.generation.plan, vec2face.generation.recipe, vec2face.generation.verify; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_strength_of_appearance_is_the_recipes_or_one_and_only_where_there_is_a_code() -> None:
    assert plan_of().appearance == 0
    assert plan_of(variation={"appearance": 0}).appearance == 0
    assert plan_of(appearance_dim=4).appearance == 1
    still = plan_of(appearance_dim=4, variation={"appearance": 0})
    assert (still.appearance, still.recipe.variation.appearance) == (0, 0)
    assert still.fingerprint != plan_of(appearance_dim=4).fingerprint
    with pytest.raises(ConfigError, match="takes no appearance code"):
        plan_of(variation={"appearance": 0.5})
