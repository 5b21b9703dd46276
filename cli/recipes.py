"""`vec2face recipes`: list, show, copy and validate recipes."""

from pathlib import Path

import click

from vec2face.errors import ConfigError
from vec2face_cli.locations import LocalPath


@click.group()
def recipes() -> None:
    """List, show, copy and validate recipes.

    A recipe is a YAML file that states a whole job. To change one, copy it, edit the copy and pass the copy's path
    wherever a recipe is asked for.

    \b
    Examples:
      vec2face recipes ls
      vec2face recipes show generate/demo
      vec2face recipes copy generate/demo mine.yaml
      vec2face recipes validate mine.yaml
    """


@recipes.command("ls")
def list_recipes() -> None:
    """List the shipped recipes with their purpose."""
    from vec2face.config.library import shipped_recipes

    found = shipped_recipes()
    width = max(len(recipe.name) for recipe in found)
    for recipe in found:
        click.echo(f"{recipe.name:<{width}}  {recipe.purpose}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the shipped recipe NAME, header included."""
    from vec2face.config.library import find_recipe

    click.echo(find_recipe(name).text, nl=False)


@recipes.command()
@click.argument("name")
@click.argument("destination", type=LocalPath())
def copy(name: str, destination: Path) -> None:
    """Copy the shipped recipe NAME to DESTINATION, a new file or an existing folder."""
    from vec2face.config.library import copy_recipe

    click.echo(f"Copied to {copy_recipe(name, destination)}.")


@recipes.command()
@click.argument("files", nargs=-1, required=True, type=LocalPath())
@click.option("--kind", help="The recipes' kind; by default it is told from their keys.")
def validate(files: tuple[Path, ...], kind: str | None) -> None:
    """Check recipe FILES and name every problem found in any of them."""
    from vec2face.config.library import validate_file

    problems = []
    for file in files:
        try:
            click.echo(f"{file}: a valid {validate_file(file, kind=kind)} recipe.")
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
