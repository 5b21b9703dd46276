"""`vec2face train`: train an embedder, a generator, a recogniser or estimators of attributes."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from vec2face_cli.locations import LocalPath
from vec2face_cli.train_ablation import ablation
from vec2face_cli.train_estimator import estimator
from vec2face_cli.train_recognizer import recognizer
from vec2face_cli.training_options import DEVICE, LOSS_NETWORK, OUT, PACK, TENSORBOARD

if TYPE_CHECKING:
    from vec2face.config.training import TrainingRecipe
    from vec2face.models.embedders.base import FaceEmbedder
    from vec2face.models.embedders.compact import CompactEmbedder

RecipeT = TypeVar("RecipeT", bound="TrainingRecipe")


@click.group()
def train() -> None:
    """Train a network; the same command resumes a stopped run."""


train.add_command(ablation)
train.add_command(estimator)
train.add_command(recognizer)


def _compact(embedder: "FaceEmbedder", ref: str) -> "CompactEmbedder":
    from vec2face.errors import ContractError
    from vec2face.models.embedders.compact import CompactEmbedder

    if not isinstance(embedder, CompactEmbedder):
        raise ContractError(
            f"{ref} is a {type(embedder).__name__}; training needs a CompactEmbedder ('vec2face train embedder')."
        )
    return embedder


def _wanting_tensorboard(recipe: RecipeT, wanted: bool) -> RecipeT:
    """Lay --tensorboard over a recipe; refuse at once if it is wanted and not installed."""
    if wanted:
        recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"tensorboard": True})})
    if recipe.run.tensorboard:
        from vec2face.training.journal import require_tensorboard

        require_tensorboard()
    return recipe


@train.command()
@click.argument("recipe")
@PACK
@OUT
@DEVICE
@TENSORBOARD
@click.option(
    "--teacher", "teacher_ref", default=None, help="Network of the pack's embeddings: labels blends of faces."
)
@click.option("--initial", "initial_ref", default=None, help="Embedder to start from: name or folder.")
def embedder(
    recipe: str,
    pack: Path,
    out: Path,
    device: str,
    tensorboard: bool,
    teacher_ref: str | None,
    initial_ref: str | None,
) -> None:
    """Distil a small embedder from the teacher embeddings in a face pack, as RECIPE (a file or a shipped name) says.

    Example: vec2face train embedder embedded --data PACK --teacher TEACHER --out RUN
    """
    from vec2face.config.library import load_recipe
    from vec2face.config.training import EmbedderRecipe

    values = _wanting_tensorboard(load_recipe(recipe, EmbedderRecipe), tensorboard)

    from vec2face.checkpoints import load_embedder
    from vec2face.training.embedder import train_embedder
    from vec2face_cli.training_progress import is_main_process, resumable, training_progress

    teacher = load_embedder(teacher_ref) if teacher_ref else None
    start = _compact(load_embedder(initial_ref), initial_ref) if initial_ref else None
    with resumable(out), training_progress("embedder") as reporter:
        summary = train_embedder(
            values, pack=pack, out=out, teacher=teacher, initial=start, reporter=reporter, device=device
        )
    if is_main_process():
        click.echo(f"{summary.images} images seen; the embedder is in {out / 'embedder'}.")


@train.command()
@click.argument("recipe")
@click.option("--data", "pack", type=LocalPath(file_okay=False), help="Face pack to train on.")
@OUT
@DEVICE
@TENSORBOARD
@LOSS_NETWORK
@click.option("--teacher", "teacher_ref", default=None, help="Generator to distil, for a recipe of that kind.")
@click.option("--judge", "judge_ref", default=None, help="A recogniser that takes no part; its cosine is reported.")
@click.option("--initial", type=LocalPath(exists=True), default=None, help="Generator folder to start from.")
@click.option(
    "--lpips",
    "lpips_files",
    type=LocalPath(exists=True, dir_okay=False),
    nargs=2,
    metavar="TRUNK HEADS",
    default=None,
    help="Weights of LPIPS: torchvision's VGG-16 or AlexNet, and the heads of version 0.1.",
)
def generator(
    recipe: str,
    pack: Path | None,
    out: Path,
    device: str,
    tensorboard: bool,
    embedder_ref: str,
    teacher_ref: str | None,
    judge_ref: str | None,
    initial: Path | None,
    lpips_files: tuple[Path, Path] | None,
) -> None:
    """Train a generator to rebuild the faces of a pack from their vectors, as RECIPE (a file or a shipped name) says.

    With --teacher, train it to render what another generator does; that needs no face pack unless RECIPE says so.

    \b
    Examples:
      vec2face train generator embedded --data PACK --embedder EMBEDDER --out RUN
      vec2face train generator base-to-small --teacher vec2face-base --embedder arcface-r100-glint360k --out RUN
    """
    from vec2face.config.library import load_recipe

    if teacher_ref is not None:
        if initial is not None:
            raise click.UsageError("--initial has no effect with --teacher: a student begins with random weights.")
        if lpips_files is not None:
            raise click.UsageError("--lpips has no effect with --teacher.")

        from vec2face.config.distillation import DistillRecipe
        from vec2face_cli.train_distilled import train_distilled

        train_distilled(
            _wanting_tensorboard(load_recipe(recipe, DistillRecipe), tensorboard),
            teacher_ref=teacher_ref,
            pack=pack,
            out=out,
            embedder_ref=embedder_ref,
            judge_ref=judge_ref,
            device=device,
        )
        return
    if pack is None:
        raise click.UsageError("name the face pack to train on with --data, or a generator to distil with --teacher.")

    from vec2face.config.training import GeneratorRecipe

    values = _wanting_tensorboard(load_recipe(recipe, GeneratorRecipe), tensorboard)

    from vec2face.checkpoints import load_embedder, load_generator, load_lpips
    from vec2face.training.generator import train_generator
    from vec2face_cli.training_progress import is_main_process, resumable, training_progress

    loss_network = load_embedder(embedder_ref)
    judge = load_embedder(judge_ref) if judge_ref else None
    start = load_generator(str(initial)) if initial else None
    lpips = load_lpips(*lpips_files) if lpips_files else None
    with resumable(out), training_progress("generator") as reporter:
        summary = train_generator(
            values,
            pack=pack,
            out=out,
            embedder=loss_network,
            judge=judge,
            initial=start,
            reporter=reporter,
            lpips=lpips,
            device=device,
        )
    if is_main_process():
        click.echo(
            f"{summary.images} images seen; the generator is in {out / 'generator'}, previews in {out / 'previews'}."
        )


@train.command()
@PACK
@click.option("--embedder", "embedder_ref", default="embedded", show_default=True, help="Name or folder.")
@click.option("--out", type=LocalPath(dir_okay=False), required=True, help="File to write.")
@click.option("--whole-only", is_flag=True, help="Leave out faces whose crop is padded.")
def statistics(pack: Path, embedder_ref: str, out: Path, whole_only: bool) -> None:
    """Fit the statistics that `identities sample --source pca` draws from: an embedder's vectors of real faces.

    Example: vec2face train statistics --data PACK --embedder RUN/embedder --out statistics.safetensors
    """
    from rich.console import Console

    from vec2face.checkpoints import load_embedder
    from vec2face.training.statistics import fit_pack_statistics

    with Console(stderr=True).status("embedding faces") as status:
        fitted = fit_pack_statistics(
            _compact(load_embedder(embedder_ref), embedder_ref),
            pack=pack,
            out=out,
            whole_only=whole_only,
            on_image=lambda count: status.update(f"embedding faces: {count}"),
        )
    click.echo(f"{fitted.count} vectors of width {fitted.width} in the space {fitted.feature_space!r}: {out}")
