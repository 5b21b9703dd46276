from pathlib import Path

import pytest
import torch

from vec2face import benchmarking
from vec2face.benchmarking import Speed, benchmark, compare
from vec2face.errors import InputError


class FakeClock:
    """A clock that stands still except where a pass says how long it took."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Recorder:
    """Remembers how much was announced and how much was done."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
        self.total += total

    def advance(self, amount: int, *, note: str = "") -> None:
        self.done += amount


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(benchmarking, "time", clock)
    return clock


def test_rates_are_those_of_a_known_clock(clock: FakeClock) -> None:
    order = ""

    def run(name: str, seconds: float) -> None:
        nonlocal order
        order += name
        clock.now += seconds

    rates = compare({"float32": lambda: run("f", 0.1), "bfloat16": lambda: run("b", 0.05)}, rounds=3)
    assert rates == pytest.approx({"float32": 10.0, "bfloat16": 20.0})
    # Two passes of each to warm up and calibrate, then slots of 0.2 s in turn.
    assert order == "ffbb" + "ffbbbb" * 3


def test_the_median_ignores_one_disturbed_slot(clock: FakeClock) -> None:
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1
        clock.now += 10.0 if calls == 4 else 0.2

    assert compare({"float32": run}, rounds=3) == pytest.approx({"float32": 5.0})


def test_ratio_is_bfloat16_over_float32() -> None:
    assert Speed("generator", 1, 8, float32=10.0, bfloat16=15.0).ratio == 1.5


@pytest.mark.integration
def test_every_combination_is_measured_once(
    monkeypatch: pytest.MonkeyPatch, tiny_generator_dir: Path, tiny_embedder_dir: Path
) -> None:
    monkeypatch.setattr(benchmarking, "SLOT_SECONDS", 0.0)
    threads_before = torch.get_num_threads()
    progress = Recorder()
    speeds = benchmark(
        generator=str(tiny_generator_dir),
        embedder=str(tiny_embedder_dir),
        batch_sizes=(1, 2),
        threads=(1, 2),
        rounds=1,
        device="cpu",
        progress=progress,
    )
    assert (progress.total, progress.done) == (8, 8)
    assert [(speed.network, speed.threads, speed.batch_size) for speed in speeds] == [
        (network, threads, batch) for network in ("generator", "embedder") for threads in (1, 2) for batch in (1, 2)
    ]
    assert all(speed.float32 > 0 and speed.bfloat16 > 0 for speed in speeds)
    assert torch.get_num_threads() == threads_before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none(tiny_generator_dir: Path, tiny_embedder_dir: Path) -> None:
    with pytest.raises(InputError, match="--device cpu"):
        benchmark(
            generator=str(tiny_generator_dir),
            embedder=str(tiny_embedder_dir),
            batch_sizes=(1,),
            threads=(1,),
            rounds=1,
            device="cuda",
        )
