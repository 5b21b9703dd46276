"""Whole, tiny distillations: the student learns, resumes exactly, and fits where its teacher does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vec2face.config.distillation import DistillLosses, DistillRecipe, StudentArchitecture, TeacherVectors
from vec2face.config.training import RunOptions, Schedule
from vec2face.errors import ContractError, DatasetError, InputError
from vec2face.identities import IdentityBank
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator import Vec2FaceGenerator
from vec2face.training.distill import distil_generator, new_student, weights_digest
from vec2face.training.distill_step import relative_error
from vec2face.training.distill_vectors import RequestStream, open_vectors
from vec2face.training.portion import Portion, whole_step

from .conftest import SilentReporter

RUN = RunOptions(threads=1, precision="float32", log_every=1, checkpoint_every=2, preview_every=4)
STUDENT = StudentArchitecture(
    width=16,
    encoder_depth=1,
    decoder_depth=1,
    encoder_heads=2,
    decoder_heads=2,
    latent_channels=8,
    image_widths=(8, 8, 8, 8),
    image_depths=(1, 1, 1, 1),
)
# The image decoder of the published weights, shrunk.
PUBLISHED = {
    "decoder": "vqgan",
    "decoder_options": {"channels": 32, "channel_multipliers": (1, 1, 1, 1, 1), "residual_blocks": 1},
}
PLAIN = DistillLosses(pixel=0.0, pixel_absolute=1.0, structure=0.1, perceptual=0.0, token=0.0, identity=0.0)


def make_teacher(**changes) -> Vec2FaceGenerator:
    """A shrunken teacher with another width than the student's, dropout and masks of its own."""
    torch.manual_seed(0)
    settings = {
        "feature_dim": 16,
        "feature_space": "tiny",
        "sigma_unit": 1.5,
        "width": 24,
        "encoder_depth": 1,
        "encoder_heads": 2,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "latent_channels": 32,
        "decoder": "plain",
        "decoder_options": {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)},
    }
    teacher = Vec2FaceGenerator(**(settings | changes)).eval()
    # Random weights paint grey noise; a cast of colour is something that can be learned in a few steps.
    *_, last = (module for module in teacher.image_decoder.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        last.bias += torch.tensor([0.6, -0.4, 0.2]).repeat_interleave(len(last.bias) // 3)
    return teacher


def recipe(**changes) -> DistillRecipe:
    values = {
        "schedule": Schedule(images=16, batch_size=4, learning_rate=1e-3),
        "run": RUN,
        "student": STUDENT,
        "vectors": TeacherVectors(source="gaussian"),
        "losses": PLAIN,
        "sheet_faces": 2,
        "measured_faces": 4,
    }
    return DistillRecipe(**(values | changes))


def tiny_critic() -> CompactEmbedder:
    torch.manual_seed(1)
    return CompactEmbedder(name="tiny", dim=16, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0))


def distil(wanted: DistillRecipe, out: Path, reporter: SilentReporter, **changes) -> None:
    arguments = {"teacher": make_teacher(), "embedder": None, "critic": None, "judge": None}
    distil_generator(wanted, out=out, reporter=reporter, **(arguments | changes))


def test_a_student_learns_its_teachers_pictures_and_tokens(tmp_path: Path):
    reporter, teacher = SilentReporter(), make_teacher(**PUBLISHED)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    run = RUN.model_copy(update={"log_every": 3, "checkpoint_every": 100, "preview_every": 100})
    few = IdentityBank(np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32), tuple("abc"))
    few.save(tmp_path / "few.safetensors")
    wanted = recipe(
        schedule=Schedule(images=96, batch_size=4, learning_rate=1e-2),
        run=run,
        vectors=TeacherVectors(source="bank", bank=tmp_path / "few.safetensors", perturbed_share=0.0),
    )
    distil(wanted, tmp_path / "run", reporter, teacher=teacher, judge=tiny_critic())
    first, last = reporter.losses[0], reporter.losses[-1]
    assert last["pixel_absolute"] < 0.6 * first["pixel_absolute"]
    assert last["teacher_tokens"] < 0.7 * first["teacher_tokens"]
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert "seen_judge_cosine" in reporter.notes[-1]
    student = Vec2FaceGenerator.from_pretrained(tmp_path / "run" / "generator")
    for key in ("feature_dim", "feature_space", "sigma_unit", "sampling_mask", "appearance_dim"):
        assert student.config[key] == teacher.config[key]
    assert student.config.width == 16
    assert (tmp_path / "run" / "previews" / "step_0000024.png").is_file()


def test_a_run_stopped_and_resumed_equals_an_uninterrupted_one(tmp_path: Path):
    quiet, stopped, resumed = SilentReporter(), SilentReporter(stop_after_images=12), SilentReporter()
    losses = DistillLosses(adversarial=0.1, adversarial_start_images=8, identity_start_images=4, teacher_token_map=0.5)
    wanted = recipe(losses=losses)
    for folder, reporter in (("a", quiet), ("b", stopped), ("b", resumed)):
        critic = tiny_critic()
        try:
            distil(wanted, tmp_path / folder, reporter, embedder=critic, critic=critic)
        except KeyboardInterrupt:
            assert reporter is stopped
    assert resumed.losses == quiet.losses[-len(resumed.losses) :]
    assert len(resumed.losses) < len(quiet.losses)
    assert {"teacher_tokens", "teacher_token_map", "perceptual", "identity", "adversarial"} <= quiet.losses[-1].keys()
    assert "adversarial" not in quiet.losses[0]
    weights = "generator/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_another_teacher_is_refused_in_the_same_folder(tmp_path: Path):
    distil(recipe(), tmp_path / "run", SilentReporter())
    with pytest.raises(DatasetError, match=r"pack\.teacher"):
        distil(
            recipe(), tmp_path / "run", SilentReporter(), teacher=make_teacher(sigma_unit=1.5, norm_eps=1e-5, width=48)
        )


