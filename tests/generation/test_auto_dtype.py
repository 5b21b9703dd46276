"""A precision that is left to the machine is chosen once, when a dataset is planned, and written down as chosen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.errors import DatasetError
from vec2face.generation.inputs import generator_facts, prepare
from vec2face.generation.measure import measure_rates
from vec2face.generation.recipe import find_recipe
from vec2face.generation.select import select_rendered
from vec2face.progress import SilentProgress

CpuWith = Callable[..., None]
SMALL = {"batch_size": 3}


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.mark.parametrize(("feature", "dtype"), [("avx512_bf16", "bfloat16"), ("avx2", "float32")])
def test_a_plan_is_that_of_the_chosen_precision(
    feature: str, dtype: str, make_recipe: MakeRecipe, tmp_path: Path, cpu_with: CpuWith
) -> None:
    cpu_with(feature)
    plan, _ = prepare(make_recipe(compute={**SMALL, "dtype": "auto"}), tmp_path / "auto")
    explicit, _ = prepare(make_recipe(compute={**SMALL, "dtype": dtype}), tmp_path / "explicit")
    assert plan.determinants()["compute.dtype"] == dtype
    assert plan.fingerprint == explicit.fingerprint
    assert plan.describe() == explicit.describe()
    assert plan.recipe.compute.dtype == dtype


def test_another_kind_of_machine_goes_on_with_the_datasets_own_recipe_alone(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, cpu_with: CpuWith
) -> None:
    out, asked = tmp_path / "faces", make_recipe(compute={**SMALL, "dtype": "auto"})
    cpu_with("avx512_bf16")
    make_dataset(asked, out)
    before = contents(out)
    assert json.loads((out / "dataset.json").read_text())["recipe"]["compute"]["dtype"] == "bfloat16"
    assert make_dataset(asked, out).was_complete

    cpu_with("avx2")
    with pytest.raises(
        DatasetError,
        match=r"\(compute\.dtype: bfloat16 there, float32 wanted\); run the first command again, with --dtype bfloat16 "
        r"if auto chose that, to continue it, or choose another folder\.$",
    ):
        make_dataset(asked, out)
    (out / "shards" / "000001.json").unlink()
    made = make_dataset(find_recipe(None, out, changes={}), out)
    assert made.rendered_shards == 1
    assert contents(out) == before, "rendered in the precision that was chosen first"


def test_identities_are_chosen_by_pictures_in_the_same_precision(
    make_recipe: MakeRecipe, tmp_path: Path, cpu_with: CpuWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_with("avx512_bf16")
    seen = []

    def choose(candidates, recipe, *rest, count, **options):
        seen.append(recipe.compute.dtype)
        return candidates.subset(list(range(count)), {})

    monkeypatch.setattr("vec2face.generation.inputs.select_rendered", choose)
    identities = {"source": "gaussian", "count": 3, "ceiling": 0.9, "rendered": {"images": 2}}
    plan, bank = prepare(make_recipe(identities=identities, compute={**SMALL, "dtype": "auto"}), tmp_path)
    assert seen == ["bfloat16"]
    assert plan.request["rendering"]["compute"]["dtype"] == "bfloat16"

    planned = []

    def stop(plan, **_):
        planned.append(plan.determinants()["compute.dtype"])
        raise KeyboardInterrupt

    monkeypatch.setattr("vec2face.generation.select.Probe.of", stop)
    recipe = make_recipe(compute={**SMALL, "dtype": "auto"})
    wanted = make_recipe(identities=identities).identities.rendered
    with pytest.raises(KeyboardInterrupt):
        select_rendered(
            bank, recipe, generator_facts(recipe.weights), count=3, wanted=wanted, progress=SilentProgress()
        )
    assert planned == ["bfloat16"]


def test_rates_are_of_the_precision_that_was_measured(
    make_recipe: MakeRecipe, cpu_with: CpuWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_with("avx512_bf16")
    rates = measure_rates(make_recipe(compute={**SMALL, "dtype": "auto"}), seconds=0)
    assert rates.recipe["compute"]["dtype"] == "bfloat16"


def test_who_asks_for_slow_arithmetic_is_told_once(make_recipe: MakeRecipe, tmp_path: Path, cpu_with: CpuWith) -> None:
    cpu_with("avx2")
    asked, left = (make_recipe(compute={**SMALL, "dtype": dtype}) for dtype in ("bfloat16", "auto"))
    here, elsewhere, auto = Notes(), Notes(), Notes()
    prepare(asked, tmp_path, progress=here)
    prepare(asked, tmp_path, progress=elsewhere, renders_here=False)
    prepare(left, tmp_path, progress=auto)
    assert [len(notes.told) for notes in (here, elsewhere, auto)] == [1, 0, 0]
    assert "float32 would be faster (--dtype auto chooses it)" in here.told[0]
