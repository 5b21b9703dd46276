"""The benchmark of class centres measures what it says, and its arithmetic is that of the shapes."""

import importlib.util
import queue
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def bench(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = repo_root / "benchmarks" / "class_centres.py"
    spec = importlib.util.spec_from_file_location("class_centres_benchmark", path)
    if spec is None or spec.loader is None:
        raise RuntimeError("the benchmark cannot be imported")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "class_centres_benchmark", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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
