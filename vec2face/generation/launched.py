"""Rendering in the processes of a launcher (torchrun, accelerate launch): one for each GPU, or several on CPUs.

The first process plans, begins the dataset, renders and finishes it; the others render only. Each takes the next shard
when it is free, by a counter in the store through which the launcher lets its processes find each other.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from vec2face.errors import DatasetError, Vec2FaceError, WorkerError
from vec2face.fileio.location import Location
from vec2face.generation.executor import InProcess, ShardJob
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.launcher import ProcessPlace
from vec2face.generation.plan import Plan

_POLL_SECONDS = 0.2
_FAREWELL_SECONDS = 10.0  # the first process may hold the store that the others still ask
_ANSWER_LIMIT = timedelta(minutes=5)


class _Stopped(Exception):
    """The first process has ended the run."""


@dataclass(frozen=True)
class LaunchedProcesses:
    """The processes of a launcher: an executor in the first of them, while the others `serve`.

    Attributes:
        place: which of the processes this is.
        store: what all of them reach.
    """

    place: ProcessPlace
    store: Store

    @property
    def here(self) -> bool:
        """Each process renders on its own machine, and so does the first."""
        return True

    @classmethod
    def connect(cls, place: ProcessPlace) -> "LaunchedProcesses":
        """Find the other processes, by the launcher's environment variables."""
        store, _, _ = next(rendezvous("env://", place.index, place.count, timeout=_ANSWER_LIMIT))
        return cls(place, PrefixStore("vec2face", store))

    @property
    def remark(self) -> str:
        """How many processes there are."""
        return f"{self.place.count} processes"

    def run(self, job: ShardJob, shards: Sequence[int], on_images: Callable[[int], None]) -> Generator[int, None, None]:
        """As `Executor.run`, in the first process. Raises `WorkerError` if another one failed.

        The others serve once: what is rendered after that, to repair a dataset, is rendered here.
        """
        job = replace(job, device_index=self.place.local_index)
        if self.store.check(["work"]):
            yield from InProcess().run(job, shards, on_images)
            return
        self.store.set("work", json.dumps({"plan": job.plan.fingerprint, "shards": list(shards)}))
        left, heard, counted = len(shards), 0, 0

        def with_others(count: int) -> None:
            nonlocal counted
            theirs = self.store.add("images", 0)
            on_images(count + theirs - counted)
            counted = theirs

        def from_others() -> Iterator[int]:
            nonlocal left, heard
            while self.store.check([f"finished/{heard}"]):
                yield int(self.store.get(f"finished/{heard}"))
                heard += 1
                left -= 1

        for index in self._taken(shards):
            job.render(index, with_others)
            left -= 1
            yield index
            yield from from_others()
        while left:
            if self.store.check(["failed"]):
                raise WorkerError(self.store.get("failed").decode())
            time.sleep(_POLL_SECONDS)
            with_others(0)
            yield from from_others()

    @contextmanager
    def others_waiting(self) -> Iterator[None]:
        """In the first process: let the others go when the work inside has ended, however it did."""
        try:
            yield
        finally:
            self.store.set("stop", "")
            deadline = time.monotonic() + _FAREWELL_SECONDS
            while self.store.add("gone", 0) < self.place.count - 1 and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    def serve(self, out: Location, plan: Callable[[], Plan]) -> None:
        """In every other process: wait until the dataset is begun, render shards of it, and return when none is left.

        Args:
            out: the dataset's folder.
            plan: makes the plan; called when the first process has found the identities.

        Raises:
            DatasetError: this process would render another plan.
            Vec2FaceError: what rendering ended with; the first process is told.
        """
        try:
            self._render(out, plan)
        except _Stopped:
            pass
        except Vec2FaceError as error:
            self.store.set("failed", f"process {self.place.index} of the launcher failed: {error}")
            raise
        finally:
            self.store.add("gone", 1)

    def _render(self, out: Location, plan: Callable[[], Plan]) -> None:
        while not self.store.check(["work"]):
            self._require_run()
            time.sleep(_POLL_SECONDS)
        work = json.loads(self.store.get("work"))
        mine = plan()
        if mine.fingerprint != work["plan"]:
            raise DatasetError(
                f"it would render another dataset than {out} is, for its recipe, weights, library releases or choice "
                "of --dtype auto are not those of the first process; start all processes alike."
            )
        job = ShardJob(mine, DatasetFolder(out), device_index=self.place.local_index)

        def on_images(count: int) -> None:
            self._require_run()
            self.store.add("images", count)

        for index in self._taken(work["shards"]):
            job.render(index, on_images)
            self.store.set(f"finished/{self.store.add('told', 1) - 1}", str(index))

    def _taken(self, shards: Sequence[int]) -> Iterator[int]:
        """Yield shards that no other process has taken."""
        while (number := self.store.add("taken", 1)) <= len(shards):
            yield shards[number - 1]

    def _require_run(self) -> None:
        if self.store.check(["stop"]):
            raise _Stopped
