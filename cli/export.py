"""`vec2face export`: write a dataset in a foreign format."""

from typing import Literal

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION


@click.command(short_help="Write a dataset in a foreign format, without touching an image's bytes.")
@click.argument("dataset")
@click.option(
    "--to",
    type=click.Choice(["recordio", "lmdb", "folder", "parquet", "webdataset"]),
    required=True,
    help="Format to write.",
)
@click.option("--out", type=LOCATION, required=True, help="Folder of the export; it appears when all is written.")
@click.option(
    "--dialect", type=click.Choice(["insightface", "im2rec"]), help="Dialect of recordio; insightface by default."
)
@click.option(
    "--features",
    metavar="REF",
    help="Put a vector beside each image (lmdb, parquet, webdataset): an embedder's, or those 'stored' there.",
)
@click.option(
    "--images-per-file",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Images of one archive or parquet file, and of the unit of resuming.",
)
@click.option("--people", type=click.Choice(["auto", "folders", "none"]), default="auto", help="What folders say.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="For --features.")
def export(
    *,
    dataset: str,
    to: Literal["recordio", "lmdb", "folder", "parquet", "webdataset"],
    out: Location,
    dialect: Literal["insightface", "im2rec"] | None,
    features: str | None,
    images_per_file: int,
    people: Literal["auto", "folders", "none"],
    device: Literal["cpu", "cuda"],
) -> None:
    """Write DATASET, or any labelled face set that can be read, in another format.

    Images keep their bytes, people are numbered without gaps, and labels.csv says who is who. A stopped export goes on
    where it ended, to the same bytes; until it is complete it stands under OUT.partial.

    \b
    Examples:
      vec2face export faces --to recordio --out faces-rec
      vec2face export faces --to lmdb --features embedded --out faces-lmdb
      vec2face export faces --to parquet --out faces-hf
    """
    from vec2face.interchange.export import export as export_set
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    with kept_when_stopped("what is written so far is kept"), TerminalProgress() as progress:
        written = export_set(
            dataset,
            out,
            to=to,
            dialect=dialect,
            features=features,
            images_per_file=images_per_file,
            people=people,
            device=device,
            progress=progress,
        )
    click.echo(written.sentence)
