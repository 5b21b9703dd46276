"""Whole, tiny training runs: they learn, resume exactly, and refuse what they must."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.config.training import EmbedderRecipe, GeneratorLosses, GeneratorRecipe, RunOptions, Schedule
from vec2face.errors import ContractError, DatasetError, InputError
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.training.embedder import train_embedder
from vec2face.training.generator import train_generator
from vec2face.training.loop import learning_rate

from .conftest import SilentReporter

RUN = RunOptions(threads=1, precision="float32", log_every=1, checkpoint_every=2, preview_every=4)


def embedder_recipe(**changes) -> EmbedderRecipe:
    schedule = Schedule(images=16, batch_size=4, learning_rate=1e-3)
    return EmbedderRecipe(name="tiny", schedule=schedule, run=RUN, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0), **changes)


def generator_recipe(**changes) -> GeneratorRecipe:
    schedule = Schedule(images=16, batch_size=4, learning_rate=1e-3)
    weights = GeneratorLosses(adversarial=0.1, adversarial_start_images=8, identity_start_images=4, pixel_absolute=0.5)
    return GeneratorRecipe(
        schedule=schedule,
        run=RUN,
        losses=weights,
        features="stored",
        mixed_share=0.25,
        surround_weight=0.1,
        sheet_faces=2,
        **changes,
    )


def tiny_critic() -> CompactEmbedder:
    torch.manual_seed(0)
    return CompactEmbedder(name="tiny", dim=16, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0))


def run_generator(pack: Path, out: Path, recipe: GeneratorRecipe, reporter: SilentReporter) -> None:
    train_generator(
        recipe, pack=pack, out=out, embedder=tiny_critic(), judge=tiny_critic(), initial=None, reporter=reporter
    )


def test_learning_rate_warms_up_then_falls_to_the_final_share():
    schedule = Schedule(images=1000, batch_size=10, learning_rate=1.0, warmup_images=100, final_share=0.1)
    rates = [learning_rate(schedule, seen) for seen in range(0, 1000, 10)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(schedule, 1000) == pytest.approx(0.1)


def test_an_embedder_run_stopped_and_resumed_equals_an_uninterrupted_one(pack: Path, tmp_path: Path):
    quiet, stopped, resumed = SilentReporter(), SilentReporter(stop_after_images=12), SilentReporter()
    train_embedder(embedder_recipe(), pack=pack, out=tmp_path / "a", reporter=quiet)
    with pytest.raises(KeyboardInterrupt):
        train_embedder(embedder_recipe(), pack=pack, out=tmp_path / "b", reporter=stopped)
    train_embedder(embedder_recipe(), pack=pack, out=tmp_path / "b", reporter=resumed)
    assert resumed.losses == quiet.losses[2:], "the run goes on from the checkpoint of step 2"
    weights = "embedder/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_a_generator_run_stopped_and_resumed_equals_an_uninterrupted_one(pack: Path, tmp_path: Path):
    quiet, stopped, resumed = SilentReporter(), SilentReporter(stop_after_images=12), SilentReporter()
    run_generator(pack, tmp_path / "a", generator_recipe(), quiet)
    with pytest.raises(KeyboardInterrupt):
        run_generator(pack, tmp_path / "b", generator_recipe(), stopped)
    run_generator(pack, tmp_path / "b", generator_recipe(), resumed)
    assert resumed.losses == quiet.losses[2:]
    assert "adversarial" in quiet.losses[-1]
    assert "adversarial" not in quiet.losses[0]
    assert (tmp_path / "a" / "previews" / "step_0000004.png").is_file()
    lines = [json.loads(line) for line in (tmp_path / "a" / "journal.jsonl").read_text().splitlines()]
    assert {"images_per_second", "data_wait_share", "loss/pixel"} <= lines[0].keys()
    assert "held_out/judge_cosine" in lines[-1]
    made = Vec2FaceGenerator.from_pretrained(tmp_path / "a" / "generator")
    stored = np.load(pack / "features.npy").astype(np.float32)
    rms = float(np.sqrt(np.square(stored[:, 0]).mean()))
    assert made.config.sigma_unit == pytest.approx(rms / 0.967, abs=1e-4)


def test_a_generator_learns_the_pictures(pack: Path, tmp_path: Path):
    reporter = SilentReporter()
    recipe = GeneratorRecipe(
        schedule=Schedule(images=200, batch_size=8, learning_rate=2e-3),
        run=RunOptions(threads=1, precision="float32", log_every=5, checkpoint_every=100, preview_every=100),
        losses=GeneratorLosses(perceptual=0.0, identity=0.0),
        features="stored",
        sheet_faces=2,
    )
    run_generator(pack, tmp_path / "run", recipe, reporter)
    assert reporter.losses[-1]["pixel"] < 0.8 * reporter.losses[0]["pixel"]


def test_another_recipe_is_refused_and_the_difference_named(pack: Path, tmp_path: Path):
    train_embedder(embedder_recipe(), pack=pack, out=tmp_path / "run", reporter=SilentReporter())
    with pytest.raises(DatasetError, match=r"recipe\.cosine_weight: 1\.0 then, 2\.0 now"):
        train_embedder(embedder_recipe(cosine_weight=2.0), pack=pack, out=tmp_path / "run", reporter=SilentReporter())


def test_a_loss_that_is_not_finite_is_named(pack: Path, tmp_path: Path):
    recipe = embedder_recipe(raw_weight=3e38)
    with pytest.raises(InputError, match="the raw loss is not finite at step"):
        train_embedder(recipe, pack=pack, out=tmp_path / "run", reporter=SilentReporter())


def test_a_start_of_another_width_is_refused(pack: Path, tmp_path: Path):
    start = Vec2FaceGenerator.from_size("small", feature_dim=32)
    with pytest.raises(ContractError, match=r"width 16.*width 32"):
        train_generator(
            generator_recipe(),
            pack=pack,
            out=tmp_path / "run",
            embedder=tiny_critic(),
            judge=None,
            initial=start,
            reporter=SilentReporter(),
        )


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="not a finished face pack"):
        train_embedder(embedder_recipe(), pack=tmp_path, out=tmp_path / "run", reporter=SilentReporter())
