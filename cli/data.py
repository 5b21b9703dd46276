"""`vec2face data`: prepare face images for training."""

from pathlib import Path

import click

from vec2face_cli.data_make_bin import make_bin
from vec2face_cli.data_make_pairs import make_pairs


@click.group()
def data() -> None:
    """Prepare face images for training."""


data.add_command(make_bin)
data.add_command(make_pairs)


@data.command()
@click.argument("recipe")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the sources.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the pack to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing pack.")
def pack(recipe: str, root: Path, out: Path, overwrite: bool) -> None:
    """Pack aligned 112x112 faces into memory-mapped arrays, as RECIPE (a file or a shipped name) says.

    Example: vec2face data pack embedded --root DATA --out PACK
    """
    from rich.console import Console

    from vec2face.config.library import load_recipe
    from vec2face.config.training import PackRecipe
    from vec2face.data.facepack import build_pack
    from vec2face.errors import InputError

    values = load_recipe(recipe, PackRecipe)
    if (out / "index.json").exists() and not overwrite:
        raise InputError(f"{out} already holds a face pack; choose another --out or add --overwrite.")
    console = Console(stderr=True)
    with console.status("packing faces") as status:
        faces = build_pack(
            values,
            root=root,
            out=out,
            on_image=lambda n: status.update(f"packing faces: {n} images") if n % 500 == 0 else None,
        )
    click.echo(
        f"{faces.facts['images']} faces in {out}; {faces.facts['held_out_images']} images of "
        f"{faces.facts['held_out_people']} people are held out."
    )
