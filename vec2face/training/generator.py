"""Train the generator on a face pack: reconstruct each face from its identity vector."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vec2face.config.training import GeneratorRecipe
from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, InputError
from vec2face.fileio.atomic import atomic_write
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.growth import start_from
from vec2face.models.perceptual import Lpips
from vec2face.seeding import seed_for
from vec2face.training.adversarial import Adversary, discriminator_learner
from vec2face.training.augment import AugmentStrength
from vec2face.training.generator_step import GeneratorStep
from vec2face.training.learner import Learner
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.loss_network import LossNetwork, prepare_embedder
from vec2face.training.precision import autocast, dtype_of, settled
from vec2face.training.preview import GeneratorPreview
from vec2face.training.processes import find_processes
from vec2face.training.vectors import Vectors, embed_pack

# A published sigma of 1 is 1/0.967 of the published features' deviation (WebFace mean 0.0046, std 0.967).
PUBLISHED_FEATURE_STD = 0.967


def train_generator(
    recipe: GeneratorRecipe,
    *,
    pack: Path,
    out: Path,
    embedder: FaceEmbedder,
    judge: FaceEmbedder | None,
    initial: Vec2FaceGenerator | None,
    reporter: TrainingReporter,
    lpips: Lpips | None = None,
    device: str = "auto",
) -> TrainingSummary:
    """Train, or resume, a generator; its moving average is saved to `out/generator` at every preview.

    Args:
        recipe: what to train and how long.
        pack: folder of the face pack.
        out: folder of the run.
        embedder: loss network and, with `features: embedder`, the source of the vectors. A recipe that compares or
            judges its feature maps needs a `CompactEmbedder`.
        judge: a network that takes no part in training, whose cosine between held-out faces and their rendering is
            reported; None leaves the figure out.
        initial: a generator to start from instead of random weights; it may be a shallower one, see `start_from`.
        reporter: told of every logged step.
        lpips: the network of the perceptual loss, for a recipe with `perceptual_network: lpips` and for no other.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; see `find_processes`.

    Raises:
        InputError: the pack or the device is unusable, LPIPS is missing or not wanted, or a loss is not finite.
        ContractError: vectors, generator and embedder differ in width, the embedder has no feature maps to compare, or
            `initial` is of another architecture.
        DatasetError: `out` holds a run with other settings.
    """
    _require_networks(recipe, embedder, lpips)
    faces = FacePack.load(pack)
    processes = find_processes(device)
    recipe = settled(recipe, processes, on_note=reporter.training_note)
    torch.set_num_threads(recipe.run.threads)
    prepare_embedder(embedder, device=processes.device, precision=dtype_of(recipe.run.precision))
    with processes.main_first():
        vectors = _vectors(recipe, faces, embedder, out, reporter)
    if recipe.losses.identity:
        require_same_width("the pack's vectors", vectors.values.shape[2], "the loss embedder", embedder.dim)
    generator = _new_generator(recipe, vectors, embedder.name)
    if initial is not None:
        width = initial.config.feature_dim
        require_same_width("the pack's vectors", vectors.values.shape[2], "the generator to start from", width)
        new = start_from(generator, initial)
        reporter.training_note(f"starting from the given generator; new weights: {len(new)} tensors")
    generator.to(device=processes.device, memory_format=torch.channels_last)
    learner = discriminator_learner(
        recipe.losses,
        recipe,
        map_network=embedder,
        condition_dim=vectors.values.shape[2],
        processes=processes,
    )
    step = make_step(recipe, faces, vectors, embedder, lpips, generator, learner, processes.device)
    loop = TrainingLoop(
        model=generator,
        recipe=recipe,
        facts=faces.facts,
        out=out,
        processes=processes,
        companions=[learner] if learner else [],
    )
    preview = GeneratorPreview(recipe, faces, vectors, judge, out, processes.device)
    return loop.run(step.stream.read, step, measure=preview, reporter=reporter)


def _require_networks(recipe: GeneratorRecipe, embedder: FaceEmbedder, lpips: Lpips | None) -> None:
    """Raise unless the networks given are those that the recipe's losses ask for."""
    losses = recipe.losses
    if not isinstance(embedder, nn.Module):
        raise ContractError(
            f"no gradient passes through a {type(embedder).__name__}; name a loss network that is not an ONNX file."
        )
    wanted = losses.perceptual_network == "lpips"
    if wanted and lpips is None:
        raise InputError("this recipe compares pictures by LPIPS: name the two files of its weights with --lpips.")
    if lpips is not None and not wanted:
        raise InputError(
            "LPIPS weights are given, but this recipe's perceptual loss is another; "
            "set losses.perceptual_network to lpips or leave out --lpips."
        )
    maps = [
        name
        for name, used in (
            ("perceptual_network: embedder", losses.perceptual_compares_maps),
            (f"discriminator: {losses.discriminator}", losses.discriminator_judges_maps),
        )
        if used
    ]
    if maps and not isinstance(embedder, CompactEmbedder):
        raise ContractError(
            f"this recipe compares feature maps ({', '.join(maps)}), which only a CompactEmbedder shows, not a "
            f"{type(embedder).__name__}; change the recipe or name an embedder of 'vec2face train embedder'."
        )


