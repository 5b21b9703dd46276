"""`vec2face data`: prepare face images for training."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face_cli.data_make_bin import make_bin
from vec2face_cli.data_make_pairs import make_pairs
from vec2face_cli.data_prepare import prepare
from vec2face_cli.locations import LocalPath

if TYPE_CHECKING:
    from vec2face.config.training import PackRecipe


@click.group()
def data() -> None:
    """Prepare face images for training."""


data.add_command(make_bin)
data.add_command(make_pairs)
data.add_command(prepare)


@data.command()
@click.argument("recipe", required=False)
@click.option("--root", type=LocalPath(file_okay=False), help="Folder of the recipe's sources.")
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Pack this source, without a recipe: a prepared folder, or any face set of aligned crops; repeatable.",
)
@click.option("--out", type=LocalPath(), required=True, help="Folder of the pack to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing pack.")
def pack(recipe: str | None, root: Path | None, sources: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Pack aligned 112x112 faces into memory-mapped arrays, from a RECIPE (a file or a shipped name) or from sources.

    \b
    Examples:
      vec2face data pack --from PREPARED --out PACK
      vec2face data pack embedded --root DATA --out PACK
    """
    if (recipe is None) != bool(sources) or (recipe is not None and root is None) or (sources and root is not None):
        raise click.UsageError("give a RECIPE with --root, or --from SOURCE without either.")
    from rich.console import Console

    from vec2face.data.facepack import build_pack
    from vec2face.errors import InputError

    values = _recipe(recipe, sources)
    if (out / "index.json").exists() and not overwrite:
        raise InputError(f"{out} already holds a face pack; choose another --out or add --overwrite.")
    console = Console(stderr=True)
    with console.status("packing faces") as status:
        faces = build_pack(
            values,
            root=root or Path(),
            out=out,
            on_image=lambda n: status.update(f"packing faces: {n} images") if n % 500 == 0 else None,
        )
    click.echo(
        f"{faces.facts['images']} faces in {out}; {faces.facts['held_out_images']} images of "
        f"{faces.facts['held_out_people']} people are held out."
    )


def _recipe(reference: str | None, sources: tuple[str, ...]) -> "PackRecipe":
    from vec2face.config.base import parse
    from vec2face.config.library import load_recipe
    from vec2face.config.training import PackRecipe

    if reference is not None:
        return load_recipe(reference, PackRecipe)
    return parse(PackRecipe, {"sources": [{"path": source} for source in sources]}, where="options")
