"""The loop's bookkeeping: exact resume, an unbroken journal, stops between steps, and what may change on the way."""

import json
import math
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vec2face.config.training import RunOptions, Schedule, TrainingRecipe
from vec2face.errors import DatasetError, InputError, MissingDependencyError
from vec2face.fileio.atomic import fingerprint
from vec2face.seeding import seed_for
from vec2face.training.loop import TrainingLoop
from vec2face.training.portion import Portion
from vec2face.training.processes import Processes

from .conftest import SilentReporter

CPU = Processes(device=torch.device("cpu"))
FACTS = {"sources": ["drawn"]}


@dataclass(frozen=True)
class Points:
    """A batch for the smallest of networks."""

    values: Tensor

    def pin(self) -> "Points":
        return Points(self.values.pin_memory())

    def to(self, device: torch.device) -> "Points":
        return Points(self.values.to(device))


def recipe(*, accumulate: int = 1, images: int = 40, **run: Any) -> TrainingRecipe:
    options = {"threads": 1, "precision": "float32", "log_every": 2, "checkpoint_every": 3, "preview_every": 4}
    return TrainingRecipe(
        schedule=Schedule(images=images, batch_size=4, learning_rate=1e-2, accumulate=accumulate),
        run=RunOptions(**{**options, **run}),
    )


def read(portion: Portion) -> Points:
    generator = torch.Generator().manual_seed(seed_for(0, "points", portion.step) % 2**63)
    return Points(portion.of(torch.randn(portion.total, 3, generator=generator)))


def small_loop(out: Path, values: TrainingRecipe) -> TrainingLoop:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    return TrainingLoop(model=model, recipe=values, facts=FACTS, out=out, processes=CPU)


def train(
    out: Path, values: TrainingRecipe, *, reporter: SilentReporter | None = None, at_step: Any = None
) -> TrainingLoop:
    loop = small_loop(out, values)

    def compute(batch: Points, portion: Portion) -> dict[str, Tensor]:
        if at_step is not None:
            at_step(portion.step)
        output = loop.model(batch.values)
        losses = {"fit": (output[:, 0] - batch.values.sum(dim=1)).square().mean()}
        if portion.step % 3 == 2:
            losses["late"] = 0.1 * output.abs().mean()
        return losses

    loop.run(
        read,
        compute,
        measure=lambda average, step: {"weight": float(next(average.parameters()).sum())},
        reporter=reporter or SilentReporter(),
    )
    return loop


def journal(out: Path) -> list[dict[str, float]]:
    """The journal without what a clock decides."""
    clock = {"seconds", "eta_seconds", "images_per_second", "data_wait_share"}
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


def stop_at(step: int, error: type[BaseException] = KeyboardInterrupt) -> Any:
    def check(now: int) -> None:
        if now == step:
            raise error

    return check


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("lost_at", [3, 4, 5, 8])
def test_a_run_that_lost_its_process_goes_on_to_the_same_bits(tmp_path: Path, accumulate: int, lost_at: int) -> None:
    """With dropout, log lines that a checkpoint cuts in two, and lines written after the last checkpoint."""
    whole = train(tmp_path / "whole", recipe(accumulate=accumulate))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "lost", recipe(accumulate=accumulate), at_step=stop_at(lost_at))
    again = train(tmp_path / "lost", recipe(accumulate=accumulate))
    assert journal(tmp_path / "lost") == journal(tmp_path / "whole")
    assert len(journal(tmp_path / "whole")) == 5 + 3
    for one, two in zip(whole.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_journal_line_reports_each_loss_by_the_steps_that_had_it_and_the_pace(tmp_path: Path) -> None:
    each, pairs = tmp_path / "each", tmp_path / "pairs"
    train(each, recipe(log_every=1))
    train(pairs, recipe(log_every=2))
    one = [line for line in journal(each) if "learning_rate" in line]
    two = [line for line in journal(pairs) if "learning_rate" in line]
    for number, line in enumerate(two):
        steps = one[2 * number : 2 * number + 2]
        assert line["loss/fit"] == pytest.approx(sum(step["loss/fit"] for step in steps) / 2)
        assert line["gradient_norm"] == pytest.approx(sum(step["gradient_norm"] for step in steps) / 2)
        late = [step["loss/late"] for step in steps if "loss/late" in step]
        assert line.get("loss/late") == (pytest.approx(late[0]) if late else None)
    raw = [json.loads(line) for line in (pairs / "journal.jsonl").read_text().splitlines()]
    paces = [line for line in raw if "learning_rate" in line]
    assert all(0 <= line["data_wait_share"] <= 1 and line["images_per_second"] > 0 for line in paces)
    assert [line["seconds"] for line in paces] == sorted(line["seconds"] for line in paces)
    assert paces[-1]["eta_seconds"] == 0


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path: Path, number: signal.Signals) -> None:
    class Ended(Exception):
        pass

    def handler(_number: int, _frame: object) -> None:
        raise Ended

    signal.signal(number, handler)
    reporter = SilentReporter()
    with pytest.raises(Ended):
        train(
            tmp_path / "stopped",
            recipe(),
            reporter=reporter,
            at_step=lambda step: os.kill(os.getpid(), number) if step == 4 else None,
        )
    assert "stopping at the end of this step" in reporter.notes[-1]
    assert signal.getsignal(number) is handler
    assert small_loop(tmp_path / "stopped", recipe()).step == 5
    train(tmp_path / "stopped", recipe())
    train(tmp_path / "whole", recipe())
    assert journal(tmp_path / "stopped") == journal(tmp_path / "whole")


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    def twice(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            signal.getsignal(signal.SIGINT)  # Python answers a signal between two instructions

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe(), at_step=twice)
    assert small_loop(tmp_path, recipe()).step == 3


