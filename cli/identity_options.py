"""What the commands on identities share: sources of candidates, files, progress."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vec2face.fileio.location import Location
from vec2face_cli.locations import LocalPath, LocationType

if TYPE_CHECKING:
    from vec2face.identities.sources import CandidateSource
    from vec2face_cli.progress import TerminalProgress

NEW_FILE = LocalPath(dir_okay=False)
EXISTING_FILE = LocationType(exists=True, dir_okay=False)
MAX_WIDTH = 65_536
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what is there already.")
# Options that one source alone takes.
_OWNERS = {"statistics": "pca", "width": "gaussian", "std": "gaussian", "candidates": "file"}
_NEEDED = {"pca": (), "gaussian": ("width", "std"), "file": ("candidates",)}
_FLAGS = {"candidates": "--file"}
_SOURCE = (
    click.option(
        "--source",
        type=click.Choice(["pca", "gaussian", "file"]),
        default="pca",
        show_default=True,
        help="Candidates: distributed as real features are; the same in every direction; or those of a file.",
    ),
    click.option(
        "--statistics", type=EXISTING_FILE, help="pca: statistics of real features [default: the embedded ones]"
    ),
    click.option("--width", type=click.IntRange(1, MAX_WIDTH), help="gaussian: features per vector."),
    click.option(
        "--std", type=click.FloatRange(min=0, min_open=True), help="gaussian: standard deviation per feature."
    ),
    click.option(
        "--file", "candidates", type=EXISTING_FILE, help="file: a bank, or plain vectors (.npy, .safetensors)."
    ),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a source: `source`, `statistics`, `width`, `std`, `candidates`."""
    for option in reversed(_SOURCE):
        command = option(command)
    return command


def check_source_options(ctx: click.Context, source: str) -> None:
    """Refuse options of another source, and a missing one."""
    for name, owner in _OWNERS.items():
        flag = _FLAGS.get(name, f"--{name}")
        if ctx.params[name] is not None and source != owner:
            raise click.UsageError(f"{flag} belongs to --source {owner}, not {source}.")
        if ctx.params[name] is None and name in _NEEDED[source]:
            raise click.UsageError(f"--source {source} needs {flag}.")


def open_source(
    *, statistics: Location | None, width: int | None, std: float | None, candidates: Location | None
) -> "CandidateSource":
    """Return the source that checked options name."""
    from vec2face.identities.sources import FileSource, GaussianSource, PcaSource

    if width is not None and std is not None:
        return GaussianSource(width, std)
    if candidates is not None:
        return FileSource(candidates)
    return PcaSource(statistics) if statistics is not None else PcaSource()


def staged(progress: "TerminalProgress", stage: str, unit: str) -> Callable[[int, int], None]:
    """Return a callback (done, total) that draws a stage, begun by its first call."""
    reported: int | None = None

    def report(done: int, total: int) -> None:
        nonlocal reported
        if reported is None:
            progress.begin(stage, total=total, unit=unit)
        progress.advance(done - (reported or 0))
        reported = done

    return report
