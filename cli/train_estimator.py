"""`vec2face train estimator`: a small network that measures attributes of faces."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath
from vec2face_cli.training_options import DEVICE, OUT, PACK


@click.command()
@click.argument("recipe")
@PACK
@click.option(
    "--labels",
    type=LocalPath(dir_okay=False),
    multiple=True,
    help="CSV file: the column key (names in the pack), and attributes of RECIPE; blank is unknown; repeatable.",
)
@OUT
@click.option(
    "--teacher", "teacher_ref", default=None, help="Network of the pack's embeddings: labels damaged pictures."
)
@click.option("--initial", "initial_ref", default=None, help="Estimator to start from: name or folder.")
@DEVICE
def estimator(
    recipe: str,
    pack: Path,
    labels: tuple[Path, ...],
    out: Path,
    teacher_ref: str | None,
    initial_ref: str | None,
    device: str,
) -> None:
    """Train a network that measures attributes of faces, as RECIPE (a file or a shipped name) says.

    The command prints how far the network is off on faces held out, beside a guess that looks at no face, and writes it
    to OUT/errors.md. `vec2face steer --estimator OUT/estimator` steers by it.

    \b
    Examples:
      vec2face train estimator embedded --data PACK --labels labels.csv --teacher TEACHER --out RUN
      vec2face train estimator my-attribute.yaml --data PACK --labels labels.csv --out RUN
    """
    from vec2face.config.estimators import EstimatorRecipe
    from vec2face.config.library import load_recipe

    values = load_recipe(recipe, EstimatorRecipe)

    from vec2face.checkpoints import load_embedder, load_estimators
    from vec2face.training.estimator import train_estimator
    from vec2face_cli.training_progress import is_main_process, resumable, training_progress

    teacher = load_embedder(teacher_ref) if teacher_ref else None
    initial = load_estimators(initial_ref) if initial_ref else None
    with resumable(out), training_progress("estimator") as reporter:
        summary = train_estimator(
            values,
            pack=pack,
            labels=labels,
            out=out,
            teacher=teacher,
            initial=initial,
            reporter=reporter,
            device=device,
        )
    if is_main_process():
        click.echo((out / "errors.md").read_text(encoding="utf-8"))
        click.echo(f"{summary.images} images seen; the estimator is in {out / 'estimator'}.")
