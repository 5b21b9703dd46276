"""What `generate` is told of where shards are rendered, and which of them."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vec2face.config.generation import GenerateRecipe
    from vec2face.fileio.location import Location
    from vec2face.generation.executor import Executor
    from vec2face.generation.launcher import ProcessPlace
    from vec2face.generation.part import Part

_FROM_SCHEDULER = "env"
_FOR_RAY = ("address", "cpus_per_worker", "gpus_per_worker", "retries", "wait_seconds")


class ShardIndexType(click.ParamType):
    """A number, or `env` for the one that a batch scheduler gave this job."""

    name = "INDEX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value)
        if text == _FROM_SCHEDULER:
            return text
        if text.isascii() and text.isdigit():
            return int(text)
        self.fail(f"{text!r} is neither a number from 0 on nor {_FROM_SCHEDULER}", param, ctx)


_OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Render in processes of this machine, or by actors on a Ray cluster.",
    ),
    click.option("--address", help="ray: auto, HOST:PORT or ray://HOST:PORT.  [default: RAY_ADDRESS; this machine]"),
    click.option("--cpus-per-worker", type=float, help="ray: CPUs reserved for each.  [default: its threads]"),
    click.option("--gpus-per-worker", type=float, help="ray: GPUs, or a share of one.  [default: 1 on cuda]"),
    click.option("--retries", type=int, help="ray: times a shard is tried again after its worker was lost."),
    click.option("--wait-seconds", type=float, help="ray: how long to wait for a place on the cluster."),
    click.option("--shard-range", metavar="FIRST:END", help="Render shards FIRST to END - 1 only."),
    click.option(
        "--shard-index",
        type=ShardIndexType(),
        help="Render one share of the shards only, counted from 0; env: the number of this job of an array.",
    ),
    click.option("--shard-count", type=click.IntRange(min=1), help="How many shares.  [default: as many as shards]"),
)


@dataclass(frozen=True)
class Placement:
    """The options of `placement_options`, as given."""

    executor: str
    address: str | None
    cpus_per_worker: float | None
    gpus_per_worker: float | None
    retries: int | None
    wait_seconds: float | None
    shard_range: str | None
    shard_index: int | str | None
    shard_count: int | None

    def part(self) -> "Part | None":
        """Return the part of the shards that was asked for, None for all.

        Raises:
            ConfigError: the range is none, or no scheduler gave this job a number.
        """
        if self.shard_count is not None and self.shard_index is None:
            raise click.UsageError("--shard-count belongs to --shard-index.")
        if self.shard_range is not None and self.shard_index is not None:
            raise click.UsageError("--shard-range and --shard-index exclude each other.")
        from vec2face.generation.part import ShardRange, ShardShare, scheduled_index

        if self.shard_range is not None:
            return ShardRange.parse(self.shard_range)
        if self.shard_index is None:
            return None
        index = scheduled_index(os.environ) if isinstance(self.shard_index, str) else self.shard_index
        return ShardShare(index, self.shard_count)

    def place(self, workers: int | None) -> "ProcessPlace | None":
        """Return this process's place among those of a launcher, None without one.

        Raises:
            ConfigError: what the launcher said makes no sense.
        """
        from vec2face.generation.launcher import find_place

        place = find_place(os.environ)
        if place is not None and (workers or self.executor == "ray"):
            raise click.UsageError("a launcher started several processes; leave --workers and --executor ray out.")
        return place

    def on_ray(self, workers: int | None) -> "Executor | None":
        """Return Ray's executor if it was asked for. Raises `ConfigError` if its options are out of range."""
        given = {name: getattr(self, name) for name in _FOR_RAY if getattr(self, name) is not None}
        if self.executor != "ray":
            for name in given:
                raise click.UsageError(f"--{name.replace('_', '-')} belongs to --executor ray.")
            return None
        from vec2face.config.base import parse
        from vec2face.config.cluster import RayOptions

        options = parse(RayOptions, {**given, **({"workers": workers} if workers else {})}, where="options")
        # After the options, so that their mistakes are told without loading torch.
        from vec2face.generation.ray_executor import RayActors

        return RayActors(options)


def placement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which the command receives together as `placement`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        placement = Placement(**{field.name: values.pop(field.name) for field in fields(Placement)})
        return command(placement=placement, **values)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


@contextmanager
def rendering_place(
    place: "ProcessPlace | None", elsewhere: "Executor | None", recipe: "GenerateRecipe", out: "Location"
) -> Iterator[tuple[bool, "Executor | None"]]:
    """Yield whether this process leads the work, and where shards are rendered, None for the usual place.

    A process of a launcher that does not lead has rendered its share when this yields.

    Args:
        place: this process among those of a launcher.
        elsewhere: an executor that was asked for.
        recipe, out: what is made.
    """
    if place is None:
        yield True, elsewhere
        return
    from vec2face.generation.inputs import prepare
    from vec2face.generation.launched import LaunchedProcesses

    processes = LaunchedProcesses.connect(place)
    if place.is_first:
        with processes.others_waiting():
            yield True, processes
    else:
        processes.serve(out, lambda: prepare(recipe, out)[0])
        yield False, None