def _new_generator(recipe: GeneratorRecipe, vectors: Vectors, feature_space: str) -> Vec2FaceGenerator:
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    std = float(np.sqrt(np.square(vectors.values[:, 0]).mean()))
    return Vec2FaceGenerator.from_size(
        recipe.architecture.size,
        feature_dim=vectors.values.shape[2],
        feature_space=feature_space,
        sigma_unit=round(std / PUBLISHED_FEATURE_STD, 4),
    )


def _vectors(
    recipe: GeneratorRecipe, faces: FacePack, embedder: FaceEmbedder, out: Path, reporter: TrainingReporter
) -> Vectors:
    if recipe.features == "stored":
        return Vectors(np.asarray(faces.require_features(), np.float32))
    cache = out / "vectors.npy"
    if cache.is_file():
        return Vectors(np.load(cache))
    reporter.training_note(f"embedding {len(faces.images)} faces and their mirror images")
    vectors = embed_pack(faces, embedder)
    with atomic_write(cache) as stream:
        np.save(stream, vectors.values)
    return vectors


def make_step(
    recipe: GeneratorRecipe,
    faces: FacePack,
    vectors: Vectors,
    embedder: FaceEmbedder,
    lpips: Lpips | None,
    generator: Vec2FaceGenerator,
    discriminator: Learner | None,
    device: torch.device,
) -> GeneratorStep:
    """Join what computes a step's losses.

    Args:
        recipe: the run's recipe.
        faces, vectors: the training set.
        embedder: the loss network, see `prepare_embedder`.
        lpips: the network of the perceptual loss, or None.
        generator: the network being trained, on `device`.
        discriminator: see `discriminator_learner`.
        device: where everything is computed.
    """
    precision = recipe.run.precision
    half = partial(autocast, device, precision)
    if lpips is not None:
        lpips.eval().requires_grad_(False)
        lpips.to(device=device, memory_format=torch.channels_last)
    a = recipe.augmentation
    strength = AugmentStrength(a.shift_pixels, a.zoom, a.rotate_degrees, a.color, a.soften_probability, a.noise)
    return GeneratorStep(
        recipe=recipe,
        faces=faces,
        vectors=vectors,
        generator=generator,
        loss_network=LossNetwork(
            embedder=embedder,
            strength=strength,
            seed=recipe.run.seed,
            precision=dtype_of(precision),
            autocast=half,
        ),
        lpips=lpips,
        adversary=Adversary(losses=recipe.losses, learner=discriminator, autocast=half) if discriminator else None,
        autocast=half,
    )
