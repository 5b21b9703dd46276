"""Train a recogniser from scratch on labelled faces; what a dataset is worth is what this gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vec2face.checkpoints.store import write_folder
from vec2face.config.recognition import AdamWOptions, DatasetOptions, OptimizerOptions, RecognizerRecipe
from vec2face.config.training import Schedule, TrainingRecipe
from vec2face.errors import ConfigError, InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.training.centre_rows import RowAdamW, RowOptimizer, RowSgd
from vec2face.training.class_centres import CentreLearner
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.portion import Portion
from vec2face.training.precision import autocast, settled
from vec2face.training.processes import Processes, find_processes
from vec2face.training.prototypes import prototype_loss
from vec2face.training.recognizer_data import FaceMix, RecognitionBatch, RecognitionStream
from vec2face.training.recognizer_index import index_set
from vec2face.training.recognizer_network import Recognizer, build_head, build_network, build_optimizer
from vec2face.training.recognizer_result import RESULT, Validations, describe_run, write_result
from vec2face.training.recognizer_schedule import Course

RECOGNIZER = "recognizer"


@dataclass(frozen=True)
class Validation:
    """Pairs of people who are in no training set and no test set, on which a checkpoint can be chosen.

    Attributes:
        name: of the set.
        digest: of its images and flags.
        accuracy: network in eval mode -> share of the pairs it tells rightly, in [0, 1].
    """

    name: str
    digest: str
    accuracy: Callable[[FaceEmbedder], float]


def train_recognizer(
    recipe: RecognizerRecipe,
    *,
    data: Sequence[str | Path],
    out: Path,
    validation: Validation | None = None,
    reporter: TrainingReporter,
    device: str = "auto",
) -> TrainingSummary:
    """Train, or resume, a recogniser; it is saved to `out/recognizer` whenever it is measured, and at the end.

    Args:
        recipe: what to train, on which part of the data, and how long.
        data: one or more labelled face sets, whatever `open_reader` reads.
        out: folder of the run.
        validation: the set that `recipe.validation` names.
        reporter: told of every logged step.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; see `find_processes`.

    Raises:
        InputError: a dataset is unusable (see `index_set`, `FaceMix`), the device is missing, or a loss is not finite.
        ConfigError: the recipe speaks of another number of datasets, or the batch cannot be shared equally.
        DatasetError: `out` holds a run with other settings or data.
    """
    if (recipe.validation is None) != (validation is None):
        raise InputError("a validation set must be given exactly if the recipe names one.")
    processes = find_processes(device)
    recipe = settled(recipe, processes, on_note=reporter.training_note)
    require_whole_people(recipe, processes=processes.count)
    torch.set_num_threads(recipe.run.threads)
    mix = _open_mix(recipe, data, out, processes, reporter)
    course = Course.of(recipe.schedule, epoch=mix.epoch_images)
    model = build_network(recipe.network, name=recipe.name, seed=recipe.run.seed)
    model.to(device=processes.device, memory_format=torch.channels_last)
    centres = CentreLearner(
        head=build_head(recipe.head),
        classes=mix.classes,
        dim=model.dim,
        make_optimizer=partial(_row_optimizer, recipe.optimizer),
        rate=course.learning_rate,
        seed=recipe.run.seed,
        passes=recipe.schedule.accumulate,
        processes=processes,
    )
    facts = {
        **mix.facts,
        "recognizer": recipe.model_dump(mode="json", exclude={"run", "validation", "cache_images"}),
        "validation": None if validation is None else validation.digest,
    }
    loop = TrainingLoop(
        model=model,
        recipe=_for_the_loop(recipe, course),
        facts=facts,
        out=out,
        processes=processes,
        companions=[centres],
        optimizer=build_optimizer(recipe.optimizer, model),
        rate=course.learning_rate,
    )
    stream = RecognitionStream(
        mix,
        batch_size=recipe.schedule.batch_size,
        augmentation=recipe.augmentation,
        centre_share=recipe.centre_share,
        seed=recipe.run.seed,
        images_of_a_person=None if recipe.prototypes is None else recipe.prototypes.images,
    )

    def compute(batch: RecognitionBatch, portion: Portion) -> dict[str, Tensor]:
        model.train()
        with autocast(processes.device, recipe.run.precision):
            embedding = model.embed(batch.images())
        loss = centres.classify(embedding, batch.labels, batch.sampled, images_before=portion.images_before)
        if (options := recipe.prototypes) is None:
            return {recipe.head.kind: loss}
        beside = prototype_loss(embedding, batch.labels, images=options.images, scale=options.scale)
        return {recipe.head.kind: loss, "prototypes": options.weight * beside}

    keeper = _Keeper(recipe, model, out, validation, provenance={"made by": "vec2face train recognizer", **facts})
    summary = loop.run(stream.read, compute, measure=keeper.measure, reporter=reporter)
    if processes.is_main:
        values = describe_run(recipe, facts, [str(source) for source in data], processes, out)
        write_result(values | {"validation": keeper.report()}, [out / RESULT, out / RECOGNIZER / RESULT])
    return summary


class _Keeper:
    """Measures the network in training and saves it, if it is what the recipe keeps."""

    def __init__(
        self,
        recipe: RecognizerRecipe,
        model: Recognizer,
        out: Path,
        validation: Validation | None,
        *,
        provenance: dict[str, Any],
    ) -> None:
        self._recipe, self._model, self._out, self._validation = recipe, model, out, validation
        self._provenance = provenance
        self._history = Validations(out)

    @torch.no_grad()
    def measure(self, average: nn.Module, step: int) -> dict[str, float]:
        network = average if self._recipe.weights == "average" else self._model.eval()
        if not isinstance(network, Recognizer):
            raise RuntimeError("the moving average is not an embedder")
        figures = {}
        best = True
        if self._validation is not None:
            figures["accuracy"] = self._validation.accuracy(network)
            best = self._history.add(step, figures["accuracy"])
        if best or self._recipe.keep == "last":
            write_folder(network, self._out / RECOGNIZER, provenance=self._provenance, replace=True)
        return figures

    def report(self) -> dict[str, Any] | None:
        """Return which set was looked at, what it said, and whether it chose the weights; None without one."""
        if self._validation is None:
            return None
        named = {"name": self._validation.name, "digest": self._validation.digest}
        return {**named, "selected_the_weights": self._recipe.keep == "best", "accuracy_by_step": self._history.values}


def require_whole_people(recipe: RecognizerRecipe, *, processes: int) -> None:
    """Raise `ConfigError` if a pass of some process would hold a part of a person's images, or of one person alone."""
    if recipe.prototypes is not None and not recipe.passes_hold_whole_people(processes=processes):
        people = recipe.schedule.batch_size // recipe.prototypes.images
        raise ConfigError(
            f"a batch of {people} people, {recipe.prototypes.images} images each, cannot be shared by {processes} "
            f"processes in {recipe.schedule.accumulate} passes so that each compares two or more whole people; change "
            "batch_size or prototypes.images."
        )


