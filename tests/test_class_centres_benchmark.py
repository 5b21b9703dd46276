"""The benchmark of class centres measures what it says, and its arithmetic is that of the shapes."""

import queue
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch


@pytest.fixture
def bench(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("class_centres")


@pytest.mark.parametrize("share", [None, 1.0, 0.1])
def test_a_setting_is_measured(bench: ModuleType, share: float | None) -> None:
    answer: queue.Queue = queue.Queue()
    setting = bench.Setting(classes=64, dim=8, batch=4, share=share, steps=2, threads=1, device="cpu")
    bench.measure(setting, answer)
    cost = answer.get()
    assert cost.seconds > 0
    assert cost.kept == 2 * 64 * 8 * 4 / 2**20
    assert cost.peak >= 0


def test_the_plain_softmax_learns_what_all_centres_learn(bench: ModuleType) -> None:
    setting = bench.Setting(classes=64, dim=8, batch=4, share=1.0, steps=2, threads=1, device="cpu")
    embeddings = torch.randn(4, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    device, labels = torch.device("cpu"), np.array([3, 9, 9, 60])
    steps = [make(setting, embeddings, labels, device) for make in (bench.plain_step, bench.learner_step)]
    plain, ours = ([run(number) for number in range(5)] for run in steps)
    np.testing.assert_allclose(plain, ours, rtol=1e-4)
    assert plain[4] < plain[0]


def test_the_command_states_clock_and_processors(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["class_centres", "--classes", "64", "--dim", "8", "--batch", "4"])
    monkeypatch.setattr(bench.multiprocessing, "get_context", lambda _: InThisProcess)
    bench.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:4]] == ["plain softmax", "share 1", "share 0.1"]
    assert all(" s a step by the clock, " in line and " s of processors; " in line for line in lines[1:4])


class InThisProcess:
    """Stands for a multiprocessing context: runs the work at once."""

    exitcode = 0
    Queue = queue.Queue

    def __init__(self, target: Callable[..., None], args: tuple) -> None:
        self._work = lambda: target(*args)

    Process: type

    def start(self) -> None:
        self._work()

    def join(self) -> None:
        pass


InThisProcess.Process = InThisProcess


def test_the_arithmetic_follows_from_the_shapes(bench: ModuleType) -> None:
    text = bench.arithmetic(classes=300_000, dim=512, batch=128, share=1.0, gpus=8)
    assert "37500 centres with momentum (146 MiB)" in text
    assert "1024 x 37500 (146 MiB)" in text
    assert "118 GFLOP" in text
    sampled = bench.arithmetic(classes=300_000, dim=512, batch=128, share=0.1, gpus=8)
    assert "uses 3750 a step (7 MiB" in sampled
