"""`vec2face subset`: a part of a dataset as a dataset of its own."""

from typing import Any

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION


class RangeType(click.ParamType):
    """`K`, the first K, or `A:B`, from A up to, not including, B."""

    name = "K|A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        first, colon, last = str(value).partition(":")
        try:
            if not colon:
                return 0, int(first)
            return int(first or 0), int(last) if last else None
        except ValueError:
            self.fail(f"{value!r} is neither a number, such as 500, nor a range, such as 100:500", param, ctx)


@click.command(short_help="Write a part of a dataset as a dataset of its own.")
@click.argument("dataset")
@click.option("--out", type=LOCATION, required=True, help="Folder of the new dataset.")
@click.option("--identities", type=RangeType(), help="The first K people, or those from A up to, not including, B.")
@click.option("--where", help="Condition on the columns of metadata.parquet.")
@click.option("--images-per-identity", type=click.IntRange(min=1), help="The first so many images of each person.")
@click.option("--name", help="Name of the new dataset; its folder's by default.")
@click.option(
    "--images-per-shard", type=click.IntRange(min=1), default=10_000, show_default=True, help="Images of one archive."
)
def subset(
    *,
    dataset: str,
    out: Location,
    identities: tuple[int, int | None] | None,
    where: str | None,
    images_per_identity: int | None,
    name: str | None,
    images_per_shard: int,
) -> None:
    """Write a part of DATASET, bytes untouched, people numbered anew; origin.csv says who was who.

    Conditions are applied in the order people, --where, images of each person. --where takes comparisons of columns
    with numbers or texts in quotes, joined by and, or, not, in and parentheses; a missing value fulfils none.

    \b
    Examples:
      vec2face subset faces --identities 500 --out first-500
      vec2face subset faces --identities 500:1000 --images-per-identity 10 --out others
      vec2face subset faces --where "sigma < 0.5 and audit_status == 'consistent'" --out clean
    """
    if identities is None and where is None and images_per_identity is None:
        raise click.UsageError("say what to take: --identities, --where or --images-per-identity.")
    from vec2face.interchange.choose import Wanted
    from vec2face.interchange.choose import subset as take_subset
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    first, last = identities or (0, None)
    wanted = Wanted(first=first, last=last, where=where, images_per_identity=images_per_identity)
    with kept_when_stopped("finished shards are kept"), TerminalProgress() as progress:
        written = take_subset(dataset, out, wanted, name=name, images_per_shard=images_per_shard, progress=progress)
    click.echo(written.sentence)
