"""Datasets steered to distributions of attributes: the same bytes whatever the machine does, and honest columns."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.generation.conftest import MakeDataset, contents
from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError, ContractError, DatasetError, InputError
from vec2face.fileio.images import decode_image
from vec2face.fileio.tar import read_tar
from vec2face.generation import steering_inputs
from vec2face.generation.attributes import decode_slope
from vec2face.generation.inputs import prepare
from vec2face.generation.recipe import find_recipe
from vec2face.generation.run import generate
from vec2face.generation.steered import IDENTITY_LOST, MISSED
from vec2face.progress import SilentProgress
from vec2face.steering.directions import Directions
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.image_statistics import Brightness
from vec2face.steering.optimise import from_pixels
from vec2face.steering.targets import AttributeFacts

# What the tiny random generator shows lies around 128; a tenth of a level is its spread.
SPREAD = "uniform[127.6, 128.4]+-0.1"


MakeSteered = Callable[..., GenerateRecipe]


@pytest.fixture(scope="module")
def steered(tiny_generator_dir: Path, tiny_embedder_dir: Path) -> MakeSteered:
    """Return a recipe of 3 identities x 4 images in 2 shards, in which keywords replace parts of its steering."""

    def make(
        attributes: dict[str, Any] | None = None, recipe: dict[str, Any] | None = None, **steering: Any
    ) -> GenerateRecipe:
        section = {
            "embedder": str(tiny_embedder_dir),
            "identity_floor": -1,
            "max_evaluations": 40,
            "batch_size": 3,
            "direction_pictures": 4,
            **steering,
        }
        values = {
            "seed": 3,
            "weights": str(tiny_generator_dir),
            "identities": {"source": "gaussian", "count": 3, "ceiling": 0.5},
            "images_per_identity": 4,
            "shards": {"identities_per_shard": 2},
            "attributes": attributes or {"brightness": SPREAD},
            "steering": section,
            **(recipe or {}),
        }
        return parse(GenerateRecipe, values, where="test")

    return make


@pytest.fixture(scope="module")
def finished(steered: MakeSteered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset that no test touches."""
    out = tmp_path_factory.mktemp("steered") / "quiet"
    plan, bank = prepare(steered(), out)
    generate(plan, out, bank=bank, workers=1)
    return out


@pytest.fixture
def dataset(finished: Path, tmp_path: Path) -> Path:
    """A finished dataset."""
    return Path(shutil.copytree(finished, tmp_path / "quiet"))


def shards(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(folder).items() if name.startswith(("shards/", "metadata"))}


def rows(folder: Path) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(folder / "metadata.parquet").to_pylist()
    return table


def test_every_image_measures_what_was_asked_of_it(dataset: Path) -> None:
    table = rows(dataset)
    assert {row["status"] for row in table} == {"kept"}
    assert {row["steering"] for row in table} == {"converged"}
    for identity in range(3):
        asked = sorted(row["requested_brightness"] for row in table if row["identity"] == identity)
        # One of the four quarters each: the same distribution in every identity.
        assert [int((value - 127.6) / 0.2) for value in asked] == [0, 1, 2, 3]
    for row in table:
        members = dict(read_tar(dataset / "shards" / f"{row['shard']:06d}.tar"))
        pixels = decode_image(members[f"{row['key']}.jpg"], where="test")
        measured = Brightness().estimate(from_pixels(pixels[None])).item()
        assert measured == pytest.approx(row["measured_brightness"], abs=1e-4)
        assert row["requested_brightness_low"] <= measured <= row["requested_brightness_high"]
        assert row["requested_brightness_high"] - row["requested_brightness"] == pytest.approx(0.1, abs=1e-4)
        assert 1 <= row["steering_passes"] <= 40
        facts = json.loads(members[f"{row['key']}.json"])
        assert facts == {key: row[key] for key in facts}
        assert "measured_brightness" in facts


