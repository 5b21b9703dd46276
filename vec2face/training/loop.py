"""The training loop both trainers share: schedule, moving average, journal, checkpoints, exact resume.

Everything random is keyed by the step, so a run that was stopped and resumed computes what an uninterrupted one does.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vec2face.config.training import RunOptions, Schedule
from vec2face.errors import DatasetError, InputError
from vec2face.fileio.atomic import atomic_write, fingerprint, write_json

CHECKPOINT = "checkpoint.pt"
JOURNAL = "journal.jsonl"


class TrainingReporter(Protocol):
    """What a training tells whoever watches it."""

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None: ...

    def training_note(self, text: str) -> None: ...


class Stateful(Protocol):
    """Something whose state goes into the checkpoint."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run reports: images seen, seconds of this process, last journal line."""

    images: int
    seconds: float
    last: dict[str, Any]


def learning_rate(schedule: Schedule, images_seen: int) -> float:
    """Linear warm-up, then half a cosine from the peak to `final_share` of it, in images seen."""
    if images_seen < schedule.warmup_images:
        return (
            schedule.learning_rate
            * (images_seen + schedule.batch_size)
            / (schedule.warmup_images + schedule.batch_size)
        )
    done = (images_seen - schedule.warmup_images) / (schedule.images - schedule.warmup_images)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return schedule.learning_rate * (schedule.final_share + (1 - schedule.final_share) * cosine)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, for floating-point tensors; others are copied."""
    new = model.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name].to(tensor.dtype), 1 - decay)
        else:
            tensor.copy_(new[name])


class TrainingLoop:
    """Runs steps of one model with one optimiser.

    Args:
        model: the network being trained; its moving average is `average`.
        schedule, run: length, learning rate and bookkeeping.
        out: folder of the run; a checkpoint in it is resumed.
        identity: what must be equal for a resume (the recipe and the data's facts).
        companions: further objects with a state to save and restore, by name (a discriminator and its optimiser).
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        schedule: Schedule,
        run: RunOptions,
        out: Path,
        identity: Any,
        companions: dict[str, Stateful] | None = None,
    ) -> None:
        self.model, self.schedule, self.run_options, self.out = model, schedule, run, out
        self.companions = companions or {}
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=schedule.learning_rate, betas=schedule.betas, weight_decay=schedule.weight_decay
        )
        self.step = 0
        self.fingerprint = fingerprint(identity)
        out.mkdir(parents=True, exist_ok=True)
        self._resume(identity)

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return math.ceil(self.schedule.images / self.schedule.batch_size)

    def run(
        self,
        compute_losses: Callable[[int], dict[str, Tensor]],
        *,
        measure: Callable[[nn.Module, int], dict[str, float]],
        reporter: TrainingReporter,
        waited: Callable[[], float],
    ) -> TrainingSummary:
        """Train to the end of the schedule.

        Args:
            compute_losses: step -> named scalar losses, already weighted; their sum is minimised.
            measure: (moving average, step) -> held-out figures; called every `preview_every` steps and at the end.
            reporter: told of every logged step.
            waited: seconds spent waiting for data so far.

        Raises:
            InputError: a loss is not finite; the message names it. The last checkpoint stays.
        """
        began = last_time = time.monotonic()
        last_step, last_wait, last_line = self.step, waited(), {}
        sums: dict[str, float] = {}
        while self.step < self.steps:
            seen = self.step * self.schedule.batch_size
            rate = learning_rate(self.schedule, seen)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = compute_losses(self.step)
            self._apply(losses)
            self.step += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if self.step % self.run_options.log_every == 0 or self.step == self.steps:
                now, wait = time.monotonic(), waited()
                steps = self.step - last_step
                last_line = {
                    "step": self.step,
                    "images": self.step * self.schedule.batch_size,
                    "learning_rate": rate,
                    "images_per_second": steps * self.schedule.batch_size / (now - last_time),
                    "data_wait_share": (wait - last_wait) / (now - last_time),
                    **{f"loss/{name}": total / steps for name, total in sums.items()},
                }
                self._journal(last_line)
                reporter.training_step(
                    self.step * self.schedule.batch_size,
                    self.steps * self.schedule.batch_size,
                    last_line["images_per_second"],
                    {name: total / steps for name, total in sums.items()},
                )
                sums, last_step, last_time, last_wait = {}, self.step, now, wait
            if self.step % self.run_options.checkpoint_every == 0 or self.step == self.steps:
                self.save()
            if self.step % self.run_options.preview_every == 0 or self.step == self.steps:
                figures = measure(self.average, self.step)
                self._journal({"step": self.step, **{f"held_out/{name}": value for name, value in figures.items()}})
                reporter.training_note(
                    f"step {self.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
                )
                last_time, last_wait, last_step, sums = time.monotonic(), waited(), self.step, {}
        return TrainingSummary(self.step * self.schedule.batch_size, time.monotonic() - began, last_line)

    def _apply(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            if not torch.isfinite(value):
                raise InputError(
                    f"the {name} loss is not finite at step {self.step}; lower the learning rate or its weight, "
                    f"then run the same command to go on from {self.out / CHECKPOINT}."
                )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.gradient_clip)
        self.optimizer.step()
        # A short average at first: a long one would still hold the random start.
        ramp = min(self.run_options.ema_half_life_images, max(self.step, 1) * self.schedule.batch_size * 0.1)
        update_average(self.average, self.model, decay=0.5 ** (self.schedule.batch_size / ramp))

    def _journal(self, line: dict[str, Any]) -> None:
        with open(self.out / JOURNAL, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the checkpoint atomically."""
        with atomic_write(self.out / CHECKPOINT) as stream:
            torch.save(
                {
                    "fingerprint": self.fingerprint,
                    "step": self.step,
                    "model": self.model.state_dict(),
                    "average": self.average.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "companions": {name: part.state_dict() for name, part in self.companions.items()},
                },
                stream,
            )

    def _resume(self, identity: Any) -> None:
        path = self.out / CHECKPOINT
        if not path.is_file():
            write_json(self.out / "run.json", identity)
            return
        from vec2face.checkpoints.safe_load import safe_load

        state = safe_load(path)
        if state["fingerprint"] != self.fingerprint:
            before = json.loads((self.out / "run.json").read_text(encoding="utf-8"))
            differing = ", ".join(_differences(before, json.loads(json.dumps(identity)))) or "the recipe"
            raise DatasetError(
                f"{self.out} holds a run with other settings ({differing}); choose another --out or the same recipe."
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, part in self.companions.items():
            part.load_state_dict(state["companions"][name])
        self.step = int(state["step"])


def _differences(before: Any, now: Any, path: str = "") -> Iterable[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path}: {before!r} then, {now!r} now"
