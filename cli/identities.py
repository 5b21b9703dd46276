"""`vec2face identities`: make and inspect banks of identity vectors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face.fileio.location import Location
from vec2face_cli.identity_capacity import capacity
from vec2face_cli.identity_options import EXISTING_FILE, NEW_FILE, OVERWRITE, staged
from vec2face_cli.identity_sampling import sample
from vec2face_cli.identity_selection import select
from vec2face_cli.locations import LocalPath, LocationType

if TYPE_CHECKING:
    from vec2face.identities.inspect import BankSummary


_BAR = 40  # characters of the longest bar


@click.group()
def identities() -> None:
    """Make and inspect banks of identity vectors.

    A bank holds one vector per identity, with its id and its origin; `vec2face generate --bank` renders it.

    \b
    Examples:
      vec2face identities sample --count 1000 --out bank.safetensors
      vec2face identities select bank.safetensors --count 500 --out apart.safetensors
      vec2face identities from-images photos/ --detector yunet.onnx --out bank.safetensors
      vec2face identities inspect bank.safetensors
    """


for _command in (sample, select, capacity):
    identities.add_command(_command)


@identities.command("from-images")
@click.argument("photos", nargs=-1, required=True, type=LocationType(exists=True))
@click.option(
    "--detector", type=EXISTING_FILE, help="Face detector (.onnx: YuNet or SCRFD); without one, PHOTOS are crops."
)
@click.option(
    "--embedder",
    metavar="REF",
    default="embedded",
    show_default=True,
    help="Embedder: a registry name, folder or file.",
)
@click.option("--per-person", is_flag=True, help="One identity per folder: the mean vector of the photos in it.")
@click.option("--skip-unusable", is_flag=True, help="Leave out photos that cannot be used, and say which and why.")
@click.option("--crops-out", type=LocalPath(file_okay=False), help="Also write the aligned faces here, as PNG.")
@click.option("--out", type=NEW_FILE, required=True, help="The bank to write (.safetensors).")
@OVERWRITE
def from_images(
    photos: tuple[Location, ...],
    detector: Location | None,
    embedder: str,
    per_person: bool,
    skip_unusable: bool,
    crops_out: Path | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Make identities from PHOTOS, which are files or folders of them.

    Each photo gives one identity, named after the file; of several faces the largest is taken. Without --detector the
    photos must be 112x112 crops in the ArcFace alignment.

    \b
    Examples:
      vec2face identities from-images photos/ --detector yunet.onnx --out bank.safetensors
      vec2face identities from-images people/ --per-person --detector yunet.onnx --out bank.safetensors
      vec2face identities from-images crops/ --embedder arcface-r100-glint360k --out bank.safetensors
    """
    from vec2face.fileio.outputs import require_new

    require_new(out, overwrite=overwrite)
    if crops_out is not None:
        require_new(crops_out, overwrite=overwrite)

    from vec2face.checkpoints import load_embedder
    from vec2face.data.detection import open_detector
    from vec2face.data.photos import read_reference_faces, write_crops
    from vec2face.fileio.mirror import local_copy
    from vec2face.identities.references import bank_from_faces
    from vec2face_cli.progress import TerminalProgress

    opened = open_detector(local_copy(detector)) if detector is not None else None
    network = load_embedder(embedder)
    unusable: list[str] = []
    with TerminalProgress() as progress:
        faces = read_reference_faces(
            photos,
            opened,
            by_folder=per_person,
            on_unusable=unusable.append if skip_unusable else None,
            progress=staged(progress, "reading photos", "photos"),
        )
        bank = bank_from_faces(
            [face.name for face in faces],
            [face.pixels for face in faces],
            network,
            progress=staged(progress, "embedding faces", "faces"),
        )
    bank.save(out)
    if crops_out is not None:
        write_crops(faces, crops_out, by_folder=per_person)
    for problem in unusable:
        click.echo(f"Skipped: {problem}", err=True)
    for face in faces:
        if face.notes:
            click.echo(f"Note: {face.path}: {'; '.join(face.notes)}.", err=True)
    skipped = f"; {len(unusable)} photos skipped" if unusable else ""
    click.echo(f"{len(bank)} identities of width {bank.width} from {len(faces)} photos in {out}{skipped}.")


@identities.command("inspect")
@click.argument("bank", type=EXISTING_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_bank(bank: Location, as_json: bool) -> None:
    """Measure BANK: norms, its closest pair, how many identities keep apart, and the histogram of their cosines.

    BANK may also be plain vectors (.npy, .safetensors).

    \b
    Examples:
      vec2face identities inspect bank.safetensors
      vec2face identities inspect bank.safetensors --json
    """
    from vec2face.identities import IdentityBank
    from vec2face.identities.inspect import summarise
    from vec2face_cli.progress import TerminalProgress

    loaded = IdentityBank.load(bank)
    with TerminalProgress() as progress:
        facts = summarise(loaded, progress=staged(progress, "comparing identities", "identities"))
    click.echo(json.dumps(facts.to_dict(), indent=2, sort_keys=True) if as_json else _as_text(facts))


def _as_text(facts: "BankSummary") -> str:
    lines = [
        f"identities       {facts.count}",
        f"width            {facts.width}",
        f"norm             mean {facts.norm_mean:.3f}, standard deviation {facts.norm_std:.3f}, "
        f"{facts.norm_min:.3f} to {facts.norm_max:.3f}",
    ]
    if facts.closest is not None:
        closest = facts.closest
        lines.append(f"closest pair     {closest.first} and {closest.second}, cosine {closest.cosine:.9f}")
    lines += [
        f"under {ceiling:<10} {under} identities have no other at or above this cosine"
        for ceiling, under in facts.under_ceiling.items()
    ]
    lines += [f"{key:<16} {value}" for key, value in sorted(facts.provenance.items())]
    return "\n".join([*lines, *_histogram(facts)])


def _histogram(facts: "BankSummary") -> list[str]:
    """Draw the pairs by their cosines, from the lowest bin that holds any to the highest."""
    counts = facts.histogram
    held = [number for number, count in enumerate(counts) if count]
    if not held:
        return []
    width, most = 2 / len(counts), max(counts)
    lines = [f"pairs by cosine, of {facts.histogram_identities:,} identities:"]
    for number in range(held[0], held[-1] + 1):
        low, bar = -1 + number * width, "#" * round(_BAR * counts[number] / most)
        lines.append(f"  {low:+.2f} to {low + width:+.2f}  {counts[number]:>13,} {bar}".rstrip())
    return lines
