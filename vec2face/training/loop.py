"""The training loop both trainers share: schedule, moving average, journal, checkpoints, exact resume.

Everything random is keyed by the step and the sample's place in it, so a run that was stopped and resumed computes what
an uninterrupted one does, and several processes compute what one does.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vec2face.config.training import Schedule, TrainingRecipe
from vec2face.errors import DatasetError
from vec2face.seeding import seed_for
from vec2face.training.checkpoint import CHECKPOINT, begin_run, identity_of, read_checkpoint, write_checkpoint
from vec2face.training.journal import Journal
from vec2face.training.learner import Learner, NotFiniteError
from vec2face.training.portion import Portion
from vec2face.training.processes import Processes
from vec2face.training.reading import BatchT, ReadAhead
from vec2face.training.stopping import StopRequests
from vec2face.training.synced_norm import synchronise_batch_norm
from vec2face.training.window import Window


class TrainingReporter(Protocol):
    """What a training tells whoever watches it."""

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None: ...

    def training_note(self, text: str) -> None: ...


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run reports: images seen, seconds of this process, last journal line of losses."""

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
    """Runs steps of one model with one optimiser, and of its companions with theirs.

    Args:
        model: the network being trained, on its device; its moving average is `average`.
        recipe: schedule, bookkeeping, and whatever else must be equal for a resume.
        facts: facts of the data that must be equal too.
        out: folder of the run; a checkpoint in it is resumed.
        processes: this process and its fellows.
        companions: further networks with their optimisers (a discriminator): whoever computes the losses gives each its
            own with `Learner.backward`, and the loop takes the steps.
        optimizer: of the model's parameters; None for AdamW as the recipe's schedule says.
        rate: images seen before a step -> its learning rate; None for `learning_rate` of the recipe's schedule.

    Raises:
        DatasetError: `out` holds a run with other settings, or not every process sees it.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        recipe: TrainingRecipe,
        facts: dict[str, Any],
        out: Path,
        processes: Processes,
        companions: Sequence[Learner] = (),
        optimizer: torch.optim.Optimizer | None = None,
        rate: Callable[[int], float] | None = None,
    ) -> None:
        self.model, self.out, self.processes, self.companions = model, out, processes, tuple(companions)
        self.schedule, self.run_options = recipe.schedule, recipe.run
        synchronise_batch_norm(model, processes)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.step = 0
        self._seconds = 0.0
        self._window = Window()
        schedule = self.schedule
        self._rate = rate or partial(learning_rate, schedule)
        self._learner = Learner(
            name="model",
            module=model,
            optimizer=optimizer
            or torch.optim.AdamW(
                model.parameters(),
                lr=schedule.learning_rate,
                betas=schedule.betas,
                weight_decay=schedule.weight_decay,
                fused=True,
            ),
            passes=schedule.accumulate,
            precision=recipe.run.precision,
            processes=processes,
            gradient_clip=schedule.gradient_clip,
        )
        processes.portions(0, total=schedule.batch_size, passes=schedule.accumulate)  # refuses an unequal division
        out.mkdir(parents=True, exist_ok=True)
        self._identity = identity_of(recipe, facts)
        self._resume(read_checkpoint(out, recipe, self._identity))

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return math.ceil(self.schedule.images / self.schedule.batch_size)

    def run(
        self,
        read: Callable[[Portion], BatchT],
        compute_losses: Callable[[BatchT, Portion], dict[str, Tensor]],
        *,
        measure: Callable[[nn.Module, int], dict[str, float]],
        reporter: TrainingReporter,
    ) -> TrainingSummary:
        """Train to the end of the schedule, or until SIGINT or SIGTERM asks for an end; then a checkpoint is written.

        Args:
            read: portion -> its batch in the CPU's memory; called ahead of time in other threads.
            compute_losses: (batch on the device, portion) -> named scalar losses, already weighted, each a mean over
                the portion; their sum is minimised.
            measure: (moving average, step) -> held-out figures; called every `preview_every` steps and at the end, by
                the main process alone.
            reporter: told of every logged step, by the main process alone.

        Raises:
            InputError: a loss or a gradient is not finite; the message names it. The last checkpoint stays.
            MissingDependencyError: TensorBoard is wanted and not installed.
        """
        began, first = time.monotonic(), self.step
        before, last_saved, last_line = self._seconds, began, {}
        main, options = self.processes.is_main, self.run_options
        if self.step == self.steps:
            return TrainingSummary(self.step * self.schedule.batch_size, 0.0, {})
        ahead = ReadAhead(read, self._portions(), device=self.processes.device, readers=options.readers)
        journal = Journal(self.out, step=self.step, tensorboard=options.tensorboard) if main else None
        note = "stopping at the end of this step; once more to stop at once without a checkpoint of it"
        stop = StopRequests(lambda: reporter.training_note(note) if main else None)
        with ahead as batches, journal or nullcontext(), stop:
            while self.step < self.steps:
                started, waited = time.monotonic(), batches.waited
                losses, norm, stopping = self._take_step(batches, compute_losses, stop)
                self._window.add(losses, norm, time.monotonic() - started, batches.waited - waited)
                self._seconds = before + time.monotonic() - began
                last = self.step == self.steps
                if journal and (self.step % options.log_every == 0 or last):
                    left = (time.monotonic() - began) / (self.step - first) * (self.steps - self.step)
                    last_line = self._log(journal, reporter, left)
                if self.step % options.log_every == 0:
                    self._window = Window()
                if self.step % options.preview_every == 0 or last:
                    if journal:
                        self._measure(journal, measure, reporter)
                    self.processes.wait()
                late = time.monotonic() - last_saved >= 60 * options.checkpoint_minutes
                if self._main_wishes(stopping or last or late or self.step % options.checkpoint_every == 0):
                    for learner in self.companions:
                        learner.before_save()
                    if main:
                        self.save()
                    last_saved = time.monotonic()
                if stopping and not last:
                    self.processes.wait()
                    stop.end()
        return TrainingSummary(self.step * self.schedule.batch_size, time.monotonic() - began, last_line)

    def save(self) -> None:
        """Write the checkpoint atomically."""
        companions: dict[str, Any] = {}
        for learner in self.companions:
            companions[learner.name] = learner.module.state_dict()
            companions |= {f"{learner.name}_{part}": state for part, state in learner.state().items()}
        state = {
            "step": self.step,
            "seconds": self._seconds,
            "window": self._window.state(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            **self._learner.state(),
            "companions": companions,
        }
        write_checkpoint(self.out, state, self._identity)

    def _take_step(
        self,
        batches: ReadAhead[BatchT],
        compute_losses: Callable[[BatchT, Portion], dict[str, Tensor]],
        stop: StopRequests,
    ) -> tuple[dict[str, float], float, bool]:
        """Return the step's losses, its gradient's norm, and whether a process was asked to stop."""
        for group in self._learner.optimizer.param_groups:
            group["lr"] = self._rate(self.step * self.schedule.batch_size)
        for learner in (self._learner, *self.companions):
            learner.begin()
        sums: dict[str, Tensor] = {}
        for portion in self._portions_of(self.step):
            batch = batches.next(portion)
            # Dropout is all that draws from torch's own generator.
            torch.manual_seed(seed_for(self.run_options.seed, "dropout", portion.step, portion.first) % 2**63)
            losses = compute_losses(batch, portion)
            self._learner.backward(torch.stack(list(losses.values())).sum())
            for name, value in losses.items():
                sums[name] = sums[name] + value.detach().float() if name in sums else value.detach().float()
        asked = torch.tensor(float(stop.received is not None), device=self.processes.device)
        figures = torch.stack([*(value / self.schedule.accumulate for value in sums.values()), asked])
        self.processes.average_([figures])
        *values, stopping = figures.tolist()
        means = dict(zip(sums, values, strict=True))
        try:
            _require_finite(means)
            norm = self._learner.finish()
            for companion in self.companions:
                companion.finish()
        except NotFiniteError as error:
            raise NotFiniteError(
                f"{error} at step {self.step}; lower the learning rate or the weight of a loss in a copy of the recipe "
                f"and begin anew, or find what it comes from: the run's last checkpoint is {self.out / CHECKPOINT}."
            ) from None
        self.step += 1
        # A short average at first: a long one would still hold the random start.
        seen = max(self.step - 1, 1) * self.schedule.batch_size
        ramp = min(self.run_options.ema_half_life_images, seen * 0.1)
        update_average(self.average, self.model, decay=0.5 ** (self.schedule.batch_size / ramp))
        return means, norm, stopping > 0

    def _log(self, journal: Journal, reporter: TrainingReporter, seconds_left: float) -> dict[str, Any]:
        images, batch_size = self.step * self.schedule.batch_size, self.schedule.batch_size
        rate = self._window.steps * batch_size / self._window.seconds
        losses = self._window.losses()
        line = {
            "step": self.step,
            "images": images,
            "seconds": round(self._seconds, 1),
            "eta_seconds": round(seconds_left, 1),
            "learning_rate": self._rate(images - batch_size),
            "images_per_second": rate,
            "data_wait_share": self._window.waited / self._window.seconds,
            **self._window.gradient(),
            **{f"loss/{name}": value for name, value in losses.items()},
        }
        journal.write(line)
        reporter.training_step(images, self.steps * batch_size, rate, losses)
        return line

    def _measure(
        self, journal: Journal, measure: Callable[[nn.Module, int], dict[str, float]], reporter: TrainingReporter
    ) -> None:
        with self.processes.alone():
            figures = measure(self.average, self.step)
        journal.show_preview(self.step)
        if not figures:
            return
        journal.write({"step": self.step, **{f"held_out/{name}": value for name, value in figures.items()}})
        reporter.training_note(
            f"step {self.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        )

    def _main_wishes(self, wish: bool) -> bool:
        # Clocks differ: whether it is late is for one process to say.
        return self.processes.everywhere(float(wish))[0] > 0

    def _portions_of(self, step: int) -> list[Portion]:
        return self.processes.portions(step, total=self.schedule.batch_size, passes=self.schedule.accumulate)

    def _portions(self) -> Iterator[Portion]:
        for step in range(self.step, self.steps):
            yield from self._portions_of(step)

    def _resume(self, state: dict[str, Any] | None) -> None:
        steps = self.processes.everywhere(-1 if state is None else state["step"])
        if len(set(steps)) > 1:
            raise DatasetError(
                f"the processes do not see the same checkpoint in {self.out}; "
                "give --out a folder on storage that every machine of the run reaches."
            )
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self._learner.restore(state)
            for learner in self.companions:
                learner.module.load_state_dict(state["companions"][learner.name])
                learner.restore(
                    {part: state["companions"].get(f"{learner.name}_{part}") for part in ("optimizer", "scaler")}
                )
            self.step = int(state["step"])
            # Checkpoints of 0.1 hold neither of these.
            self._seconds = float(state.get("seconds", 0.0))
            self._window = Window.of(state.get("window"))
        elif self.processes.is_main:
            begin_run(self.out, self._identity)
        for module in (self.model, self.average, *(learner.module for learner in self.companions)):
            self.processes.copy_from_main_(module.state_dict().values())


def _require_finite(losses: dict[str, float]) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise NotFiniteError(f"the {name} loss is not finite")
