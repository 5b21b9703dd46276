"""`vec2face train recognizer`: what a dataset is worth, as the recogniser trained on nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vec2face_cli.training_options import DEVICE, OUT, TENSORBOARD

if TYPE_CHECKING:
    from vec2face.config.recognition import RecognizerRecipe


@click.command()
@click.argument("recipe")
@click.option(
    "--data",
    "datasets",
    required=True,
    multiple=True,
    help="Labelled faces: a dataset folder, image folders, shards, RecordIO or LMDB; or a URL. Several are mixed.",
)
@OUT
@click.option("--validation", default=None, help="Verification set of people in no test set, as validation: in RECIPE.")
@click.option("--people", type=click.IntRange(min=1), help="First so many people of each dataset only.")
@click.option("--images-per-person", type=click.IntRange(min=1), help="First so many images of each person only.")
@click.option("--seed", type=int, help="Seed of weights, order and augmentation, in place of the recipe's.")
@TENSORBOARD
@DEVICE
def recognizer(
    recipe: str,
    datasets: tuple[str, ...],
    out: Path,
    validation: str | None,
    people: int | None,
    images_per_person: int | None,
    seed: int | None,
    tensorboard: bool,
    device: str,
) -> None:
    """Train a face recogniser from scratch on labelled faces, as RECIPE (a file or a shipped name) says.

    OUT/recognizer is an embedder that every command takes; OUT/result.json says what it was made of.

    \b
    Examples:
      vec2face train recognizer cpu --data DATASET --out RUN
      vec2face train recognizer hsface --data DATASET --data FOLDER --out RUN
      vec2face evaluate verification RUN/recognizer PAIRS.bin
    """
    from vec2face.config.library import load_recipe
    from vec2face.config.recognition import RecognizerRecipe

    limits = {"people": people, "images_per_person": images_per_person}
    run = {"seed": seed, "tensorboard": tensorboard or None}
    values = _changed(load_recipe(recipe, RecognizerRecipe), validation=validation, limits=limits, run=run)
    if values.run.tensorboard:
        from vec2face.training.journal import require_tensorboard

        require_tensorboard()

    from vec2face.recognition import run_recognizer_training
    from vec2face_cli.training_progress import is_main_process, resumable, training_progress

    with resumable(out), training_progress("recogniser") as reporter:
        summary = run_recognizer_training(values, data=datasets, out=out, reporter=reporter, device=device)
    if is_main_process():
        click.echo(f"{summary.images} images seen; the recogniser is in {out / 'recognizer'}.")


def _changed(
    recipe: "RecognizerRecipe", *, validation: str | None, limits: dict[str, Any], run: dict[str, Any]
) -> "RecognizerRecipe":
    """Lay the options that were given over a recipe, and check it again."""
    from vec2face.config.base import parse
    from vec2face.config.recognition import RecognizerRecipe

    values = recipe.model_dump()
    for entry in values["datasets"]:
        entry |= {key: value for key, value in limits.items() if value is not None}
    values["run"] |= {key: value for key, value in run.items() if value is not None}
    if validation is not None:
        values["validation"] = validation
    return parse(RecognizerRecipe, values, where="the recipe with these options")
