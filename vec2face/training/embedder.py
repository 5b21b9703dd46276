"""Distil a small face embedder from teacher embeddings stored in a face pack."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.config.training import EmbedderRecipe
from vec2face.data.facepack import FacePack
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.seeding import seed_for
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.batches import BatchStream, read_batch
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary


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


def train_embedder(recipe: EmbedderRecipe, *, pack: Path, out: Path, reporter: TrainingReporter) -> TrainingSummary:
    """Train, or resume, an embedder; the moving average is saved to `out/embedder` at every preview.

    Raises:
        InputError: the pack is unusable, or a loss is not finite.
        DatasetError: `out` holds a run with other settings.
    """
    faces = FacePack.load(pack)
    stored = faces.require_features()
    torch.set_num_threads(recipe.run.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    model = CompactEmbedder(name=recipe.name, dim=stored.shape[2], widths=recipe.widths, depths=recipe.depths)
    model.to(device=device, memory_format=torch.channels_last)
    rows = np.flatnonzero(~faces.holdout)
    variance = float(np.asarray(stored[rows, 0], np.float32).var(axis=0).mean())
    stream = BatchStream(faces, rows, batch_size=recipe.schedule.batch_size, seed=recipe.run.seed)
    strength = AugmentStrength(
        recipe.shift_pixels, recipe.zoom, recipe.rotate_degrees, recipe.color, recipe.soften_probability
    )
    identity = {"recipe": recipe.model_dump(mode="json"), "pack": faces.facts}
    loop = TrainingLoop(model=model, schedule=recipe.schedule, run=recipe.run, out=out, identity=identity)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.run.precision == "bfloat16")

    def compute(step: int) -> dict[str, Tensor]:
        batch = stream.get(step)
        generator = torch.Generator().manual_seed(seed_for(recipe.run.seed, "augment", step) % 2**63)
        model.train()
        images = augment(batch.images.to(device), strength, generator)
        with autocast:
            embedding = model.embed(images)
        return distillation_losses(
            embedding,
            batch.require_features().to(device),
            variance=variance,
            cosine_weight=recipe.cosine_weight,
            raw_weight=recipe.raw_weight,
        )

    def measure(average: nn.Module, step: int) -> dict[str, float]:
        if not isinstance(average, CompactEmbedder):
            raise RuntimeError("the moving average is not an embedder")
        average.save_pretrained(out / "embedder")
        held_out = np.flatnonzero(faces.holdout)
        return {"cosine_to_teacher": _held_out_cosine(average, faces, held_out, device)} if len(held_out) else {}

    return loop.run(compute, measure=measure, reporter=reporter, waited=lambda: stream.waited)


@torch.no_grad()
def _held_out_cosine(embedder: CompactEmbedder, faces: FacePack, rows: np.ndarray, device: torch.device) -> float:
    total = 0.0
    for start in range(0, len(rows), 64):
        batch = read_batch(faces, rows[start : start + 64], np.zeros(len(rows[start : start + 64]), bool))
        embedding = embedder.embed(batch.images.to(device))
        total += float(F.cosine_similarity(embedding, batch.require_features().to(device)).sum())
    return total / len(rows)
