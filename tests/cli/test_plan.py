"""`vec2face plan`: counts, bytes, time and cost of a recipe, by rates that were measured or given."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from vec2face.config.generation import GenerateRecipe
from vec2face.config.rates import Rates, decisive_parts
from vec2face.errors import Vec2FaceError
from vec2face.generation.estimate import estimate

run = partial(commands.run, "plan")
mistake = partial(commands.mistake, "plan")


def recipe(**values: object) -> GenerateRecipe:
    return GenerateRecipe.model_validate(values)


def rates_of(made: GenerateRecipe, **values: object) -> Rates:
    measured = {
        "machine": "a test",
        "recipe": decisive_parts(made),
        "images": 100,
        "images_per_second": 50.0,
        "archive_bytes_per_image": 9000.0,
        "other_bytes_per_image": 1000.0,
        "sampled": 1000,
        "sampling_seconds": 2.0,
    }
    return Rates.model_validate({**measured, **values})


def test_the_slowest_worker_decides() -> None:
    made = recipe(identities={"count": 95}, images_per_identity=10, shards={"identities_per_shard": 10})
    found = estimate(made, workers=4, images_per_second=5.0, price_per_hour=2.0)
    assert (found.identities, found.images, found.shards, found.images_per_shard) == (95, 950, 10, 100)
    assert found.rendering == 60.0, "3 of 10 shards, of 100 images each, at 5 images a second"
    assert found.sampling is None
    assert found.hours is not None
    assert found.cost is not None
    assert found.hours.least == found.hours.most == pytest.approx(1 / 60)
    assert found.cost.most == pytest.approx(4 * 2.0 / 60)
    many = estimate(made, workers=64, images_per_second=5.0)
    assert (many.rendering, many.busy_workers, many.cost) == (20.0, 10, None)


def test_measured_rates_give_bytes_and_the_time_of_sampling() -> None:
    made = recipe(identities={"count": 4000}, images_per_identity=10, shards={"identities_per_shard": 100})
    found = estimate(made, workers=1, rates=rates_of(made))
    assert found.bytes == 40_000 * 10_000
    assert found.bytes_measured
    assert found.sampling == 2.0 * 16
    assert found.rendering == 800.0
    assert estimate(made, workers=1, rates=rates_of(made), images_per_second=100.0).rendering == 400.0


def test_choosing_by_pictures_costs_between_the_wanted_and_the_spare_ones() -> None:
    made = recipe(identities={"count": 100, "rendered": {"spare": 0.5, "images": 4}}, images_per_identity=10)
    found = estimate(made, workers=2, images_per_second=10.0)
    assert found.selection is not None
    assert found.hours is not None
    assert (found.selection.least, found.selection.most) == (40.0, 60.0)
    assert found.hours.most - found.hours.least == pytest.approx(20 / 3600)


def test_rates_of_other_settings_are_refused(tmp_path: Path) -> None:
    other = rates_of(recipe(compute={"dtype": "bfloat16"}, image={"format": "png"}))
    with pytest.raises(Vec2FaceError, match=r"other settings \(image, compute\); measure this recipe with --measure"):
        estimate(recipe(), workers=1, rates=other)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rates_tell_what_auto_was_where_they_were_measured(dtype: str) -> None:
    rates = rates_of(recipe(compute={"dtype": dtype}))
    assert estimate(recipe(compute={"dtype": "auto"}), workers=1, rates=rates).images_per_second == 50.0
    with pytest.raises(Vec2FaceError, match=r"other settings \(compute\)"):
        estimate(recipe(compute={"dtype": "auto", "batch_size": 8}), workers=1, rates=rates)


def test_a_bank_tells_how_many_there_are(tmp_path: Path) -> None:
    np.save(tmp_path / "bank.npy", np.ones((7, 3), np.float32))
    found = estimate(recipe(identities={"bank": str(tmp_path / "bank.npy")}), workers=1, images_per_second=1.0)
    assert (found.identities, found.sampling) == (7, 0.0)


def test_nothing_is_made_up_where_nothing_was_measured() -> None:
    result = run("demo", "--identities", 1000)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "demo: 1,000 identities, 20,000 images, 50 shards of 400"
    assert "(assumed; --measure tells)" in lines[1]
    assert lines[-1] == "time:       not known; give --measure, --rates FILE or --rate IMAGES_PER_SECOND"
    values = json.loads(run("demo", "--json").stdout)
    assert (values["rendering_seconds"], values["hours"], values["cost"]) == (None, None, None)


def test_lines_of_an_estimate_by_a_rate() -> None:
    result = run("demo", "--identities", 1000, "--rate", 100, "--workers", 60, "--price-per-hour", 3)
    assert "rendering:  4.0 s with 60 workers of 100.0 images/s; 10 have no shard, make shards smaller" in result.stdout
    assert "\ncost: " in result.stdout


def test_a_measurement_is_saved_and_taken_again(tiny_generator_dir: Path, tmp_path: Path) -> None:
    values = {
        "weights": str(tiny_generator_dir),
        "identities": {"source": "gaussian", "count": 30, "ceiling": 0.5},
        "images_per_identity": 3,
        "compute": {"batch_size": 4},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))  # JSON is YAML
    saved = tmp_path / "rates.json"
    measured = run(tmp_path / "recipe.yaml", "--measure", "--seconds", 0, "--save-rates", saved, "--json")
    assert measured.exit_code == 0, measured.output
    rates = Rates.model_validate_json(saved.read_text())
    assert rates.images == 9, "one shard of two batches, in whole identities, after the one that loads the network"
    assert 500 < rates.archive_bytes_per_image < 20_000
    assert rates.sampled == 30
    again = run(tmp_path / "recipe.yaml", "--rates", saved, "--json", "--identities", 60)
    found = json.loads(again.stdout)
    assert found["rendering_seconds"] == pytest.approx(180 / rates.images_per_second, rel=0.5)
    assert found["sampling_seconds"] == pytest.approx(4 * (rates.sampling_seconds or 0))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--seconds", 3), "--seconds belongs to --measure."),
        (("--save-rates", "r.json"), "--save-rates belongs to --measure."),
        (("--measure", "--rates", "r.json"), "--measure and --rates exclude each other."),
        (("--rate", 0), "Invalid value for '--rate'"),
        (("--rates", "no-such.json"), "cannot read no-such.json"),
        (("--rates", __file__), "is no file of rates"),
    ],
)
def test_mistakes_are_told(options: tuple[object, ...], told: str) -> None:
    assert told in mistake("demo", *options)


def test_planning_imports_no_torch() -> None:
    code = "import sys; from vec2face_cli.main import cli; cli(['plan', 'demo', '--rate', '9'], standalone_mode=False)"
    told = "; print('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code + told], capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines()[-1] == "False", finished.stderr