def test_an_appearance_code_is_passed_on(tmp_path: Path):
    teacher = make_teacher(appearance_dim=3)
    student = new_student(recipe(), teacher, dict(teacher.config.sampling_mask))
    assert student.config.appearance_dim == 3
    assert weights_digest(student.appearance_encoder) == weights_digest(teacher.appearance_encoder)
    reporter = SilentReporter()
    distil(recipe(), tmp_path / "run", reporter, teacher=teacher)
    assert reporter.losses[-1]["pixel_absolute"] > 0


def test_what_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path):
    def refused(error: type[Exception], message: str, **changes) -> None:
        wanted = changes.pop("recipe", recipe())
        with pytest.raises(error, match=message):
            distil(wanted, tmp_path / "run", SilentReporter(), **changes)

    identity = recipe(losses=PLAIN.model_copy(update={"identity": 1.0}))
    refused(InputError, "name the embedder of 'tiny' with --embedder", recipe=identity)
    torch.manual_seed(0)
    stranger = CompactEmbedder(name="other", dim=16, widths=(8, 8, 8, 8), depths=(0, 0, 0, 0))
    refused(ContractError, "'other', but the teacher takes those of 'tiny'", embedder=stranger)
    maps = recipe(losses=PLAIN.model_copy(update={"perceptual": 1.0}))
    refused(InputError, "compares feature maps", recipe=maps)
    refused(ContractError, "conditioned on pose", teacher=make_teacher(pose_condition=True))
    refused(InputError, "name the face pack with --data", recipe=recipe(vectors=TeacherVectors(source="faces")))
    refused(InputError, "leave out --data", pack=tmp_path)
    refused(
        ContractError,
        "holds vectors of 'vec2face-embedded-128'",
        recipe=recipe(vectors=TeacherVectors(source="statistics")),
    )
    assert not (tmp_path / "run").exists()


def stream(vectors: TeacherVectors, tmp_path: Path, **changes) -> RequestStream:
    arguments = {"teacher": make_teacher(), "pack": None, "embedder": None, "cache": tmp_path / "v.npy"}
    pool = open_vectors(vectors, **(arguments | changes))
    mask = {"min": 0.5, "max": 1.0, "mean": 0.75, "std": 0.25}
    return RequestStream(pool, recipe=vectors, mask=mask, sigma_unit=1.5, appearance_dim=2, seed=3)


def test_requests_depend_on_step_and_place_alone(tmp_path: Path):
    requests = stream(TeacherVectors(source="gaussian"), tmp_path)
    whole = requests.read(whole_step(5, 6))
    part = requests.read(Portion(5, 1, 2, 6))
    for one, other in zip(vars(whole).values(), vars(part).values(), strict=True):
        assert torch.equal(one[1::2], other)
    assert not torch.equal(requests.read(whole_step(6, 6)).features, whole.features)
    assert not torch.isin(requests.held_out(6).features, whole.features).any()


def test_perturbed_vectors_keep_their_length_and_the_others_are_as_they_are(tmp_path: Path):
    bank = IdentityBank(np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32), tuple("abcde"))
    bank.save(tmp_path / "bank.safetensors")

    def drawn(share: float) -> np.ndarray:
        vectors = TeacherVectors(source="bank", bank=tmp_path / "bank.safetensors", perturbed_share=share)
        return stream(vectors, tmp_path).read(whole_step(0, 40)).features.numpy()

    plain, moved, half = drawn(0.0), drawn(1.0), drawn(0.5)
    assert (plain[:, None] == bank.vectors).all(axis=2).any(axis=1).all()
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(plain, axis=1), rtol=1e-5)
    assert not (moved == plain).all(axis=1).any()
    assert 8 < (half == plain).all(axis=1).sum() < 32


def test_faces_of_a_pack_are_embedded_once_and_held_out_people_stay_out(pack: Path, tmp_path: Path):
    vectors = TeacherVectors(source="faces", perturbed_share=0.0)
    requests = stream(vectors, tmp_path, pack=pack, embedder=tiny_critic().eval())
    assert requests.holds_out
    kept = np.load(tmp_path / "v.npy")
    seen = torch.cat([requests.read(whole_step(step, 8)).features for step in range(4)])
    held = requests.held_out(99).features
    assert len(held) > 0
    assert not any(torch.equal(one, other) for one in seen for other in held)
    assert kept.shape == (12, 2, 16)


def test_relative_error_is_one_for_the_mean_and_nothing_for_the_teachers_own():
    theirs = torch.randn(6, 50, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    assert float(relative_error(theirs, theirs)) == 0
    mean: Tensor = theirs.mean(dim=(0, 1), keepdim=True).expand_as(theirs)
    assert float(relative_error(mean, theirs)) == pytest.approx(1.0)
    assert float(relative_error(10 * mean, 10 * theirs)) == pytest.approx(1.0, rel=1e-5)


def test_a_recipe_refuses_what_has_no_effect():
    with pytest.raises(ValueError, match="statistics belongs to source: statistics"):
        TeacherVectors(source="gaussian", statistics=Path("x"))
    with pytest.raises(ValueError, match="needs bank"):
        TeacherVectors(source="bank")
    with pytest.raises(ValueError, match="go together"):
        StudentArchitecture(image_widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="takes no image_widths"):
        StudentArchitecture(size="base", image_widths=(8, 8, 8, 8), image_depths=(1, 1, 1, 1))
    with pytest.raises(ValueError, match="appearance has no effect"):
        DistillLosses(appearance=0.5)
