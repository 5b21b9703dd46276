"""What the protocols of `vec2face evaluate` share: the options of a measurement, and where its results go."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vec2face_cli.locations import LocalPath

if TYPE_CHECKING:
    from vec2face.cards.benchmark import Document

_OPTIONS = (
    click.option(
        "--format", "checkpoint_format", metavar="FORMAT", help="Layout of SUBJECT, where it is a bare checkpoint."
    ),
    click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Images in one pass."),
    click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True),
    click.option("--out", type=LocalPath(), help="Folder for result.json, result.html, result.md and plots."),
    click.option("--overwrite", is_flag=True, help="Replace an existing result."),
    click.option("--json", "json_file", type=LocalPath(), help="Write the figures to this file as well."),
)


def measurement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `checkpoint_format`, `batch_size`, `device`, `out`, `overwrite` and `json_file`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def prepare_output(out: Path | None, json_file: Path | None, *, overwrite: bool) -> None:
    """Refuse, before any work, outputs that stand there already or cannot be written.

    Raises:
        InputError: `out` holds a result and `overwrite` is not asked for.
        StorageError: a folder cannot be written.
    """
    from vec2face.errors import InputError
    from vec2face.fileio.outputs import require_writable

    if out is not None:
        if out.is_file():
            raise InputError(f"{out} is a file; --out names a folder.")
        if (out / "result.json").exists() and not overwrite:
            raise InputError(f"{out} already holds a result.json; choose another folder or add --overwrite.")
        require_writable(out, output=out)
    if json_file is not None:
        require_writable(json_file.resolve().parent, output=json_file)


def write_output(facts: Mapping[str, Any], document: "Document", out: Path | None, json_file: Path | None) -> None:
    """Write `result.json`, `result.md` and `result.html` to `out`, and the facts to `json_file`, where asked for."""
    from vec2face.cards.benchmark import write_document
    from vec2face.fileio.atomic import write_json

    if json_file is not None:
        write_json(json_file, facts)
    if out is not None:
        write_document(document, out, "result")
        write_json(out / "result.json", facts)  # last: it says that the result is whole


def print_pixels(subject: Mapping[str, Any]) -> None:
    """Print what pixels a network was fed, and whether that is a guess; nothing for stored embeddings."""
    from vec2face.cards.benchmark import PIXELS_ASSUMED

    if subject["kind"] == "network":
        contract = subject["contract"]
        mean, std = (", ".join(f"{value:.4g}" for value in contract[key]) for key in ("mean", "std"))
        click.echo(f"{subject['name']} was fed {contract['color_order']} pixels, mean ({mean}), std ({std}).")
        if subject["contract_assumed"]:
            file = f"{subject['name']}.contract.json"
            click.echo(f"Note: {PIXELS_ASSUMED}; if it was trained on others, state them in {file}.")
