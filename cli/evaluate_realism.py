"""`vec2face evaluate realism`: how close a set of faces comes to real ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vec2face_cli.locations import LocalPath

if TYPE_CHECKING:
    from vec2face.evaluation.realism import Compared, Realism

_PATH = LocalPath(exists=True)
_PART = click.Choice(["all", "held-out", "training"])


@click.command()
@click.argument("faces", type=_PATH)
@click.option("--reference", type=_PATH, required=True, help="Real faces, of any of the same kinds.")
@click.option("--embedder", "embedder_ref", default="embedded", show_default=True, help="Name, folder or ONNX file.")
@click.option("--faces-part", type=_PART, default="all", show_default=True, help="Of FACES, where it is a pack.")
@click.option("--reference-part", type=_PART, default="all", show_default=True, help="Of the reference.")
@click.option("--whole-only", is_flag=True, help="Leave out a pack's faces whose crop is padded.")
@click.option(
    "--images-per-person",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Most images of a person; at random.",
)
@click.option(
    "--limit", type=click.IntRange(min=8), default=10_000, show_default=True, help="Most images of a set; at random."
)
@click.option("--splits", type=click.IntRange(min=2), default=5, show_default=True, help="Halvings of the reference.")
@click.option("--resamples", type=click.IntRange(min=10), default=100, show_default=True, help="Of the bootstrap.")
@click.option(
    "--neighbours", type=click.IntRange(min=1), default=3, show_default=True, help="k of precision and recall."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images in one pass.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--json", "json_file", type=LocalPath(), help="Write the figures to this file as well.")
def realism(
    faces: Path,
    reference: Path,
    embedder_ref: str,
    faces_part: Literal["all", "held-out", "training"],
    reference_part: Literal["all", "held-out", "training"],
    whole_only: bool,
    images_per_person: int,
    limit: int,
    splits: int,
    resamples: int,
    neighbours: int,
    seed: int,
    batch_size: int,
    device: str,
    json_file: Path | None,
) -> None:
    """Compare FACES with real ones: Frechet and kernel distance, precision and recall, beside real against real.

    FACES is a dataset, a face pack, a folder of aligned 112x112 crops (a folder inside it is one person), or a .npy
    file of embeddings. An embedder that took part in training the generator is partial: ask another one.

    \b
    Example:
      vec2face evaluate realism DATASET --reference PACK --whole-only --embedder JUDGE
    """
    from vec2face.checkpoints import load_embedder
    from vec2face.evaluation.embeddings import move
    from vec2face.evaluation.realism import measure_realism
    from vec2face.evaluation.realism_faces import embed_faces, open_faces
    from vec2face.fileio.atomic import write_json
    from vec2face_cli.progress import TerminalProgress

    # Both sets are opened before the first image is embedded, so that a mistake in the second costs nothing.
    sources = [
        ("the faces", open_faces(faces, part=faces_part, whole_only=whole_only)),
        ("the reference", open_faces(reference, part=reference_part, whole_only=whole_only)),
    ]
    network = move(load_embedder(embedder_ref), device)
    with TerminalProgress() as progress:
        made, real = (
            embed_faces(
                source,
                name=name,
                embedder=network,
                images_per_person=images_per_person,
                limit=limit,
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
            for name, source in sources
        )
        found = measure_realism(
            made,
            real,
            embedder=network.name,
            splits=splits,
            resamples=resamples,
            neighbours=neighbours,
            seed=seed,
            progress=progress,
        )
    if json_file is not None:
        write_json(json_file, found.to_dict())
    _print(found)


def _print(found: "Realism") -> None:
    counts, everything = found.counts, found.frechet_all
    click.echo(
        f"{counts['faces']:,} faces of {counts['faces_people']:,} people, {counts['reference']:,} real ones of "
        f"{counts['reference_people']:,}; {found.embedder}, width {found.width}"
    )
    click.echo(f"At {found.size:,} images a side, mean +- sd of {found.splits} splits:")
    click.echo(f"{'':20}{'faces':>22}{'real against real':>24}")
    rows: list[tuple[str, Compared]] = [
        ("Frechet distance", found.frechet),
        ("kernel distance", found.kernel),
        ("precision", found.precision),
        ("recall", found.recall),
    ]
    for name, figure in rows:
        cells = [f"{side.mean:.4g} +- {side.sd:.2g}" for side in (figure.faces, figure.real)]
        click.echo(f"{name:20}{cells[0]:>22}{cells[1]:>24}")
    click.echo(
        f"Frechet distance of all images {everything.plain:.4g}; without its bias {everything.corrected:.4g} "
        f"(95 % interval {everything.low:.4g} to {everything.high:.4g}); "
        f"the reference's variance is {found.variance:.4g}"
    )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}.")
