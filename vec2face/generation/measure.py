"""Measure what a recipe takes of this machine: a few shards of it, made in full in a temporary folder."""

import math
import platform
import tempfile
import time
from pathlib import Path

import torch

from vec2face.arithmetic import settled_recipe
from vec2face.config.generation import GenerateRecipe
from vec2face.config.rates import Rates, decisive_parts
from vec2face.fileio.atomic import write_json
from vec2face.generation.executor import ShardJob
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.inputs import candidate_source, generator_facts, prepare
from vec2face.generation.metadata import write_metadata
from vec2face.identities import draw_apart
from vec2face.progress import ProgressReporter, SilentProgress

BATCHES_PER_SHARD = 2
IMAGES_EACH = 8  # of a person at most, so that a short run sees many people, whose pictures differ in bytes
MOST_SHARDS = 64
SAMPLED = 1000  # identities of the trial sampling


def measure_rates(recipe: GenerateRecipe, *, seconds: float, progress: ProgressReporter | None = None) -> Rates:
    """Render, encode and write images of a recipe for a while, with one worker, and sample identities once.

    The first shard, which loads the network, does not count. The people are fewer than the recipe's and not chosen by
    their pictures; nothing else differs.

    Args:
        recipe: what will be made.
        seconds: how long to render; at least one shard of two batches is finished.
        progress: receives the stages of sampling and "measuring".

    Raises:
        Vec2FaceError: as making the dataset would.
    """
    progress = progress or SilentProgress()
    recipe = settled_recipe(recipe)
    with tempfile.TemporaryDirectory(prefix="vec2face-measure-") as scratch:
        plan, bank = prepare(_shortened(recipe), Path(scratch), progress=progress)
        folder = DatasetFolder(Path(scratch))
        write_json(folder.description, plan.describe())
        bank.save(folder.identities)
        job = ShardJob(plan, folder)
        progress.begin("measuring", total=plan.images, unit="images")
        job.render(0, progress.advance)
        images, spent, shard = 0, 0.0, 0
        while not images or (spent < seconds and shard + 1 < plan.shard_count):
            shard = min(shard + 1, plan.shard_count - 1)
            if plan.shard_count == 1:
                folder.manifest(0).unlink()
            start = time.perf_counter()
            job.render(shard, progress.advance)
            spent += time.perf_counter() - start
            images += plan.shard(shard).images
        written = sum(plan.shard(index).images for index in range(shard + 1))
        write_metadata(folder, shard + 1, lambda: None)
        archives = sum(folder.archive(index).stat().st_size for index in range(shard + 1))
        others = sum(folder.manifest(index).stat().st_size for index in range(shard + 1))
        others += folder.metadata.stat().st_size
    sampled, sampling = _trial_sampling(recipe, progress)
    return Rates(
        machine=_machine(recipe),
        recipe=decisive_parts(recipe),
        images=images,
        images_per_second=images / spent,
        archive_bytes_per_image=archives / written,
        other_bytes_per_image=others / written,
        sampled=sampled,
        sampling_seconds=sampling,
    )


def _shortened(recipe: GenerateRecipe) -> GenerateRecipe:
    """Return the recipe with few people, in shards of about two batches."""
    batches = BATCHES_PER_SHARD * recipe.compute.batch_size
    images = min(recipe.images_per_identity, batches, IMAGES_EACH)
    size = math.ceil(batches / images)
    values: dict[str, object] = {"rendered": None}
    if recipe.identities.sampled_from is not None:
        values["count"] = min(recipe.identities.sampling()[0], MOST_SHARDS * size)
    changes = {
        "identities": recipe.identities.model_copy(update=values),
        "images_per_identity": images,
        "shards": recipe.shards.model_copy(update={"identities_per_shard": size}),
    }
    return recipe.model_copy(update=changes)


def _trial_sampling(recipe: GenerateRecipe, progress: ProgressReporter) -> tuple[int | None, float | None]:
    identities = recipe.identities
    if identities.sampled_from is None:
        return None, None
    count, ceiling = identities.sampling()
    count = min(count, SAMPLED)
    source = candidate_source(recipe, generator_facts(recipe.weights))
    start = time.perf_counter()
    draw_apart(
        source, method=identities.sampling_method(), count=count, ceiling=ceiling, seed=recipe.seed, progress=progress
    )
    return count, time.perf_counter() - start


def _machine(recipe: GenerateRecipe) -> str:
    on_gpu = recipe.compute.device == "cuda"
    device = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    threads = recipe.compute.threads_per_worker
    return f"{device}, {threads} CPU thread{'s' * (threads != 1)}, torch {torch.__version__}"
