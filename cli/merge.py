"""`vec2face merge`: join datasets of different people."""

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION


@click.command(short_help="Join datasets of different people into one.")
@click.argument("datasets", nargs=-1, required=True)
@click.option("--out", type=LOCATION, required=True, help="Folder of the new dataset.")
@click.option("--name", help="Name of the new dataset; its folder's by default.")
@click.option(
    "--images-per-shard", type=click.IntRange(min=1), default=10_000, show_default=True, help="Images of one archive."
)
def merge(*, datasets: tuple[str, ...], out: Location, name: str | None, images_per_shard: int) -> None:
    """Join DATASETS into one, people numbered anew; origin.csv says who was who.

    Images are compared first: an image in two datasets, or images of different sizes, are refused. Whether one person
    stands in two datasets is a question for the audit. A stopped merge goes on where it ended.

    \b
    Example:
      vec2face merge faces more-faces --out all-faces
    """
    from vec2face.interchange.merge import merge as merge_sets
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    with kept_when_stopped("finished shards are kept"), TerminalProgress() as progress:
        written = merge_sets(datasets, out, name=name, images_per_shard=images_per_shard, progress=progress)
    click.echo(written.sentence)
