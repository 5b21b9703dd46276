"""The benchmark of class centres measures what it says, and its arithmetic is that of the shapes."""

import queue
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def bench(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("class_centres")


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_setting_is_measured(bench: ModuleType, share: float) -> None:
    answer: queue.Queue = queue.Queue()
    setting = bench.Setting(classes=64, dim=8, batch=4, share=share, steps=2, threads=1, device="cpu")
    bench.measure(setting, answer)
    cost = answer.get()
    assert cost.seconds > 0
    assert cost.kept == 2 * 64 * 8 * 4 / 2**20
    assert cost.peak >= 0


def test_the_arithmetic_follows_from_the_shapes(bench: ModuleType) -> None:
    text = bench.arithmetic(classes=300_000, dim=512, batch=128, share=1.0, gpus=8)
    assert "37500 centres with momentum (146 MiB)" in text
    assert "1024 x 37500 (146 MiB)" in text
    assert "118 GFLOP" in text
    sampled = bench.arithmetic(classes=300_000, dim=512, batch=128, share=0.1, gpus=8)
    assert "uses 3750 a step (7 MiB" in sampled
