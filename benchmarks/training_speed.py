"""How fast embedders and generators train on this machine: images a second, share of time spent waiting for data.

    python benchmarks/training_speed.py --device cuda --embedder-recipe embedded --generator-recipe embedded

The steps are the trainers' own, on a face pack of random pixels in a temporary folder, with the recipe's batch size.
float32 and half precision take turns in short runs, and the medians of their steps are compared, so that a machine that
is busy with something else slows both alike and the ratio stands.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from vec2face.config.library import load_recipe
from vec2face.config.training import EmbedderRecipe, GeneratorRecipe, TrainingRecipe
from vec2face.contracts import IMAGE_SIZE
from vec2face.data.facepack import FORMAT, WHOLE_IMAGE
from vec2face.fileio.atomic import write_json

FEATURE_DIM = 128
WARM_STEPS = 2  # left out of each run: memory is allocated and kernels are chosen
HALVES = ("float32", "bfloat16")

Train = Callable[[Any, Path, Path], object]


@dataclass(frozen=True)
class TrainingSpeed:
    """One trainer in one precision.

    Attributes:
        trainer: embedder or generator.
        precision: of its passes.
        batch_size: images a step.
        images_per_second: median over the steps.
        data_wait_share: share of the steps' time that waited for reading, blending and copies to the device.
    """

    trainer: str
    precision: str
    batch_size: int
    images_per_second: float
    data_wait_share: float


class Quiet:
    """A reporter that keeps nothing: the journal has it all."""

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None:
        pass

    def training_note(self, text: str) -> None:
        pass


def write_random_pack(folder: Path, *, images: int, seed: int = 0) -> Path:
    """Write a face pack of random pixels and random features, as `vec2face data pack` lays one out."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", rng.integers(0, 256, (images, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8))
    np.save(folder / "features.npy", rng.standard_normal((images, 2, FEATURE_DIM)).astype(np.float16))
    np.save(folder / "valid.npy", np.broadcast_to(WHOLE_IMAGE, (images, 4, 2)))
    names = [f"{number:06d}" for number in range(images)]
    # The last person is held out, so that the measurement at the end of each run is of one face.
    held_out = [number == images - 1 for number in range(images)]
    index = {"format": FORMAT, "names": names, "groups": names, "holdout": held_out, "facts": {"images": images}}
    write_json(folder / "index.json", index)
    return folder


def measure(
    trainer: str, recipe: TrainingRecipe, train: Train, pack: Path, folder: Path, *, steps: int, rounds: int
) -> list[TrainingSpeed]:
    """Train a few steps in each precision, in turn, and read the pace from the journals.

    Args:
        trainer: what the result calls it.
        recipe: its batch size, threads, networks and losses count; every late loss begins with the first image.
        train: (recipe, pack, folder of the run) -> anything.
        pack: a face pack.
        folder: an empty folder for the runs.
        steps: counted steps of each run.
        rounds: runs of each precision.
    """
    lines: dict[str, list[dict[str, float]]] = {precision: [] for precision in HALVES}
    for number in range(rounds):
        for precision in HALVES:
            out = folder / f"{trainer}-{precision}-{number}"
            train(shortened(recipe, precision=precision, steps=steps + WARM_STEPS), pack, out)
            journal = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
            lines[precision] += [line for line in journal if "images_per_second" in line][WARM_STEPS:]
    size = recipe.schedule.batch_size
    return [
        TrainingSpeed(
            trainer=trainer,
            precision=precision,
            batch_size=size,
            images_per_second=statistics.median(line["images_per_second"] for line in measured),
            data_wait_share=statistics.fmean(line["data_wait_share"] for line in measured),
        )
        for precision, measured in lines.items()
    ]


def shortened(recipe: TrainingRecipe, *, precision: str, steps: int) -> TrainingRecipe:
    """Return the recipe for so many steps, each with a journal line, with all of its losses from the start."""
    values = recipe.model_dump()
    values["schedule"] |= {"images": steps * recipe.schedule.batch_size, "warmup_images": 0}
    values["run"] |= {"precision": precision, "log_every": 1, "checkpoint_every": steps, "preview_every": steps}
    values |= {"blends": 0} if "blends" in values else {}
    if "losses" in values:
        values["losses"] |= {key: 0 for key in values["losses"] if key.endswith("_start_images")}
    return type(recipe).model_validate(values)


@click.command(context_settings={"max_content_width": 110})
@click.option("--embedder-recipe", default="embedded", show_default=True, help="A file or a shipped name.")
@click.option("--generator-recipe", default="embedded", show_default=True, help="A file or a shipped name.")
@click.option("--trainer", type=click.Choice(["embedder", "generator", "both"]), default="both", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Counted steps of each run.")
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True, help="Runs of each precision.")
@click.option("--images", type=click.IntRange(min=2), default=1024, show_default=True, help="Faces in the pack.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def main(
    embedder_recipe: str,
    generator_recipe: str,
    trainer: Literal["embedder", "generator", "both"],
    steps: int,
    rounds: int,
    images: int,
    device: str,
) -> None:
    """Measure training steps on random faces; print a line of JSON for each trainer and precision."""
    from vec2face.checkpoints import load_embedder
    from vec2face.training.embedder import train_embedder
    from vec2face.training.generator import train_generator

    def embedder(recipe: EmbedderRecipe, pack: Path, out: Path) -> None:
        train_embedder(recipe, pack=pack, out=out, reporter=Quiet(), device=device)

    def generator(recipe: GeneratorRecipe, pack: Path, out: Path) -> None:
        train_generator(
            recipe,
            pack=pack,
            out=out,
            embedder=load_embedder("embedded"),
            judge=None,
            initial=None,
            reporter=Quiet(),
            device=device,
        )

    wanted: dict[str, tuple[TrainingRecipe, Train]] = {}
    if trainer != "generator":
        wanted["embedder"] = load_recipe(embedder_recipe, EmbedderRecipe), embedder
    if trainer != "embedder":
        recipe = load_recipe(generator_recipe, GeneratorRecipe)
        # The vectors are stored, so that embedding the pack is no part of the run.
        wanted["generator"] = recipe.model_copy(update={"features": "stored"}), generator
    with tempfile.TemporaryDirectory() as scratch:
        pack = write_random_pack(Path(scratch) / "pack", images=images)
        for name, (values, train) in wanted.items():
            speeds = measure(name, values, train, pack, Path(scratch), steps=steps, rounds=rounds)
            for speed in speeds:
                ratio = speed.images_per_second / speeds[0].images_per_second
                print(json.dumps({**asdict(speed), "over_float32": round(ratio, 3)}))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
