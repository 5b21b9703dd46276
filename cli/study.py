"""`vec2face study`: what moves the accuracy of a recogniser that is trained on synthetic faces alone."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath


@click.command()
@click.argument("recipe")
@click.option(
    "--validation", required=True, help="Verification set that settings are compared on, of people in no test set."
)
@click.option("--test", "tests", multiple=True, help="Verification set (PATH or NAME=PATH) that tested trials report.")
@click.option("--out", type=LocalPath(), required=True, help="Folder of the study; resumed if it holds one.")
@click.option("--workers", type=click.IntRange(min=1), help="Rendering processes; by default one per core or GPU.")
@click.option("--device", default="auto", show_default=True, help="Of the trainings: auto, cpu, cuda, cuda:N or mps.")
def study(recipe: str, validation: str, tests: tuple[str, ...], out: Path, workers: int | None, device: str) -> None:
    """Make the datasets that RECIPE names, train recognisers on them, and compare.

    The table so far stands in OUT/study.md after each training; the same command goes on where it stopped.

    \b
    Example:
      vec2face study headline --validation validation.bin --test lfw.bin --out STUDY
    """
    from vec2face.config.library import load_recipe
    from vec2face.config.study import StudyRecipe, resolve
    from vec2face.errors import InputError

    values = load_recipe(recipe, StudyRecipe)
    resolve(values)  # every problem is named before torch is loaded
    tested = [trial.name for trial in values.trials if trial.tested]
    if tested and not tests:
        raise InputError(f"{recipe} measures test sets ({', '.join(tested)}); name at least one with --test.")

    from vec2face.study import StudyProgress, markdown_table, run_study
    from vec2face_cli.progress import TerminalProgress
    from vec2face_cli.training_progress import resumable, training_progress

    progress = StudyProgress(
        dataset=TerminalProgress,
        training=lambda: training_progress("recogniser"),
        note=lambda text: click.echo(text, err=True),
    )
    with resumable(out):
        results = run_study(
            values,
            out=out,
            validation=validation,
            tests=tests,
            progress=progress,
            workers=workers,
            device=device,
        )
    click.echo(markdown_table(values.trials, results))
    click.echo(f"Table: {out / 'study.md'}")
