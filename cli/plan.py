"""`vec2face plan`: what a recipe will take, before it is run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face_cli.locations import LocalPath

if TYPE_CHECKING:
    from collections.abc import Callable

    from vec2face.config.generation import GenerateRecipe
    from vec2face.config.rates import Rates
    from vec2face.generation.estimate import Estimate, Span

COUNT = click.IntRange(min=1)
FILE = LocalPath(dir_okay=False)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@click.command()
@click.argument("recipe")
@click.option("--identities", "count", type=COUNT, help="How many identities.")
@click.option("--images-per-identity", type=COUNT, help="Images of each identity.")
@click.option("--identities-per-shard", type=COUNT, help="Identities in one archive, the unit of work.")
@click.option("--measure", is_flag=True, help="Render some images of the recipe here, with one worker, for their rate.")
@click.option("--seconds", type=click.FloatRange(min=0), help="How long --measure renders.  [default: 10]")
@click.option("--save-rates", type=FILE, help="Write down what --measure found.")
@click.option("--rates", "rates_file", type=FILE, help="Take what --save-rates wrote, perhaps on another machine.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Images a second of one worker.")
@click.option("--workers", type=COUNT, default=1, show_default=True, help="Processes or GPUs that render.")
@click.option("--price-per-hour", type=click.FloatRange(min=0), help="Price of one worker, in any currency.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def plan(
    *,
    recipe: str,
    count: int | None,
    images_per_identity: int | None,
    identities_per_shard: int | None,
    measure: bool,
    seconds: float | None,
    save_rates: Path | None,
    rates_file: Path | None,
    rate: float | None,
    workers: int,
    price_per_hour: float | None,
    as_json: bool,
) -> None:
    """Say how many shards and bytes RECIPE gives, and what time and money it takes on given hardware.

    RECIPE is a YAML file or the name of a shipped recipe. Time comes from measured rates: those of this machine
    (--measure), of a file measured on the machine that will render (--rates), or one you know (--rate). No rate of any
    hardware is assumed; without one, time and cost are left out. The audit is not part of the estimate.

    \b
    Examples:
      vec2face plan demo --measure
      vec2face plan demo --identities 100000 --rates gpu.json --workers 8 --price-per-hour 2.50
      vec2face plan demo --identities 100000 --rate 400 --workers 8 --json
    """
    if measure and rates_file is not None:
        raise click.UsageError("--measure and --rates exclude each other.")
    for option, value in (("--seconds", seconds), ("--save-rates", save_rates)):
        if value is not None and not measure:
            raise click.UsageError(f"{option} belongs to --measure.")
    from vec2face.generation.recipe import find_recipe

    changes = {
        "identities": {"count": count},
        "images_per_identity": images_per_identity,
        "shards": {"identities_per_shard": identities_per_shard},
    }
    chosen = find_recipe(recipe, Path(), changes=changes)
    rates = _rates(chosen, 10.0 if seconds is None else seconds, save_rates) if measure else None
    if rates_file is not None:
        rates = _read_rates(rates_file)
    from vec2face.generation.estimate import estimate

    found = estimate(chosen, workers=workers, rates=rates, images_per_second=rate, price_per_hour=price_per_hour)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else "\n".join(_lines(found)))


def _rates(recipe: "GenerateRecipe", seconds: float, save: Path | None) -> "Rates":
    from vec2face.fileio.atomic import write_json
    from vec2face.fileio.outputs import require_writable
    from vec2face_cli.progress import TerminalProgress

    if save is not None:
        require_writable(save.resolve().parent, output=save)
    # After the recipe and the options, so that their mistakes are told without loading torch.
    from vec2face.generation.measure import measure_rates

    with TerminalProgress() as progress:
        rates = measure_rates(recipe, seconds=seconds, progress=progress)
    if save is not None:
        write_json(save, rates.model_dump(mode="json"))
    return rates


def _read_rates(path: Path) -> "Rates":
    from vec2face.config.base import parse
    from vec2face.config.rates import Rates
    from vec2face.errors import InputError

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValueError:
        raise InputError(f"{path} is no file of rates; write one with vec2face plan --measure --save-rates.") from None
    return parse(Rates, values, where=str(path))


def _lines(found: "Estimate") -> list[str]:
    measured = found.measured
    source = f"measured on {measured.images:,} images" if measured else "assumed; --measure tells"
    lines = [
        f"{found.name}: {found.identities:,} identities, {found.images:,} images, {found.shards:,} shards of "
        f"{found.images_per_shard:,}",
        f"size:       {_size(found.bytes)}, {found.bytes / found.images:,.0f} bytes an image ({source})",
    ]
    if found.sampling is None:
        lines.append("identities: time to sample them is not known; --measure tells")
    elif found.sampling and measured is not None and measured.sampled is not None:
        lines.append(
            f"identities: {_time(found.sampling)} to sample, in one process (by pairs, from {measured.sampled:,} in "
            f"{measured.sampling_seconds:,.1f} s)"
        )
    if found.selection is not None and found.selection.most:
        lines.append(f"            {_span(found.selection, _time)} to render the pictures that choose, in one process")
    if found.rendering is None or found.hours is None:
        return [*lines, "time:       not known; give --measure, --rates FILE or --rate IMAGES_PER_SECOND"]
    idle = found.workers - found.busy_workers
    note = f"; {idle:,} have no shard, make shards smaller" if idle else ""
    workers = f"{found.workers:,} worker{'s' * (found.workers != 1)}"
    lines.append(
        f"rendering:  {_time(found.rendering)} with {workers} of {found.images_per_second:,.1f} images/s{note}"
    )
    lines.append(f"in all:     {_span(found.hours, lambda hours: _time(hours * HOUR))}, without the audit")
    if found.cost is not None:
        lines.append(f"cost:       {_span(found.cost, lambda cost: f'{cost:,.2f}')}")
    if measured is not None:
        lines.append(f"rates:      {measured.machine}")
    return lines


def _span(span: "Span", shown: "Callable[[float], str]") -> str:
    least, most = shown(span.least), shown(span.most)
    return least if least == most else f"{least} to {most}"


def _size(count: float) -> str:
    scale, unit = next(((s, u) for s, u in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if count >= s), (1e3, "kB"))
    return f"{count / scale:,.1f} {unit}"


def _time(seconds: float) -> str:
    for limit, unit, size in ((2 * MINUTE, "s", 1.0), (2 * HOUR, "min", MINUTE), (2 * DAY, "h", HOUR)):
        if seconds < limit:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds / DAY:,.1f} days"
