"""`vec2face verify`: re-hash a dataset."""

import sys

import click

from vec2face.fileio.location import Location
from vec2face.fileio.remote import RemotePath
from vec2face_cli.locations import LOCATION


@click.command(short_help="Re-hash a dataset and name what is damaged.")
@click.argument("dataset", type=LOCATION)
def verify(dataset: Location) -> None:
    """Check every file of DATASET, a folder or a URL, against its digest, and name what is missing or damaged.

    Ends with code 0 when the dataset is whole, and with 1 when it is not.

    \b
    Example:
      vec2face verify faces
    """
    from vec2face.generation.verify import verify as verify_dataset
    from vec2face_cli.progress import TerminalProgress

    with TerminalProgress() as progress:
        result = verify_dataset(dataset, progress=progress)
    if result.whole:
        click.echo(f"{dataset} is whole: {result.images:,} images in {result.shards:,} shards.")
        return
    for damage in result.damaged:
        click.echo(f"{damage.path}: {damage.problem}")
    for path in result.foreign:
        click.echo(f"{path}: not part of the dataset; move it elsewhere")
    if result.damaged:
        count = f"{len(result.damaged)} damaged or missing"
        if result.command is not None:
            click.echo(f"{count}; remove the dataset, and make it again with: vec2face {result.command}")
        else:
            check = " --check content" if isinstance(dataset, RemotePath) else ""
            click.echo(f"{count}; mend them with: vec2face generate --out {dataset}{check}")
    sys.exit(1)
