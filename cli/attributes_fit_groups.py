"""`vec2face attributes fit-groups`: probes of groups of people, from stored embeddings and labels."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath

FILE = LocalPath()


@click.command("fit-groups")
@click.argument("recipe")
@click.argument("embeddings", type=FILE)
@click.option("--labels", type=FILE, required=True, help="CSV file: the column key, and those that RECIPE names.")
@click.option("--out", type=FILE, required=True, help="Folder of the probes: new or empty.")
def fit_groups(recipe: str, embeddings: Path, labels: Path, out: Path) -> None:
    """Fit linear probes of the groups in RECIPE (a file or a shipped name) on EMBEDDINGS, made by `vec2face embed`.

    An audit states by them how the people of a set are divided over groups. OUT/errors.md, also printed, states for
    each group how often faces held out are counted for which.

    \b
    Example:
      vec2face embed photos.tar --out photos-embeddings
      vec2face attributes fit-groups embedded photos-embeddings --labels labels.csv --out groups
      vec2face audit faces --groups groups
    """
    from vec2face.config.groups import GroupsRecipe
    from vec2face.config.library import load_recipe

    values = load_recipe(recipe, GroupsRecipe)

    from vec2face.probing import make_group_probes
    from vec2face_cli.progress import TerminalProgress

    with TerminalProgress() as progress:
        found = make_group_probes(values, embeddings=embeddings, labels=labels, out=out, progress=progress)
    click.echo((out / "errors.md").read_text(encoding="utf-8"))
    names = ", ".join(probe.name for probe in found.probes)
    click.echo(f"{out}: {names}, fitted on {found.fitted_on['faces']:,} faces.")
