"""How much faster several workers render than one, on this machine, by local processes or on Ray.

    python benchmarks/executors.py --executor ray
    python benchmarks/executors.py --executor local --workers 1 --workers 4

Every worker is held to one thread. The numbers of workers take turns, and the medians of their rates are compared, so
that a machine that is busy with something else slows all alike and the ratio stands. A rate is that of the time in
which every worker has a shard: starting processes, loading networks and the last shards do not count.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from vec2face.config.generation import GenerateRecipe
from vec2face.fileio.atomic import write_json

# Before torch is loaded, here and in the workers, which inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

MakeExecutor = Callable[[int], Any]


def steady_rate(finished: Sequence[float], workers: int, images: int) -> float:
    """Return images a second while every worker had a shard.

    Args:
        finished: when each shard was finished, in seconds, rising; at least 2 * workers + 1 of them.
        workers: how many there were.
        images: of each shard.
    """
    begin, end = workers - 1, len(finished) - workers
    if end <= begin:
        raise click.UsageError(f"{len(finished)} shards are too few for {workers} workers; give more --shards.")
    return (end - begin) * images / (finished[end] - finished[begin])


def measure(
    make_executor: MakeExecutor,
    recipe: GenerateRecipe,
    counts: Sequence[int],
    rounds: int,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> dict[int, float]:
    """Render the recipe with each number of workers in turn, and return the median rate of each, images a second."""
    from vec2face.generation.executor import ShardJob
    from vec2face.generation.folder import DatasetFolder
    from vec2face.generation.inputs import prepare

    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            with tempfile.TemporaryDirectory() as scratch:
                plan, bank = prepare(recipe, Path(scratch))
                folder = DatasetFolder(Path(scratch))
                write_json(folder.description, plan.describe())
                bank.save(folder.identities)
                run = make_executor(count).run(ShardJob(plan, folder), range(plan.shard_count), lambda images: None)
                finished = [clock() for _ in run]
                rates[count].append(steady_rate(finished, count, plan.shard(0).images))
    return {count: statistics.median(found) for count, found in rates.items()}


@click.command(context_settings={"max_content_width": 110})
@click.option("--executor", type=click.Choice(["local", "ray"]), default="ray", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), multiple=True, default=(1, 2), show_default=True)
@click.option("--shards", type=click.IntRange(min=3), default=20, show_default=True, help="Shards of each run.")
@click.option("--images", type=click.IntRange(min=1), default=128, show_default=True, help="Images of a shard.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each number.")
@click.option("--weights", default="embedded", show_default=True, help="Generator.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
def main(
    executor: str, workers: tuple[int, ...], shards: int, images: int, rounds: int, weights: str, dtype: str
) -> None:
    """Measure how rendering scales; print a line of JSON for each number of workers."""
    recipe = GenerateRecipe.model_validate(
        {
            "weights": weights,
            "identities": {"count": shards, "method": "reject", "ceiling": 1.0},
            "images_per_identity": images,
            "shards": {"identities_per_shard": 1},
            "compute": {"dtype": dtype, "threads_per_worker": 1},
        }
    )
    if executor == "ray":
        rates = _on_ray(recipe, workers, rounds)
    else:
        from vec2face.generation.executor import LocalProcesses

        rates = measure(LocalProcesses, recipe, workers, rounds)
    for count, rate in rates.items():
        ratio = rate / rates[workers[0]]
        facts = {"executor": executor, "workers": count, "images_per_second": round(rate, 2)}
        print(json.dumps({**facts, f"over_{workers[0]}": round(ratio, 3)}))
        sys.stdout.flush()


def _on_ray(recipe: GenerateRecipe, workers: Sequence[int], rounds: int) -> dict[int, float]:
    """Measure on one cluster of this machine, so that starting Ray is no part of a run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As local processes have it, so that the two compare.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    from vec2face.config.cluster import RayOptions
    from vec2face.generation.ray_executor import RayActors

    ray.init(address="local", num_cpus=max(workers), include_dashboard=False, log_to_driver=False)
    try:
        return measure(lambda count: RayActors(RayOptions(workers=count)), recipe, workers, rounds)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
