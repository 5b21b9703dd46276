"""`train generator --teacher`: the whole way from a recipe file to a student, and what is refused before any work."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from vec2face.checkpoints import load_generator
from vec2face.errors import ConfigError, InputError
from vec2face_cli.train import train

RECIPE = {
    "schedule": {"images": 4, "batch_size": 2, "learning_rate": 1e-3},
    "run": {"threads": 1, "precision": "float32", "log_every": 1},
    "student": {
        "width": 16,
        "encoder_depth": 1,
        "decoder_depth": 1,
        "latent_channels": 8,
        "image_widths": [8, 8, 8, 8],
        "image_depths": [1, 1, 1, 1],
    },
    "vectors": {"source": "statistics"},
    "losses": {"perceptual": 0, "identity": 0},
    "measured_faces": 2,
}


def run(tmp_path: Path, *options: str, **changes) -> Result:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | changes))
    arguments = ["generator", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    return CliRunner().invoke(train, [*arguments, *options])


def test_a_student_comes_out_and_the_same_command_finds_it_finished(tiny_generator_dir: Path, tmp_path: Path):
    for _ in range(2):
        outcome = run(tmp_path, "--teacher", str(tiny_generator_dir))
        assert outcome.exit_code == 0, outcome.output
        assert "4 images seen; the student is in" in outcome.output
    student, teacher = load_generator(str(tmp_path / "run" / "generator")), load_generator(str(tiny_generator_dir))
    assert student.config.width == 16
    assert student.config.sigma_unit == teacher.config.sigma_unit


def test_what_is_missing_is_said_before_any_work(tiny_generator_dir: Path, tmp_path: Path):
    neither = run(tmp_path)
    assert neither.exit_code == 2
    assert "a generator to distil with --teacher" in neither.output
    both = run(tmp_path, "--teacher", str(tiny_generator_dir), "--initial", str(tiny_generator_dir))
    assert both.exit_code == 2
    assert "--initial has no effect" in both.output
    faces = run(tmp_path, "--teacher", str(tiny_generator_dir), vectors={"source": "faces"})
    assert isinstance(faces.exception, InputError)
    assert "name the face pack with --data" in str(faces.exception)
    wrong = run(tmp_path, "--teacher", str(tiny_generator_dir), vectors={"source": "dreams"})
    assert isinstance(wrong.exception, ConfigError)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["base-to-small", "tiny"])
def test_a_shipped_recipe_is_found_by_its_name_alone(name: str):
    from vec2face.config.distillation import DistillRecipe
    from vec2face.config.library import load_recipe

    assert load_recipe(name, DistillRecipe).schedule.images > 0