def test_batch_size_workers_and_shards_change_no_byte_of_an_image(
    dataset: Path, steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(steered(recipe={"compute": {"batch_size": 64}}), tmp_path / "batches")
    assert shards(tmp_path / "batches") == shards(dataset)
    make_dataset(steered(recipe={"shards": {"identities_per_shard": 1}}), tmp_path / "cut")
    images = [
        {name: data for path in sorted((folder / "shards").glob("*.tar")) for name, data in read_tar(path)}
        for folder in (dataset, tmp_path / "cut")
    ]
    assert images[0] == images[1]


@pytest.mark.integration
def test_two_workers_write_the_same_bytes_as_one(
    dataset: Path, steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(steered(), tmp_path / "two", workers=2)
    assert contents(tmp_path / "two") == contents(dataset)


def test_a_stopped_run_goes_on_to_the_same_bytes_without_new_directions(
    dataset: Path, steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    class Stopping(SilentProgress):
        def advance(self, count: int, note: str = "") -> None:
            if note.startswith("1 of 2") and count:
                raise Stopped

    plan, bank = prepare(steered(), tmp_path / "d")
    with pytest.raises(Stopped):
        generate(plan, tmp_path / "d", bank=bank, workers=1, progress=Stopping())
    assert (tmp_path / "d" / "shards" / "000000.json").exists()
    assert not (tmp_path / "d" / "shards" / "000001.tar").exists()
    monkeypatch.setattr(steering_inputs, "estimate_directions", None)
    assert make_dataset(steered(), tmp_path / "d").rendered_shards == 1
    assert contents(tmp_path / "d") == contents(dataset)


@pytest.mark.parametrize(
    ("attributes", "steering", "named"),
    [
        ({"brightness": "uniform[127, 129]+-0.1"}, {}, "attributes.brightness: uniform[127.6, 128.4]+-0.1 there"),
        ({"brightness": SPREAD, "contrast": ">=0"}, {}, "attributes.contrast: nothing there, >=0 wanted"),
        (None, {"max_evaluations": 30}, "steering.max_evaluations: 40 there, 30 wanted"),
        (None, {"batch_size": 4}, "steering.batch_size: 3 there, 4 wanted"),
        (None, {"direction_pictures": 0}, "steering.directions (sha256): "),
    ],
)
def test_what_decides_steered_images_decides_the_plan(
    dataset: Path, steered: MakeSteered, attributes: dict[str, str] | None, steering: dict[str, Any], named: str
) -> None:
    before = contents(dataset)
    plan, bank = prepare(steered(attributes, **steering), dataset)
    with pytest.raises(DatasetError) as caught:
        generate(plan, dataset, bank=bank, workers=1)
    assert named in str(caught.value)
    assert contents(dataset) == before


def test_the_impossible_ends_at_the_cap_with_a_status_and_a_count(
    steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    impossible = {"brightness": ">=250", "contrast": ">=100"}
    kept = make_dataset(steered(impossible, max_evaluations=4), tmp_path / "kept")
    assert (kept.images, kept.rejects) == (12, 0)
    for row in rows(tmp_path / "kept"):
        assert (row["status"], row["steering"], row["steering_passes"]) == ("kept", "capped", 4)
        assert "after 4 passes brightness is" in row["steering_reason"]
        assert row["requested_brightness"] is None
        assert (row["requested_brightness_low"], row["requested_brightness_high"]) == (250, None)
    dropped = make_dataset(steered(impossible, max_evaluations=4, capped="drop"), tmp_path / "dropped")
    assert (dropped.images, dropped.rejects) == (0, 12)
    table = rows(tmp_path / "dropped")
    assert {row["status"] for row in table} == {MISSED}
    assert [row["measured_brightness"] for row in table] == [
        row["measured_brightness"] for row in rows(tmp_path / "kept")
    ]


def test_an_image_that_misses_is_drawn_again_and_the_best_draw_stays(
    steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    options = {"max_evaluations": 1, "direction_pictures": 0}
    once = make_dataset(steered({"brightness": ">=128.2"}, capped="drop", **options), tmp_path / "once")
    again = make_dataset(steered({"brightness": ">=128.2"}, capped="drop", redraws=5, **options), tmp_path / "again")
    assert once.rejects > again.rejects
    first, second = rows(tmp_path / "once"), rows(tmp_path / "again")
    for before, after in zip(first, second, strict=True):
        assert after["measured_brightness"] >= before["measured_brightness"]
        assert (after["redraws"] > 0) == (after["seed"] != before["seed"])
        if before["steering"] == "converged":
            assert after == before
    assert max(row["steering_passes"] for row in second) <= 6
    assert any(row["redraws"] for row in second if row["status"] == "kept")


def test_people_that_are_not_recognised_are_left_out_and_counted(
    steered: MakeSteered, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    summary = make_dataset(steered(identity_floor=0.99, max_evaluations=2), tmp_path / "d")
    assert (summary.images, summary.rejects) == (0, 12)
    for row in rows(tmp_path / "d"):
        assert (row["status"], row["steering"]) == (IDENTITY_LOST, "rejected")
        assert row["steering_identity"] < 0.99


class Nothing(AttributeEstimator):
    """Measures NaN."""

    facts = AttributeFacts("nothing", "u", 0, 1, tolerance=0.1)

    def estimate(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3)) * float("nan")


class Broken(AttributeEstimator):
    """Raises."""

    facts = AttributeFacts("broken", "u", 0, 1, tolerance=0.1)

    def estimate(self, images: torch.Tensor) -> torch.Tensor:
        raise KeyError("a layer")


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"hair": 3}, "there is no attribute 'hair'; known: "),
        (
            {"brightness": "uniform[100, 300]"},
            "brightness 300 lies outside the range in which it was validated, 0 to 255",
        ),
        ({"brightness": "normal(-5, 1)"}, "brightness -5 lies outside"),
        ({"brightness": {"0-100": 1, "300-400": 1}}, "brightness 300 lies outside"),
        ({"brightness": ">=256", "contrast": 500}, "contrast 500 lies outside"),
        ({"nothing": 0.5}, "the estimator of nothing gave nan for a picture of the generator"),
        (
            {"broken": 0.5},
            f"the estimator of broken ({__name__}:Broken) failed on 2 images (KeyError: 'a layer'); mend",
        ),
    ],
)
def test_mistakes_are_told_before_any_work(
    steered: MakeSteered, tmp_path: Path, attributes: dict[str, Any], sentence: str
) -> None:
    own = [f"{__name__}:{one.__name__}" for one in (Nothing, Broken) if one.facts.name in attributes]
    reference = {"estimators": own} if own else {}
    with pytest.raises((ConfigError, InputError)) as caught:
        prepare(steered(attributes, **reference), tmp_path / "d")
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == (2 if ">=256" in attributes.values() else 1)
    assert not (tmp_path / "d").exists()


def test_directions_of_a_file_are_taken(
    steered: MakeSteered, make_dataset: MakeDataset, dataset: Path, tmp_path: Path
) -> None:
    described = json.loads((dataset / "dataset.json").read_text())
    slopes = {name: decode_slope(text) for name, text in described["steering"]["directions"].items()}
    weights = described["generator"]["sha256"]
    Directions(slopes, weights, 128, 32, 4, {"brightness": 0.5}).save(tmp_path / "own.safetensors")
    recipe = steered(directions=str(tmp_path / "own.safetensors"), direction_pictures=None)
    make_dataset(recipe, tmp_path / "own")
    assert shards(tmp_path / "own") == shards(dataset)
    Directions(slopes, "0" * 64, 128, 32, 4, {"brightness": 0.5}).save(tmp_path / "own.safetensors")
    with pytest.raises(ContractError, match="made for another generator"):
        prepare(recipe, tmp_path / "other")


def test_a_dataset_is_continued_with_its_own_recipe(dataset: Path, make_dataset: MakeDataset) -> None:
    before = contents(dataset)
    (dataset / "shards" / "000001.tar").unlink()
    recipe = find_recipe(None, dataset, changes={})
    assert recipe.attributes == {"brightness": SPREAD}
    assert make_dataset(recipe, dataset).rendered_shards == 1
    assert contents(dataset) == before