def _open_mix(
    recipe: RecognizerRecipe, data: Sequence[str | Path], out: Path, processes: Processes, reporter: TrainingReporter
) -> FaceMix:
    options: Sequence[DatasetOptions] = recipe.datasets
    if len(options) == 1:
        options = list(options) * len(data)
    if len(options) != len(data):
        raise ConfigError(
            f"the recipe describes {len(options)} datasets, but {len(data)} are given; "
            "give one --data for each entry of datasets, in their order, or let one entry stand for all."
        )
    caches = [out / "index" / f"{number}.npz" for number in range(len(data))]
    with processes.main_first():
        sets = [
            index_set(source, chosen, cache=cache, on_note=reporter.training_note)
            for source, chosen, cache in zip(data, options, caches, strict=True)
        ]
    return FaceMix(sets, cache_images=recipe.cache_images)


def _row_optimizer(options: OptimizerOptions, weight: Tensor) -> RowOptimizer:
    if isinstance(options, AdamWOptions):
        return RowAdamW(weight, betas=options.betas, weight_decay=options.weight_decay)
    return RowSgd(weight, momentum=options.momentum, weight_decay=options.weight_decay)


def _for_the_loop(recipe: RecognizerRecipe, course: Course) -> TrainingRecipe:
    """Return what the loop itself needs: length, batch and bookkeeping; optimiser and rate are given to it apart."""
    schedule = recipe.schedule
    return TrainingRecipe(
        schedule=Schedule(
            images=course.images,
            batch_size=schedule.batch_size,
            accumulate=schedule.accumulate,
            learning_rate=schedule.learning_rate,
            gradient_clip=schedule.gradient_clip,
        ),
        run=recipe.run,
    )