def test_a_checkpoint_is_written_when_the_last_one_is_old(tmp_path: Path) -> None:
    values = recipe(checkpoint_every=1000, checkpoint_minutes=1e-9)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, values, at_step=stop_at(2))
    assert small_loop(tmp_path, values).step == 2


def test_bookkeeping_may_change_and_what_decides_the_numbers_may_not(tmp_path: Path) -> None:
    train(tmp_path, recipe(images=16))
    assert small_loop(tmp_path, recipe(images=16, log_every=1, preview_every=9, readers=2)).step == 4
    with pytest.raises(DatasetError, match=r"recipe\.schedule\.accumulate: 1 then, 2 now"):
        small_loop(tmp_path, recipe(images=16, accumulate=2))
    with pytest.raises(DatasetError, match=r"recipe\.run\.seed: 0 then, 5 now"):
        small_loop(tmp_path, recipe(images=16, seed=5))


def test_a_run_from_before_a_key_existed_goes_on_if_the_key_has_its_default(tmp_path: Path) -> None:
    """As version 0.1 left it: the recipe without newer keys in run.json, its fingerprint in the checkpoint."""
    train(tmp_path, recipe(images=16))
    identity = json.loads((tmp_path / "run.json").read_text())
    for part, key in (("schedule", "accumulate"), ("run", "readers"), ("run", "tensorboard")):
        del identity["recipe"][part][key]
    (tmp_path / "run.json").write_text(json.dumps(identity))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for key in ("identity", "seconds", "window"):
        del state[key]
    torch.save({**state, "fingerprint": fingerprint(identity)}, tmp_path / "checkpoint.pt")
    assert small_loop(tmp_path, recipe(images=16)).step == 4
    with pytest.raises(DatasetError, match=r"accumulate: 1 then, 4 now"):
        small_loop(tmp_path, recipe(images=16, accumulate=4))
    (tmp_path / "run.json").write_text(json.dumps({**identity, "pack": {}}))
    with pytest.raises(DatasetError, match="was changed after the run began"):
        small_loop(tmp_path, recipe(images=16))
    (tmp_path / "run.json").unlink()
    with pytest.raises(DatasetError, match="is missing"):
        small_loop(tmp_path, recipe(images=16))


def test_a_gradient_that_is_not_finite_is_named_and_the_checkpoint_stays(tmp_path: Path) -> None:
    loop = small_loop(tmp_path, recipe())

    def compute(batch: Points, portion: Portion) -> dict[str, Tensor]:
        output = loop.model(batch.values)
        rooted = (output - output.detach()).abs().sqrt() if portion.step == 4 else output
        return {"fit": rooted.square().mean() if portion.step != 4 else rooted.sum()}

    with pytest.raises(InputError, match=r"the gradient of model\.\S+ and \d more parameters is not finite at step 4"):
        loop.run(read, compute, measure=lambda average, step: {}, reporter=SilentReporter())
    assert small_loop(tmp_path, recipe()).step == 3
    assert all(math.isfinite(float(parameter.detach().sum())) for parameter in loop.model.parameters())


def test_tensorboard_shows_what_the_journal_says_without_repeats(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe(tensorboard=True), at_step=stop_at(5))
    train(tmp_path, recipe(tensorboard=True))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss/fit")]
    written = [(line["step"], line["loss/fit"]) for line in journal(tmp_path) if "loss/fit" in line]
    assert shown == [(step, pytest.approx(value)) for step, value in written]
    assert [event.step for event in events.Scalars("held_out/weight")] == [4, 8, 10]


def test_tensorboard_that_is_missing_is_told_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'vec2face\[tensorboard\]'"):
        train(tmp_path, recipe(tensorboard=True))
