"""What `vec2face train generator --teacher` does: distil a generator instead of training it on pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vec2face.config.distillation import DistillRecipe
    from vec2face.models.embedders.base import FaceEmbedder
    from vec2face.models.embedders.compact import CompactEmbedder


def train_distilled(
    recipe: "DistillRecipe",
    *,
    teacher_ref: str,
    pack: Path | None,
    out: Path,
    embedder_ref: str,
    judge_ref: str | None,
    device: str,
) -> None:
    """Load what the recipe needs, distil, and say where the student is."""
    from vec2face.checkpoints import load_embedder, load_generator
    from vec2face.training.distill import distil_generator
    from vec2face_cli.training_progress import is_main_process, resumable, training_progress

    teacher = load_generator(teacher_ref)
    # The embedded embedder is no use, and no mistake either, where nobody asks for vectors of the teacher's space.
    asked = bool(recipe.losses.identity) or recipe.vectors.source == "faces"
    embedder = load_embedder(embedder_ref) if asked else None
    judge = load_embedder(judge_ref) if judge_ref else None
    with resumable(out), training_progress("distillation") as reporter:
        summary = distil_generator(
            recipe,
            teacher=teacher,
            out=out,
            embedder=embedder,
            critic=_critic(recipe, embedder),
            judge=judge,
            reporter=reporter,
            pack=pack,
            device=device,
        )
    if is_main_process():
        click.echo(
            f"{summary.images} images seen; the student is in {out / 'generator'}, previews in {out / 'previews'}."
        )


def _critic(recipe: "DistillRecipe", embedder: "FaceEmbedder | None") -> "CompactEmbedder | None":
    """The network whose feature maps are compared: the identity network if it shows any, else the embedded one."""
    if not (recipe.losses.perceptual_compares_maps or recipe.losses.discriminator_judges_maps):
        return None

    from vec2face.checkpoints import load_embedder
    from vec2face.models.embedders.compact import CompactEmbedder

    if isinstance(embedder, CompactEmbedder):
        return embedder
    embedded = load_embedder("embedded")
    if not isinstance(embedded, CompactEmbedder):
        raise RuntimeError("the embedded embedder is not a CompactEmbedder")
    return embedded
