"""Distil a generator: a small one learns to render what a large one does, from the same vectors, masks and codes.

No face pack is needed: the teacher makes the pictures, and vectors can be drawn without end. The student learns the
teacher's pictures and, through a linear map where the widths differ, its tokens; it takes the same vectors, in the same
units and with the same masks, so that it can stand in for the teacher everywhere.
"""

import hashlib
from functools import partial
from pathlib import Path

import torch

from vec2face.config.distillation import DistillRecipe
from vec2face.contracts import require_same_width
from vec2face.errors import ContractError, InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.onnx import OnnxEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.perceptual import Lpips
from vec2face.seeding import seed_for
from vec2face.training.adversarial import Adversary, discriminator_learner
from vec2face.training.augment import AugmentStrength
from vec2face.training.distill_preview import DistillPreview
from vec2face.training.distill_step import DistillStep, Student
from vec2face.training.distill_vectors import RequestStream, open_vectors
from vec2face.training.learner import Learner
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.loss_network import LossNetwork, prepare_embedder
from vec2face.training.precision import autocast, dtype_of, settled
from vec2face.training.processes import find_processes


def distil_generator(
    recipe: DistillRecipe,
    *,
    teacher: Vec2FaceGenerator,
    out: Path,
    embedder: FaceEmbedder | None,
    critic: CompactEmbedder | None,
    judge: FaceEmbedder | None,
    reporter: TrainingReporter,
    pack: Path | None = None,
    lpips: Lpips | None = None,
    device: str = "auto",
) -> TrainingSummary:
    """Distil, or go on distilling; the student's moving average is saved to `out/generator` at every preview.

    Args:
        recipe: what to train and how long.
        teacher: the generator to learn from; it is frozen, and its weights stay as they are.
        out: folder of the run.
        embedder: of the teacher's feature space, for an identity loss and for vectors of faces.
        critic: a network with feature maps, for the losses that compare them; it may be `embedder`.
        judge: a network that takes no part, whose cosine between both renderings is reported.
        reporter: told of every logged step.
        pack: the face pack, for a recipe that takes its vectors from faces.
        lpips: the network of the perceptual loss, for a recipe with `perceptual_network: lpips`.
        device: see `find_processes`.

    Raises:
        InputError: something the recipe asks for is missing, or what was given is not wanted; a loss is not finite.
        ContractError: vectors, embedder and teacher do not fit each other, or the teacher needs landmarks.
        ConfigError: the student's settings do not fit each other.
        DatasetError: `out` holds a run with other settings.
    """
    _require_networks(recipe, teacher, embedder, critic, lpips)
    processes = find_processes(device)
    recipe = settled(recipe, processes, on_note=reporter.training_note)
    torch.set_num_threads(recipe.run.threads)
    facts = {"teacher": weights_digest(teacher)}
    for network in (embedder, critic):
        if network is not None:
            prepare_embedder(network, device=processes.device, precision=dtype_of(recipe.run.precision))
    with processes.main_first():
        pool = open_vectors(recipe.vectors, teacher=teacher, pack=pack, embedder=embedder, cache=out / "vectors.npy")
    mask = recipe.mask.model_dump() if recipe.mask is not None else dict(teacher.config.sampling_mask)
    stream = RequestStream(
        pool,
        recipe=recipe.vectors,
        mask=mask,
        sigma_unit=teacher.config.sigma_unit,
        appearance_dim=teacher.config.appearance_dim,
        seed=recipe.run.seed,
    )
    student = Student(new_student(recipe, teacher, mask), teacher_width=teacher.config.width)
    for generator in (student.generator, teacher.eval().requires_grad_(False)):
        generator.to(device=processes.device, memory_format=torch.channels_last)
    student.to(processes.device)
    learner = discriminator_learner(
        recipe.losses, recipe, map_network=critic, condition_dim=teacher.config.feature_dim, processes=processes
    )
    step = _step(recipe, teacher, student, mask["min"], embedder, critic, lpips, learner, processes.device)
    loop = TrainingLoop(
        model=student,
        recipe=recipe,
        facts=facts | {"vectors": pool.facts},
        out=out,
        processes=processes,
        companions=[learner] if learner else [],
    )
    preview = DistillPreview(
        teacher=teacher,
        requests=stream.held_out(recipe.measured_faces),
        held_out=stream.holds_out,
        mask_ratio_min=mask["min"],
        judge=judge,
        sheet_faces=recipe.sheet_faces,
        out=out,
        device=processes.device,
    )
    return loop.run(stream.read, step, measure=preview, reporter=reporter)


