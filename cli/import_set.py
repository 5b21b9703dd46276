"""`vec2face import`: make a dataset of a foreign face set."""

from typing import Literal

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION


@click.command("import", short_help="Make a dataset of a foreign face set, bytes untouched.")
@click.argument("source")
@click.option("--out", type=LOCATION, required=True, help="Folder of the dataset.")
@click.option(
    "--from",
    "expected",
    type=click.Choice(["auto", "recordio", "lmdb", "folder", "parquet", "webdataset"]),
    default="auto",
    show_default=True,
    help="Format that SOURCE must be of; auto tells it by its content.",
)
@click.option("--name", help="Name of the dataset; the source's by default.")
@click.option("--licence", default="not stated", show_default=True, help="Terms of use of the images.")
@click.option("--consent", default="not stated", show_default=True, help="Whether the people shown agreed.")
@click.option(
    "--images-per-shard", type=click.IntRange(min=1), default=10_000, show_default=True, help="Images of one archive."
)
@click.option("--people", type=click.Choice(["auto", "folders", "none"]), default="auto", help="What folders say.")
def import_set(
    *,
    source: str,
    out: Location,
    expected: Literal["auto", "recordio", "lmdb", "folder", "parquet", "webdataset"],
    name: str | None,
    licence: str,
    consent: str,
    images_per_shard: int,
    people: Literal["auto", "folders", "none"],
) -> None:
    """Make a dataset of SOURCE, a labelled face set in a format of others.

    SOURCE is an image folder, WebDataset archives, RecordIO, LMDB or Hugging Face parquet. Its images keep their bytes;
    the dataset can be verified, audited, trained on and exported. A stopped import goes on where it ended; until it is
    complete it stands under OUT.partial.

    \b
    Examples:
      vec2face import hsface10k.lmdb --out hsface10k --licence "research only"
      vec2face import ms1m/train.rec --from recordio --out ms1m
    """
    from vec2face.interchange.imports import import_set as make_dataset
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    with kept_when_stopped("finished shards are kept"), TerminalProgress() as progress:
        written = make_dataset(
            source,
            out,
            expected=expected,
            name=name,
            licence=licence,
            consent=consent,
            images_per_shard=images_per_shard,
            people=people,
            progress=progress,
        )
    click.echo(written.sentence)
