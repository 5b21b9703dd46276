"""`vec2face identities`: make and inspect banks of identity vectors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face.config.generation import DEFAULT_CEILING, MAX_IDENTITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from vec2face.identities.inspect import BankSummary
    from vec2face.identities.sources import CandidateSource
    from vec2face_cli.progress import TerminalProgress

NEW_FILE = click.Path(path_type=Path, dir_okay=False)
EXISTING_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
MAX_WIDTH = 65_536
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what is there already.")
# Options that one source alone takes.
_OWNERS = {"statistics": "pca", "width": "gaussian", "std": "gaussian", "candidates": "file"}
_NEEDED = {"pca": (), "gaussian": ("width", "std"), "file": ("candidates",)}
_FLAGS = {"candidates": "--file"}


@click.group()
def identities() -> None:
    """Make and inspect banks of identity vectors.

    A bank holds one vector per identity, with its id and its origin; `vec2face generate --bank` renders it.

    \b
    Examples:
      vec2face identities sample --count 1000 --out bank.safetensors
      vec2face identities from-images photos/ --detector yunet.onnx --out bank.safetensors
      vec2face identities inspect bank.safetensors
    """


@identities.command()
@click.option(
    "--source",
    type=click.Choice(["pca", "gaussian", "file"]),
    default="pca",
    show_default=True,
    help="Candidates: distributed as real features are; the same in every direction; or those of a file.",
)
@click.option("--statistics", type=EXISTING_FILE, help="pca: statistics of real features [default: the embedded ones]")
@click.option("--width", type=click.IntRange(1, MAX_WIDTH), help="gaussian: features per vector.")
@click.option("--std", type=click.FloatRange(min=0, min_open=True), help="gaussian: standard deviation per feature.")
@click.option("--file", "candidates", type=EXISTING_FILE, help="file: a bank, or plain vectors (.npy, .safetensors).")
@click.option("--count", type=click.IntRange(1, MAX_IDENTITIES), required=True, help="How many identities.")
@click.option(
    "--ceiling",
    type=click.FloatRange(-1, 1, min_open=True),
    default=DEFAULT_CEILING,
    show_default=True,
    help="Cosine that any two identities stay below.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the candidates (pca, gaussian).")
@click.option(
    "--max-candidates",
    type=click.IntRange(min=1),
    help="Give up after so many candidates [default: 100,000 and 50 per identity]",
)
@click.option("--out", type=NEW_FILE, required=True, help="The bank to write (.safetensors).")
@_OVERWRITE
@click.pass_context
def sample(
    ctx: click.Context,
    source: str,
    statistics: Path | None,
    width: int | None,
    std: float | None,
    candidates: Path | None,
    count: int,
    ceiling: float,
    seed: int,
    max_candidates: int | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Sample identities that keep apart.

    Candidates are taken in order; one is accepted if its cosine to every identity accepted before is below the ceiling.
    The same source, count, ceiling and seed give the same bank, and a larger count begins with the smaller one's
    identities. How many fit depends on the ceiling: where too few do, the command says how many did.

    \b
    Examples:
      vec2face identities sample --count 1000 --out bank.safetensors
      vec2face identities sample --count 20000 --ceiling 0.4 --seed 7 --out bank.safetensors
      vec2face identities sample --source gaussian --width 512 --std 0.967 --count 10000 --out bank.safetensors
      vec2face identities sample --source file --file centres.npy --count 500 --out bank.safetensors
    """
    from vec2face.fileio.outputs import require_new

    _check_source_options(ctx, source)
    require_new(out, overwrite=overwrite)

    from vec2face.identities import sample as sample_identities
    from vec2face_cli.progress import TerminalProgress

    opened = _open_source(source, statistics, width, std, candidates)
    accepted = 0

    def report(fitting: int, tried: int) -> None:
        nonlocal accepted
        progress.advance(fitting - accepted, note=f"{tried:,} candidates tried")
        accepted = fitting

    with TerminalProgress() as progress:
        progress.begin("choosing identities", total=count, unit="identities")
        bank = sample_identities(
            opened, count=count, ceiling=ceiling, seed=seed, max_candidates=max_candidates, progress=report
        )
    bank.save(out)
    tried = bank.provenance["candidates"]
    click.echo(f"{len(bank)} identities of width {bank.width} in {out}; {tried} candidates were tried.")


@identities.command("from-images")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
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
@click.option(
    "--crops-out", type=click.Path(path_type=Path, file_okay=False), help="Also write the aligned faces here, as PNG."
)
@click.option("--out", type=NEW_FILE, required=True, help="The bank to write (.safetensors).")
@_OVERWRITE
def from_images(
    photos: tuple[Path, ...],
    detector: Path | None,
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
    from vec2face.identities.references import bank_from_faces
    from vec2face_cli.progress import TerminalProgress

    opened = open_detector(detector) if detector is not None else None
    network = load_embedder(embedder)
    unusable: list[str] = []
    with TerminalProgress() as progress:
        faces = read_reference_faces(
            photos,
            opened,
            by_folder=per_person,
            on_unusable=unusable.append if skip_unusable else None,
            progress=_stage(progress, "reading photos", "photos"),
        )
        bank = bank_from_faces(
            [face.name for face in faces],
            [face.pixels for face in faces],
            network,
            progress=_stage(progress, "embedding faces", "faces"),
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the histogram of pairwise cosines.")
def inspect_bank(bank: Path, as_json: bool) -> None:
    """Measure BANK: norms, its closest pair, and how many identities keep apart.

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
        facts = summarise(loaded, progress=_stage(progress, "comparing identities", "identities"))
    click.echo(json.dumps(facts.to_dict(), indent=2, sort_keys=True) if as_json else _as_text(facts))


def _check_source_options(ctx: click.Context, source: str) -> None:
    for name, owner in _OWNERS.items():
        flag = _FLAGS.get(name, f"--{name}")
        if ctx.params[name] is not None and source != owner:
            raise click.UsageError(f"{flag} belongs to --source {owner}, not {source}.")
        if ctx.params[name] is None and name in _NEEDED[source]:
            raise click.UsageError(f"--source {source} needs {flag}.")
    if source == "file" and ctx.get_parameter_source("seed") == click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--source file takes the vectors in their order; --seed plays no part.")


def _open_source(
    source: str, statistics: Path | None, width: int | None, std: float | None, candidates: Path | None
) -> "CandidateSource":
    from vec2face.identities.sources import FileSource, GaussianSource, PcaSource

    if width is not None and std is not None:
        return GaussianSource(width, std)
    if candidates is not None:
        return FileSource(candidates)
    return PcaSource(statistics) if statistics is not None else PcaSource()


def _stage(progress: "TerminalProgress", stage: str, unit: str) -> "Callable[[int, int], None]":
    """Return a callback (done, total) that draws a stage, begun by its first call."""
    reported: int | None = None

    def report(done: int, total: int) -> None:
        nonlocal reported
        if reported is None:
            progress.begin(stage, total=total, unit=unit)
        progress.advance(done - (reported or 0))
        reported = done

    return report


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
    return "\n".join(lines)