def new_student(recipe: DistillRecipe, teacher: Vec2FaceGenerator, mask: dict[str, float]) -> Vec2FaceGenerator:
    """Build a student with random weights that takes what the teacher takes, and samples with `mask`.

    The encoder that reads appearance codes off pictures is the teacher's own: no code is read while distilling.

    Raises:
        ConfigError: the student's settings do not fit each other, or it cannot take the teacher's appearance code.
    """
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    config = teacher.config
    student = Vec2FaceGenerator.from_size(
        recipe.student.size,
        **recipe.student.overrides(),
        feature_dim=config.feature_dim,
        feature_space=config.feature_space,
        sigma_unit=config.sigma_unit,
        appearance_dim=config.appearance_dim,
        training_mask=mask,
        sampling_mask=mask,
    )
    if student.appearance_encoder is not None and teacher.appearance_encoder is not None:
        student.appearance_encoder.load_state_dict(teacher.appearance_encoder.state_dict())
    return student


def weights_digest(network: torch.nn.Module) -> str:
    """Return the SHA-256 of a network's weights in memory, with their names; hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _require_networks(
    recipe: DistillRecipe,
    teacher: Vec2FaceGenerator,
    embedder: FaceEmbedder | None,
    critic: CompactEmbedder | None,
    lpips: Lpips | None,
) -> None:
    """Raise unless the networks given are those that the recipe asks for, and fit the teacher."""
    losses, config = recipe.losses, teacher.config
    if config.pose_condition:
        raise ContractError("this teacher is conditioned on pose, which a distillation has no landmarks for.")
    if losses.identity and embedder is None:
        raise InputError(
            f"this recipe has an identity loss: name the embedder of {config.feature_space!r} with --embedder, "
            "or set losses.identity to 0."
        )
    if embedder is not None:
        if embedder.name != config.feature_space:
            raise ContractError(
                f"the embedder's vectors are {embedder.name!r}, but the teacher takes those of "
                f"{config.feature_space!r}; name its own embedder with --embedder."
            )
        require_same_width("the embedder's vector", embedder.dim, "the teacher's input", config.feature_dim)
        if losses.identity and isinstance(embedder, OnnxEmbedder):
            raise ContractError("an ONNX file gives no gradient: import the embedder's weights for the identity loss.")
    if (losses.perceptual_compares_maps or losses.discriminator_judges_maps) and critic is None:
        raise InputError("this recipe compares feature maps and was given no network that shows them.")
    if (losses.perceptual_network == "lpips") != (lpips is not None):
        raise InputError(
            "this recipe compares pictures by LPIPS: name the folder of its weights with --lpips."
            if lpips is None
            else "LPIPS weights are given, but this recipe's perceptual loss is another; leave out --lpips."
        )


def _step(
    recipe: DistillRecipe,
    teacher: Vec2FaceGenerator,
    student: Student,
    mask_ratio_min: float,
    embedder: FaceEmbedder | None,
    critic: CompactEmbedder | None,
    lpips: Lpips | None,
    discriminator: Learner | None,
    device: torch.device,
) -> DistillStep:
    precision, a = recipe.run.precision, recipe.augmentation
    half = partial(autocast, device, precision)
    strength = AugmentStrength(a.shift_pixels, a.zoom, a.rotate_degrees, a.color, a.soften_probability, a.noise)

    def looking(network: FaceEmbedder) -> LossNetwork:
        return LossNetwork(
            embedder=network,
            strength=strength,
            seed=recipe.run.seed,
            precision=dtype_of(precision),
            autocast=half,
        )

    if lpips is not None:
        lpips.eval().requires_grad_(False)
        lpips.to(device=device, memory_format=torch.channels_last)
    maps = looking(critic) if critic is not None else None
    return DistillStep(
        recipe=recipe,
        teacher=teacher,
        student=student,
        mask_ratio_min=mask_ratio_min,
        identity_network=maps if embedder is critic else looking(embedder) if embedder is not None else None,
        map_network=maps,
        lpips=lpips,
        adversary=Adversary(losses=recipe.losses, learner=discriminator, autocast=half) if discriminator else None,
        autocast=half,
    )
