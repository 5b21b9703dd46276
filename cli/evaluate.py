"""`vec2face evaluate`: measure embedders, generators and sets of faces."""

from pathlib import Path

import click

from vec2face_cli.evaluate_compare import compare
from vec2face_cli.evaluate_identification import identification
from vec2face_cli.evaluate_ijb import ijb
from vec2face_cli.evaluate_realism import realism
from vec2face_cli.evaluate_sheets import sheets
from vec2face_cli.evaluate_verification import verification
from vec2face_cli.locations import LocalPath


@click.group()
def evaluate() -> None:
    """Measure an embedder on a verification set, and how real and recognisable generated faces are."""


evaluate.add_command(compare)
evaluate.add_command(identification)
evaluate.add_command(ijb)
evaluate.add_command(realism)
evaluate.add_command(sheets)
evaluate.add_command(verification)


@evaluate.command("operating-points")
@click.argument("embedder")
@click.argument("pack", type=LocalPath(file_okay=False))
@click.option("--out", type=LocalPath(), help="Write the thresholds to this JSON file.")
def operating_points_command(embedder: str, pack: Path, out: Path | None) -> None:
    """Measure at which cosine EMBEDDER takes strangers of PACK (a face pack with named people) for one person.

    \b
    Example:
      vec2face evaluate operating-points embedded PACK --out operating_points.json
    """
    from rich.console import Console

    from vec2face.checkpoints import load_embedder
    from vec2face.data.facepack import FacePack
    from vec2face.evaluation.operating_points import operating_points
    from vec2face.fileio.atomic import write_json

    faces, network = FacePack.load(pack), load_embedder(embedder)
    with Console(stderr=True).status("embedding faces") as status:
        found = operating_points(
            network, faces, on_image=lambda done, total: status.update(f"embedding faces: {done} of {total}")
        )
    if out is not None:
        write_json(out, found.thresholds)
    click.echo(f"{found.people:,} people, {found.pairs:,} pairs of strangers")
    for name, threshold in found.thresholds.items():
        click.echo(f"{name}  {threshold:.4f}")


@evaluate.command()
@click.argument("pack", type=LocalPath(file_okay=False))
@click.option("--generator", "generator_ref", default="embedded", show_default=True, help="Name, folder or hub id.")
@click.option("--embedder", "embedder_ref", default="embedded", show_default=True, help="Gives the identity vectors.")
@click.option("--judge", "judge_refs", multiple=True, help="A recogniser that took no part in training; repeatable.")
@click.option("--sheet", type=LocalPath(), required=True, help="Picture to write (.png or .jpg).")
@click.option("--json", "json_file", type=LocalPath(), help="Write the figures to this file as well.")
def reconstruction(
    pack: Path, generator_ref: str, embedder_ref: str, judge_refs: tuple[str, ...], sheet: Path, json_file: Path | None
) -> None:
    """Rebuild one face of every person that PACK (a face pack) holds out from its own identity vector.

    \b
    Example:
      vec2face evaluate reconstruction PACK --judge recogniser/ --sheet rebuilt.png
    """
    from rich.console import Console

    from vec2face.checkpoints import load_embedder, load_generator
    from vec2face.data.facepack import FacePack
    from vec2face.evaluation.reconstruction import reconstruct
    from vec2face.fileio.atomic import write_json

    faces, generator = FacePack.load(pack), load_generator(generator_ref)
    embedder, judges = load_embedder(embedder_ref), [load_embedder(ref) for ref in judge_refs]
    with Console(stderr=True).status("rebuilding faces") as status:
        found = reconstruct(
            faces,
            generator=generator,
            embedder=embedder,
            judges=judges,
            sheet=sheet,
            on_image=lambda done, total: status.update(f"rebuilding faces: {done} of {total}"),
        )
    if json_file is not None:
        write_json(json_file, found.to_dict())
    click.echo(f"{found.faces} held-out people; sheet: {sheet}")
    for likeness in found.likeness:
        click.echo(
            f"{likeness.network}: cosine to the own rendering {likeness.own:.3f}, to others {likeness.strangers:.3f}, "
            f"own rendering nearest {100 * likeness.rank1:.1f} %"
        )
        if likeness.frechet is not None:
            click.echo(
                f"{likeness.network}: Frechet distance to real faces {likeness.frechet:.4g}, "
                f"real against real {likeness.frechet_floor:.4g}"
            )
