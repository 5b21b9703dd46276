"""The shipped recipe for the published generator, on a teacher of its full size with random weights."""

from pathlib import Path

import pytest
import torch

from vec2face.config.distillation import DistillRecipe
from vec2face.config.library import load_recipe
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.training.distill import distil_generator, weights_digest

from .conftest import SilentReporter


@pytest.mark.slow
def test_a_full_size_teacher_is_distilled_and_stays_as_it_is(tmp_path: Path):
    shipped = load_recipe("base-to-small", DistillRecipe)
    wanted = shipped.model_copy(
        update={
            "schedule": shipped.schedule.model_copy(update={"images": 4, "batch_size": 2, "warmup_images": 0}),
            "run": shipped.run.model_copy(update={"threads": 1, "precision": "float32", "log_every": 1}),
            "losses": shipped.losses.model_copy(update={"identity": 0.0, "adversarial": 0.0}),
            "measured_faces": 2,
        }
    )
    torch.manual_seed(0)
    teacher = Vec2FaceGenerator.from_size("base").eval()
    before = weights_digest(teacher)
    reporter = SilentReporter()
    distil_generator(
        wanted,
        teacher=teacher,
        out=tmp_path,
        embedder=None,
        critic=CompactEmbedder(name="tiny", dim=16, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0)),
        judge=None,
        reporter=reporter,
    )
    assert weights_digest(teacher) == before
    assert {"teacher_tokens", "teacher_token_map", "perceptual", "pixel"} <= reporter.losses[-1].keys()
    student = Vec2FaceGenerator.from_pretrained(tmp_path / "generator")
    assert (student.config.feature_dim, student.config.feature_space) == (512, "arcface-r100-glint360k")
    assert student.config.sampling_mask == teacher.config.sampling_mask
    assert student.num_parameters() < 0.1 * teacher.num_parameters()
