"""Generate a dataset from its plan, or a part of it, or finish what earlier runs began."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vec2face.errors import InputError
from vec2face.fileio.atomic import write_json
from vec2face.fileio.location import Location
from vec2face.generation.executor import Executor, InProcess, ShardJob, executor_for
from vec2face.generation.folder import (
    DatasetFolder,
    check_destination,
    check_space,
    holds_plan,
    make_folder,
    remove_leftovers,
)
from vec2face.generation.hold import FolderInUseError, exclusive, shared
from vec2face.generation.manifest import read_manifest
from vec2face.generation.metadata import metadata_problem, write_metadata
from vec2face.generation.part import Part
from vec2face.generation.plan import Plan
from vec2face.generation.verify import Damage, bank_problem, inspect_shard
from vec2face.identities import IdentityBank
from vec2face.progress import ProgressReporter, SilentProgress

Check = Literal["content", "size"]

_QUESTIONS_AT_ONCE = 16  # each waits for an answer from a store


@dataclass(frozen=True)
class GenerationSummary:
    """What a run did and what now stands in the folder.

    Attributes:
        out: the dataset's folder.
        identities, images, rejects, shards: totals of the dataset; `images` counts those kept. While shards are missing
            `images` is what is planned.
        rendered_images, rendered_shards: what this run rendered.
        seconds: how long rendering took, wall clock.
        missing_shards: shards that other runs have yet to render.
        finished: whether this run left the dataset whole, its table written or checked; of several runs that render
            parts, the one that comes last finishes for all.
    """

    out: Location
    identities: int
    images: int
    rejects: int
    shards: int
    rendered_images: int
    rendered_shards: int
    seconds: float
    missing_shards: int = 0
    finished: bool = True

    @property
    def was_complete(self) -> bool:
        """Whether there was nothing left to render."""
        return self.rendered_shards == 0


def generate(
    plan: Plan,
    out: Location,
    *,
    bank: IdentityBank,
    workers: int,
    part: Part | None = None,
    progress: ProgressReporter | None = None,
    executor: Executor | None = None,
    check: Check | None = None,
) -> GenerationSummary:
    """Write the dataset, or those parts of it that are missing or damaged.

    May be killed at any moment: the same call goes on from the last finished shard, and ends with the same bytes as an
    undisturbed run.

    With `part` it writes some shards, beside other runs that write others, or the same. The run after which no shard is
    missing finishes the dataset as a run of the whole does: it hashes every shard, renders again what is damaged, and
    writes the table.

    Args:
        plan, bank: from `vec2face.generation.inputs.prepare`.
        out: folder of the dataset, new, empty, or holding a part of the same dataset.
        workers: processes to render with, 1 or more.
        part: the shards to write; None writes all. An empty part begins the dataset, so that later runs find its
            identities.
        progress: receives the stages "checking", "rendering" and "metadata".
        executor: where shards are rendered; None chooses by `workers`.
        check: how finished shards are told from damaged ones: by reading and hashing their content, or by their size
            alone. None reads the content in a folder, and asks for the size behind a URL, where reading may be paid by
            the byte and a write cut short never shows.

    Raises:
        InputError: several processes are to write to a store that lives in one.
        ConfigError: there are no such shards as the part's.
        DatasetError: the folder holds something else, or another run is writing to it; runs of parts share it with each
            other alone.
        StorageError: the disk is full or cannot be written; finished shards are kept.
        WorkerError: a worker process died; finished shards are kept.
    """
    selected = None if part is None else part.of(plan.shard_count)
    folder = _open(out)
    run = _Run(plan, folder, bank, workers, executor, progress or SilentProgress(), check)
    if selected is not None:
        return _generate_part(run, selected)
    with exclusive(folder):
        begun = holds_plan(folder, plan)
        remove_leftovers(folder)
        return run.whole(begun=begun)


def _generate_part(run: "_Run", selected: range) -> GenerationSummary:
    plan, folder = run.plan, run.folder
    with shared(folder) as hold:
        begun = holds_plan(folder, plan, alone=hold.alone)
        if hold.alone:
            remove_leftovers(folder)
        run.begin(begun=begun)
        hold.admit_others()
        unfinished = run.unfinished(selected)
        run.check_space(unfinished)
        work = run.render(unfinished, among=selected)
    if missing := plan.shard_count - _manifests(folder, plan):
        return run.summary(work, missing_shards=missing, finished=False)
    try:
        with exclusive(folder):
            if metadata_problem(folder, plan.images) is None:
                return run.summary(work, finished=False)
            remove_leftovers(folder)
            return run.whole(begun=True, before=work)
    except FolderInUseError:
        # Whoever holds the folder now looks for missing shards after this, and finds none.
        return run.summary(work, finished=False)


@dataclass(frozen=True)
class _Work:
    """Images and shards that a run rendered, and the seconds it took."""

    images: int = 0
    shards: int = 0
    seconds: float = 0.0

    def __add__(self, other: "_Work") -> "_Work":
        return _Work(self.images + other.images, self.shards + other.shards, self.seconds + other.seconds)


@dataclass(frozen=True)
class _Run:
    """The steps of a run; the caller holds the folder."""

    plan: Plan
    folder: DatasetFolder
    bank: IdentityBank
    workers: int
    executor: Executor | None
    progress: ProgressReporter
    check: Check | None

    def whole(self, *, begun: bool, before: _Work | None = None) -> GenerationSummary:
        """Render whatever is missing or damaged, and write the table."""
        folder, plan = self.folder, self.plan
        every = range(plan.shard_count)
        unfinished = self.unfinished(every)
        self.check_space(unfinished)
        self.begin(begun=begun)
        work = self.render(unfinished, among=every) + (before or _Work())
        # Of workers that were killed.
        remove_leftovers(folder)
        images, rejects = _totals(folder, plan)
        if metadata_problem(folder, images + rejects):
            self.progress.begin("metadata", total=plan.shard_count, unit="shards")
            write_metadata(folder, plan.shard_count, lambda: self.progress.advance(1))
        return self.summary(work, images=images, rejects=rejects)

    def begin(self, *, begun: bool) -> None:
        """Write the description and the bank where they are not there."""
        if not begun:
            write_json(self.folder.description, self.plan.describe())
        if bank_problem(self.folder, self.plan.bank.sha256):
            self.bank.save(self.folder.identities)

    def check_space(self, shards: Sequence[int]) -> None:
        """Raise `StorageError` unless there is room for the shards."""
        if shards:
            check_space(self.folder, self.plan, images=self._images(shards))

    def unfinished(self, selected: Sequence[int]) -> list[int]:
        """Return those of the selected shards that are missing or damaged."""
        if not self.folder.shards.is_dir():
            return list(selected)
        self.progress.begin("checking", total=len(selected), unit="shards")
        found = []
        with ThreadPoolExecutor(1 if isinstance(self.folder.root, Path) else _QUESTIONS_AT_ONCE) as pool:
            for index, damaged in zip(selected, pool.map(self._damaged, selected), strict=True):
                if damaged:
                    found.append(index)
                self.progress.advance(1)
        return found

    def _damaged(self, index: int) -> bool:
        content = self.check == "content" if self.check else isinstance(self.folder.root, Path)
        found = inspect_shard(self.folder, self.plan.shard_fingerprint(index), index, content=content)
        return isinstance(found, Damage)

    def render(self, shards: list[int], *, among: Sequence[int]) -> _Work:
        """Render shards, none of them finished; all others of `among` are."""
        if not shards:
            return _Work()
        images, total = self._images(shards), self._images(among)
        executor = self.executor or executor_for(self.workers, len(shards))
        root = self.folder.root
        if not isinstance(root, Path) and root.in_one_process and not isinstance(executor, InProcess):
            raise InputError(f"{root} is seen by one process alone; render with --workers 1, or choose another store.")
        finished = len(among) - len(shards)
        started = time.monotonic()
        self.progress.begin("rendering", total=total, unit="images", done=total - images)

        def on_images(count: int) -> None:
            remark = f", {executor.remark}" if executor.remark else ""
            self.progress.advance(count, note=f"{finished} of {len(among)} shards{remark}")

        with closing(executor.run(ShardJob(self.plan, self.folder), shards, on_images)) as rendered:
            for _ in rendered:
                finished += 1
                on_images(0)
        return _Work(images, len(shards), time.monotonic() - started)

    def summary(
        self,
        work: _Work,
        *,
        images: int | None = None,
        rejects: int = 0,
        missing_shards: int = 0,
        finished: bool = True,
    ) -> GenerationSummary:
        """Sum up; without `images`, those planned."""
        return GenerationSummary(
            out=self.folder.root,
            identities=self.plan.bank.count,
            images=self.plan.images if images is None else images,
            rejects=rejects,
            shards=self.plan.shard_count,
            rendered_images=work.images,
            rendered_shards=work.shards,
            seconds=work.seconds,
            missing_shards=missing_shards,
            finished=finished,
        )

    def _images(self, shards: Sequence[int]) -> int:
        return sum(self.plan.shard(index).images for index in shards)


def _open(out: Location) -> DatasetFolder:
    folder = DatasetFolder(out)
    check_destination(folder)
    make_folder(folder)
    return folder


def _manifests(folder: DatasetFolder, plan: Plan) -> int:
    """Count the plan's shards that have a manifest, by one listing: a store answers each question in its own time."""
    names = {entry.name for entry in folder.shards.iterdir()} if folder.shards.is_dir() else set()
    return sum(folder.manifest(index).name in names for index in range(plan.shard_count))


def _totals(folder: DatasetFolder, plan: Plan) -> tuple[int, int]:
    images = rejects = 0
    for index in range(plan.shard_count):
        manifest = read_manifest(folder.manifest(index))
        images, rejects = images + manifest.count, rejects + manifest.rejects
    return images, rejects
