"""`vec2face weights`: list, pull, import, export and show network weights."""

import json
from pathlib import Path

import click

from vec2face.registry import FORMAT_NOTES
from vec2face_cli.locations import LocalPath

FORMATS_HELP = "\b\nFormats:\n" + "\n".join(f"  {name:<20} {note}" for name, note in FORMAT_NOTES.items())


@click.group()
def weights() -> None:
    """List, pull, import and export network weights.

    \b
    Examples:
      vec2face weights list
      vec2face weights pull vec2face-base arcface-r100-glint360k
      vec2face weights import my_r50.pth --format arcface-torch --out my_r50
      vec2face weights show my_r50
    """


@weights.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_weights(as_json: bool) -> None:
    """List the known weights and files."""
    from vec2face.registry import ENTRIES

    if as_json:
        from dataclasses import asdict

        rows = [{**asdict(entry), "present": entry.present} for entry in ENTRIES.values()]
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "tier", "here"):
        table.add_column(column, no_wrap=True)
    table.add_column("purpose")
    table.add_column("licence")
    for entry in ENTRIES.values():
        table.add_row(
            entry.name, entry.kind, entry.tier, "yes" if entry.present else "no", entry.purpose, entry.licence
        )
    Console().print(table)


@weights.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--sha256", help="The digest that the (one) file must have; by default the known or first seen one.")
def pull(names: tuple[str, ...], sha256: str | None) -> None:
    """Download published files by name, verify and convert them."""
    from vec2face.errors import InputError
    from vec2face.registry import find_entry

    entries = [find_entry(name) for name in names]
    if sha256 is not None and len(entries) != 1:
        raise InputError("--sha256 is the digest of one file; pull one name at a time with it.")
    for entry in entries:
        entry.published_at  # noqa: B018  refuses the embedded tier before anything is downloaded
    from vec2face.checkpoints.pull import pull as pull_entry

    for entry in entries:
        repository, file = entry.published_at
        click.echo(f"{entry.name}: pulling {file} from {repository} (licence: {entry.licence})", err=True)
        click.echo(f"{entry.name}: {pull_entry(entry, expected=sha256)}")


@weights.command("import", epilog=FORMATS_HELP)
@click.argument("file", type=LocalPath())
@click.option("--format", "format_name", required=True, type=click.Choice(list(FORMAT_NOTES)), metavar="FORMAT")
@click.option("--out", required=True, type=LocalPath(), help="The new folder.")
@click.option("--name", help="Feature space: an embedder's own, or the one a generator takes its vectors from.")
@click.option("--licence", default="not stated", show_default=True, help="The weights' terms, for the provenance.")
def import_weights(file: Path, format_name: str, out: Path, name: str | None, licence: str) -> None:
    """Convert a published checkpoint FILE to a folder that every command reads."""
    from vec2face.checkpoints import import_checkpoint

    import_checkpoint(file, format_name, out, name=name, licence=licence)
    click.echo(str(out))


@weights.command(epilog=FORMATS_HELP)
@click.argument("folder", type=LocalPath())
@click.option("--format", "format_name", required=True, type=click.Choice(list(FORMAT_NOTES)), metavar="FORMAT")
@click.option("--out", required=True, type=LocalPath(), help="The new .pth file.")
def export(folder: Path, format_name: str, out: Path) -> None:
    """Write a network's FOLDER as the published code reads it."""
    from vec2face.checkpoints import export_checkpoint

    export_checkpoint(folder, format_name, out)
    click.echo(str(out))


@weights.command()
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def show(ref: str, as_json: bool) -> None:
    """Show what a folder or a registry name holds: terms, source, configuration, digest."""
    from vec2face.checkpoints.describe import describe

    facts = describe(ref)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        click.echo(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")


@weights.command("release")
@click.argument("folder", type=LocalPath(file_okay=False))
@click.option("--out", type=LocalPath(), required=True, help="The new folder.")
@click.option("--card", type=LocalPath(dir_okay=False), required=True, help="The network's card.json.")
@click.option("--precision", type=click.Choice(["float16", "float32"]), default="float16", show_default=True)
@click.option(
    "--operating-points",
    type=LocalPath(dir_okay=False),
    help='An embedder\'s cosine thresholds, JSON such as {"fmr_1e-4": 0.42}.',
)
def release_weights(folder: Path, out: Path, card: Path, precision: str, operating_points: Path | None) -> None:
    """Write a trained network's FOLDER as it is shipped: half-size weights, origin and terms."""
    from vec2face.checkpoints.release import release

    release(
        folder,
        out,
        card=card,
        precision="float32" if precision == "float32" else "float16",
        operating_points=operating_points,
    )
    click.echo(f"{out} is ready to be shipped.")
