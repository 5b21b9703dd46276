"""Distil a small face embedder from teacher embeddings stored in a face pack."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.config.training import EmbedderRecipe
from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.seeding import seed_for
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.batches import BatchStream, read_batch
from vec2face.training.blends import EMBED_BATCH, Blends
from vec2face.training.examples import Examples
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.portion import Portion
from vec2face.training.precision import autocast, dtype_of, settled
from vec2face.training.processes import find_processes


def distillation_losses(
    embedding: Tensor, target: Tensor, *, variance: float, cosine_weight: float, raw_weight: float
) -> dict[str, Tensor]:
    """Losses that pull an embedding to the teacher's: direction, and size.

    Args:
        embedding, target: `(B, D)` raw embeddings.
        variance: mean variance per dimension of the teacher's embeddings, the unit of the raw error.
    """
    losses = {}
    if cosine_weight:
        losses["cosine"] = cosine_weight * (1 - F.cosine_similarity(embedding, target)).mean()
    if raw_weight:
        losses["raw"] = raw_weight * (embedding - target).square().mean() / variance
    return losses


def train_embedder(
    recipe: EmbedderRecipe,
    *,
    pack: Path,
    out: Path,
    teacher: FaceEmbedder | None = None,
    initial: CompactEmbedder | None = None,
    reporter: TrainingReporter,
    device: str = "auto",
) -> TrainingSummary:
    """Train, or resume, an embedder; the moving average is saved to `out/embedder` at every preview.

    Args:
        recipe: what to train and how long.
        pack: folder of the face pack, with the teacher's embeddings.
        out: folder of the run.
        teacher: the network whose embeddings the pack holds; only a recipe with blends needs it.
        initial: an embedder to start from instead of random weights.
        reporter: told of every logged step.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; see `find_processes`.

    Raises:
        InputError: the pack is unusable, a teacher or the device is missing, or a loss is not finite.
        ContractError: teacher, pack and `initial` differ in width, or `initial` is of another architecture.
        DatasetError: `out` holds a run with other settings.
    """
    if recipe.blends and teacher is None:
        raise InputError("this recipe learns from blends of faces: name the network that labels them with --teacher.")
    faces = FacePack.load(pack)
    stored = faces.require_features()
    processes = find_processes(device)
    recipe = settled(recipe, processes, on_note=reporter.training_note)
    torch.set_num_threads(recipe.run.threads)
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    model = CompactEmbedder(name=recipe.name, dim=stored.shape[2], widths=recipe.widths, depths=recipe.depths)
    if initial is not None:
        _start_from(model, initial)
    model.to(device=processes.device, memory_format=torch.channels_last)
    rows = np.flatnonzero(~faces.holdout)
    variance = float(np.asarray(stored[rows, 0], np.float32).var(axis=0).mean())
    blended = round(recipe.blend_share * recipe.schedule.batch_size) if recipe.blends else 0
    stream = BatchStream(faces, rows, batch_size=recipe.schedule.batch_size - blended, seed=recipe.run.seed)
    strength = AugmentStrength(
        recipe.shift_pixels, recipe.zoom, recipe.rotate_degrees, recipe.color, recipe.soften_probability
    )
    loop = TrainingLoop(model=model, recipe=recipe, facts=faces.facts, out=out, processes=processes)
    blends = Blends(faces, rows, count=recipe.blends, seed=recipe.run.seed)
    if teacher is not None and blended:
        require_same_width("the pack's embeddings", stored.shape[2], "the teacher", teacher.dim)
        note_every = max(1, recipe.blends // 10)
        if isinstance(teacher, nn.Module):
            teacher.to(processes.device)
        with processes.main_first():
            blends.label(
                teacher,
                out / "blends.npy",
                precision=dtype_of(recipe.run.precision),
                on_image=lambda done: (
                    reporter.training_note(f"the teacher has labelled {done} of {recipe.blends} blends")
                    if done % note_every < EMBED_BATCH
                    else None
                ),
            )

    def read(portion: Portion) -> Examples:
        plain, mixed = portion.split(portion.total - blended)
        parts = []
        if len(plain):
            batch = stream.read(plain)
            parts.append(Examples(batch.images, batch.require_features()))
        if len(mixed):
            parts.append(Examples(*blends.draw(mixed)))
        return Examples.join(parts)

    def compute(examples: Examples, portion: Portion) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed_for(recipe.run.seed, "augment", portion.step) % 2**63)
        model.train()
        images = augment(examples.images, strength, generator, portion)
        with autocast(processes.device, recipe.run.precision):
            embedding = model.embed(images)
        return distillation_losses(
            embedding,
            examples.targets,
            variance=variance,
            cosine_weight=recipe.cosine_weight,
            raw_weight=recipe.raw_weight,
        )

    def measure(average: nn.Module, step: int) -> dict[str, float]:
        if not isinstance(average, CompactEmbedder):
            raise RuntimeError("the moving average is not an embedder")
        average.save_pretrained(out / "embedder")
        held_out = np.flatnonzero(faces.holdout)
        if not len(held_out):
            return {}
        return {"cosine_to_teacher": _held_out_cosine(average, faces, held_out, processes.device)}

    return loop.run(read, compute, measure=measure, reporter=reporter)


def _start_from(model: CompactEmbedder, initial: CompactEmbedder) -> None:
    for key in ("dim", "widths", "depths"):
        asked, given = model.config[key], initial.config[key]
        if list(asked) != list(given) if key != "dim" else asked != given:
            raise ContractError(
                f"the recipe's embedder has {key} {asked}, the one to start from {given}; "
                f"set the recipe's {key} to {given} or leave out --initial."
            )
    model.load_state_dict(initial.state_dict())


@torch.no_grad()
def _held_out_cosine(embedder: CompactEmbedder, faces: FacePack, rows: np.ndarray, device: torch.device) -> float:
    total = 0.0
    for start in range(0, len(rows), 64):
        batch = read_batch(faces, rows[start : start + 64], np.zeros(len(rows[start : start + 64]), bool))
        embedding = embedder.embed(batch.images.to(device))
        total += float(F.cosine_similarity(embedding, batch.require_features().to(device)).sum())
    return total / len(rows)
