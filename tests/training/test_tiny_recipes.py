"""The recipes for a first try run on a pack of 32 drawn faces, stop, and go on by the command line."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from vec2face.checkpoints import load_embedder
from vec2face.config.estimators import EstimatorRecipe
from vec2face.config.library import load_recipe
from vec2face.config.training import EmbedderRecipe, GeneratorRecipe, PackRecipe
from vec2face.data.facepack import FacePack, build_pack
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.steering.catalogue import open_estimators
from vec2face.training.embedder import train_embedder
from vec2face.training.generator import train_generator
from vec2face_cli.main import cli

from .conftest import SilentReporter, write_source

pytestmark = pytest.mark.integration

STEPS = 3


@pytest.fixture
def drawn_pack(tmp_path: Path) -> Path:
    source = write_source(tmp_path, people=16, images=2)
    build_pack(PackRecipe(sources=(source,), holdout_share=0.1), root=tmp_path, out=tmp_path / "pack")
    return tmp_path / "pack"


def few_steps(recipe: EmbedderRecipe | EstimatorRecipe | GeneratorRecipe, file: Path) -> Path:
    """Write the shipped recipe for a few small steps, with all of its losses from the first image."""
    values = recipe.model_dump(mode="json", exclude_unset=True)
    values["schedule"] |= {"images": STEPS * 4, "batch_size": 4, "warmup_images": 0}
    values["run"] |= {"threads": 1, "log_every": 1, "checkpoint_every": 1, "preview_every": STEPS}
    if "losses" in values:
        values["losses"] |= {key: 0 for key in values["losses"] if key.endswith("_start_images")}
    file.write_text(yaml.safe_dump(values))
    return file


def go_on(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["train", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def journal_steps(run: Path) -> list[int]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "learning_rate" in line]


def test_the_tiny_embedder_stops_and_goes_on(drawn_pack: Path, tmp_path: Path) -> None:
    file, out = few_steps(load_recipe("tiny", EmbedderRecipe), tmp_path / "tiny.yaml"), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_embedder(
            load_recipe(str(file), EmbedderRecipe),
            pack=drawn_pack,
            out=out,
            reporter=SilentReporter(stop_after_images=8),
        )
    output = go_on("embedder", str(file), "--data", str(drawn_pack), "--out", str(out), "--device", "cpu")
    assert "12 images seen" in output
    assert journal_steps(out) == [1, 2, 3]
    made = load_embedder(str(out / "embedder"))
    assert isinstance(made, CompactEmbedder)
    assert (made.name, made.dim) == ("tiny", 16)


def test_the_tiny_generator_stops_and_goes_on(drawn_pack: Path, tmp_path: Path) -> None:
    file, out = few_steps(load_recipe("tiny", GeneratorRecipe), tmp_path / "tiny.yaml"), tmp_path / "run"
    embedder = load_embedder("embedded")
    assert isinstance(embedder, CompactEmbedder)
    stopped = SilentReporter(stop_after_images=8)
    with pytest.raises(KeyboardInterrupt):
        train_generator(
            load_recipe(str(file), GeneratorRecipe),
            pack=drawn_pack,
            out=out,
            embedder=embedder,
            judge=None,
            initial=None,
            reporter=stopped,
        )
    assert {"adversarial", "identity", "perceptual"} <= stopped.losses[0].keys()
    output = go_on("generator", str(file), "--data", str(drawn_pack), "--out", str(out), "--device", "cpu")
    assert "12 images seen" in output
    assert journal_steps(out) == [1, 2, 3]
    assert Vec2FaceGenerator.from_pretrained(out / "generator").config.feature_dim == embedder.dim
    assert (out / "previews" / "step_0000003.png").is_file()


def test_the_tiny_estimator_is_trained_and_measures(drawn_pack: Path, tmp_path: Path) -> None:
    file, out = few_steps(load_recipe("tiny", EstimatorRecipe), tmp_path / "tiny.yaml"), tmp_path / "run"
    names = FacePack.load(drawn_pack).names
    (tmp_path / "labels.csv").write_text("key,value\n" + "".join(f"{one},{n % 7}\n" for n, one in enumerate(names)))
    given = ["--data", str(drawn_pack), "--labels", str(tmp_path / "labels.csv"), "--out", str(out), "--device", "cpu"]
    output = go_on("estimator", str(file), *given)
    assert "12 images seen" in output
    assert "| **value** |" in output
    assert journal_steps(out) == [1, 2, 3]
    (made,) = open_estimators(["value"], references=[str(out / "estimator")])
    assert (made.facts.unit, made.facts.tolerance) == ("units", made.facts.error)


def test_a_device_that_is_absent_ends_the_command_before_any_work(
    drawn_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vec2face.errors import InputError

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["train", "embedder", "tiny", "--data", str(drawn_pack), "--out", str(tmp_path / "run")]
    with pytest.raises(InputError, match="no CUDA GPU"):
        CliRunner().invoke(cli, [*arguments, "--device", "cuda"], catch_exceptions=False)
    assert not (tmp_path / "run").exists()
