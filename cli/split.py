"""`vec2face split`: a dataset as several that share no person."""

from typing import Any

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION


class SharesType(click.ParamType):
    """`NAME=SHARE,NAME=SHARE`, such as train=0.9,val=0.1."""

    name = "NAME=SHARE,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        shares: dict[str, float] = {}
        for part in str(value).split(","):
            name, _, share = part.partition("=")
            try:
                number = float(share)
            except ValueError:
                self.fail(f"{part!r} is not NAME=SHARE, such as train=0.9", param, ctx)
            if name.strip() in shares:
                self.fail(f"{name.strip()!r} is named twice", param, ctx)
            shares[name.strip()] = number
        return shares


@click.command(short_help="Write a dataset as several that have no person in common.")
@click.argument("dataset")
@click.option("--out", type=LOCATION, required=True, help="Folder of the parts' folders.")
@click.option("--parts", type=SharesType(), required=True, help="Name of each part and its share of the people.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@click.option(
    "--images-per-shard", type=click.IntRange(min=1), default=10_000, show_default=True, help="Images of one archive."
)
def split(*, dataset: str, out: Location, parts: dict[str, float], seed: int, images_per_shard: int) -> None:
    """Write DATASET as several datasets, OUT/NAME, each with a share of the people drawn by --seed.

    \b
    Example:
      vec2face split faces --parts train=0.9,val=0.1 --out faces-parts
    """
    from vec2face.interchange.choose import split as split_set
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    with kept_when_stopped("finished shards are kept"), TerminalProgress() as progress:
        written = split_set(dataset, out, parts, seed=seed, images_per_shard=images_per_shard, progress=progress)
    for part in written:
        click.echo(part.sentence)
