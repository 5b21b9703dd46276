"""The benchmark of executors compares numbers of workers in one run, over the time in which all of them work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from vec2face.config.generation import GenerateRecipe


@pytest.fixture
def benchmark(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("executors")


def test_a_rate_leaves_out_starting_and_the_last_shards(benchmark: ModuleType) -> None:
    one = [10.0, 11.0, 12.0, 13.0, 14.0]
    assert benchmark.steady_rate(one, 1, 100) == 100.0
    # Two workers, of which one starts late and the other has the last shard to itself.
    two = [10.0, 20.0, 20.5, 21.0, 21.5, 22.0, 30.0]
    assert benchmark.steady_rate(two, 2, 100) == 200.0
    with pytest.raises(click.UsageError, match="3 shards are too few for 2 workers"):
        benchmark.steady_rate([1.0, 2.0, 3.0], 2, 100)


def test_numbers_of_workers_take_turns(benchmark: ModuleType, tiny_generator_dir: Path) -> None:
    clock, turns = [0.0], []

    class Clockwork:
        """Takes a second for the shards of `workers` workers."""

        def __init__(self, workers: int) -> None:
            self.workers = workers
            turns.append(workers)

        def run(self, job: object, shards: range, on_images: object) -> Iterator[int]:
            for index in shards:
                clock[0] += 1 / self.workers
                yield index

    recipe = GenerateRecipe.model_validate(
        {
            "weights": str(tiny_generator_dir),
            "identities": {"source": "gaussian", "count": 6, "ceiling": 1.0},
            "images_per_identity": 4,
            "shards": {"identities_per_shard": 1},
        }
    )
    rates = benchmark.measure(Clockwork, recipe, (1, 2), 2, clock=lambda: clock[0])
    assert turns == [1, 2, 1, 2]
    assert rates == {1: pytest.approx(4.0), 2: pytest.approx(8.0)}
