"""`vec2face train ablation`: what each ingredient of a generator's training is worth."""

from pathlib import Path

import click

from vec2face_cli.training_options import LOSS_NETWORK, OUT, PACK


@click.command()
@click.argument("recipe")
@PACK
@OUT
@LOSS_NETWORK
@click.option("--judge", required=True, help="A recogniser that takes no part in any training.")
@click.option("--initial", default=None, help="Generator that every training starts from: name or folder.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def ablation(
    recipe: str, pack: Path, out: Path, embedder_ref: str, judge: str, initial: str | None, device: str
) -> None:
    """Train a generator with and without each ingredient that RECIPE names, and compare on held-out faces.

    The face pack must hold people out. The table so far stands in OUT/ablation.md after each training; the same command
    goes on where it stopped.

    \b
    Example:
      vec2face train ablation embedded --data PACK --judge JUDGE --out ABLATION
    """
    from vec2face.config.ablation import AblationRecipe, trials
    from vec2face.config.library import load_recipe

    values = load_recipe(recipe, AblationRecipe)
    trials(values)  # every problem of every variant is named before torch is loaded

    from vec2face.ablation import markdown_table, run_ablation
    from vec2face_cli.training_progress import resumable, training_progress

    with resumable(out), training_progress("ablation") as reporter:
        results = run_ablation(
            values,
            pack=pack,
            out=out,
            embedder=embedder_ref,
            judge=judge,
            reporter=reporter,
            initial=initial,
            device=device,
        )
    click.echo(markdown_table(results))
    click.echo(f"Table: {out / 'ablation.md'}; sheet: {out / 'ablation.png'}")
