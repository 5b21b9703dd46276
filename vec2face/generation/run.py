"""Generate a dataset from its plan, or finish what an earlier run began."""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vec2face.fileio.atomic import write_json
from vec2face.generation.executor import Executor, ShardJob, executor_for
from vec2face.generation.folder import (
    DatasetFolder,
    check_destination,
    check_space,
    exclusive,
    holds_plan,
    make_folder,
    remove_leftovers,
)
from vec2face.generation.manifest import read_manifest
from vec2face.generation.metadata import metadata_problem, write_metadata
from vec2face.generation.plan import Plan
from vec2face.generation.verify import Damage, bank_problem, inspect_shard
from vec2face.identities import IdentityBank
from vec2face.progress import ProgressReporter, SilentProgress


@dataclass(frozen=True)
class GenerationSummary:
    """What a run did and what now stands in the folder.

    Attributes:
        out: the dataset's folder.
        identities, images, rejects, shards: totals of the dataset; `images` counts those kept.
        rendered_images, rendered_shards: what this run rendered.
        seconds: how long rendering took, wall clock.
    """

    out: Path
    identities: int
    images: int
    rejects: int
    shards: int
    rendered_images: int
    rendered_shards: int
    seconds: float

    @property
    def was_complete(self) -> bool:
        """Whether there was nothing left to render."""
        return self.rendered_shards == 0


def generate(
    plan: Plan,
    out: Path,
    *,
    bank: IdentityBank,
    workers: int,
    progress: ProgressReporter | None = None,
    executor: Executor | None = None,
) -> GenerationSummary:
    """Write the dataset, or those parts of it that are missing or damaged.

    May be killed at any moment: the same call goes on from the last finished shard, and ends with the same bytes as an
    undisturbed run.

    Args:
        plan, bank: from `vec2face.generation.inputs.prepare`.
        out: folder of the dataset, new, empty, or holding a part of the same dataset.
        workers: processes to render with, 1 or more.
        progress: receives the stages "checking", "rendering" and "metadata".
        executor: where shards are rendered; None chooses by `workers`.

    Raises:
        DatasetError: the folder holds something else, or another run is writing to it.
        StorageError: the disk is full or cannot be written; finished shards are kept.
        WorkerError: a worker process died; finished shards are kept.
    """
    progress = progress or SilentProgress()
    folder = DatasetFolder(out)
    check_destination(folder)
    make_folder(folder)
    with exclusive(folder):
        begun = holds_plan(folder, plan)
        remove_leftovers(folder)
        unfinished = _unfinished(folder, plan, progress)
        if unfinished:
            check_space(folder, plan, images=sum(plan.shard(index).images for index in unfinished))
        if not begun:
            write_json(folder.description, plan.describe())
        if bank_problem(folder, plan.bank.sha256):
            bank.save(folder.identities)
        started = time.monotonic()
        if unfinished:
            chosen = executor or executor_for(workers, len(unfinished))
            _render(ShardJob(plan, folder), chosen, unfinished, progress)
        seconds = time.monotonic() - started
        images, rejects = _totals(folder, plan)
        if metadata_problem(folder, images + rejects):
            progress.begin("metadata", total=plan.shard_count, unit="shards")
            write_metadata(folder, plan.shard_count, lambda: progress.advance(1))
    return GenerationSummary(
        out=out,
        identities=plan.bank.count,
        images=images,
        rejects=rejects,
        shards=plan.shard_count,
        rendered_images=sum(plan.shard(index).images for index in unfinished),
        rendered_shards=len(unfinished),
        seconds=seconds,
    )


def _unfinished(folder: DatasetFolder, plan: Plan, progress: ProgressReporter) -> list[int]:
    if not folder.shards.is_dir():
        return list(range(plan.shard_count))
    progress.begin("checking", total=plan.shard_count, unit="shards")
    unfinished = []
    for index in range(plan.shard_count):
        if isinstance(inspect_shard(folder, plan.shard_fingerprint(index), index), Damage):
            unfinished.append(index)
        progress.advance(1)
    return unfinished


def _render(job: ShardJob, executor: Executor, unfinished: list[int], progress: ProgressReporter) -> None:
    plan = job.plan
    finished = plan.shard_count - len(unfinished)
    waiting = sum(plan.shard(index).images for index in unfinished)
    progress.begin("rendering", total=plan.images, unit="images", done=plan.images - waiting)

    def on_images(count: int) -> None:
        progress.advance(count, note=f"{finished} of {plan.shard_count} shards")

    with closing(executor.run(job, unfinished, on_images)) as shards:
        for _ in shards:
            finished += 1
            on_images(0)


def _totals(folder: DatasetFolder, plan: Plan) -> tuple[int, int]:
    images = rejects = 0
    for index in range(plan.shard_count):
        manifest = read_manifest(folder.manifest(index))
        images, rejects = images + manifest.count, rejects + manifest.rejects
    return images, rejects
