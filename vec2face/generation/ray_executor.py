"""Rendering on a Ray cluster: actors hold the network, tasks are shards, and Ray replaces lost workers and nodes.

Ray (arXiv 1712.05889) restarts an actor whose process or node was lost wherever there is room for it, and repeats the
call that was lost with it, here up to a stated number of times.
"""

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from vec2face.config.cluster import RayOptions
from vec2face.errors import ConfigError, Vec2FaceError, WorkerError
from vec2face.generation.agreement import require_agreement
from vec2face.generation.executor import ShardJob
from vec2face.generation.plan import Plan
from vec2face.generation.ray_connection import connected, import_ray, reason

_POLL_SECONDS = 0.5
_NAMED = 10  # failed shards, or nodes, named in a message
_STARTING = 10  # a worker with a place may take so many times longer to start than one may wait for a place


@dataclass(frozen=True)
class Place:
    """Where a call was answered: machine and process."""

    machine: str
    process: int


class ShardWorker:
    """The actor: renders shards, one at a time, with a network of its own."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job

    def begin(self) -> Place:
        """Make sure that shards rendered here belong to the dataset; see `require_agreement`."""
        require_agreement(self._job.plan, self._job.folder)
        return Place(platform.node(), os.getpid())

    def render(self, index: int) -> Place:
        """Render one shard."""
        self._job.render(index, lambda count: None)
        return Place(platform.node(), os.getpid())


class RayActors:
    """Renders on a Ray cluster.

    Rendering begins when the first worker is placed, and further ones join as the cluster finds room for them. A shard
    whose worker was lost too often is left out; the others are finished before the run fails and names it. A process
    that is connected to a cluster already uses that one.

    Args:
        options: cluster, resources, retries.
    """

    here = False

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        self.remark = ""

    def run(self, job: ShardJob, shards: Sequence[int], on_images: Callable[[int], None]) -> Generator[int, None, None]:
        """As `Executor.run`; `on_images` is called once for each shard.

        Raises:
            MissingDependencyError: Ray is not installed.
            ConfigError: no cluster answers, or it has no place for a worker.
            WorkerError: shards lost their workers too often, or a worker could not start.
            Vec2FaceError: what rendering a shard ended with.
        """
        ray = import_ray()
        needs = _needs(self._options, job.plan)
        with connected(ray, self._options.address) as own:
            crew = _Crew(ray, self._options, needs, job, shards)
            if own and not crew.room:
                raise crew.no_place()
            try:
                for index in crew.render():
                    self.remark = crew.remark
                    on_images(job.plan.shard(index).images)
                    yield index
            finally:
                crew.dismiss()


class _Crew:
    """The workers of a run, on a cluster that is connected."""

    def __init__(
        self, ray: ModuleType, options: RayOptions, needs: dict[str, float], job: ShardJob, shards: Sequence[int]
    ) -> None:
        self._ray, self._options, self._needs = ray, options, needs
        self._shards = len(shards)
        self._waiting = deque(shards)
        self._calls: dict[Any, tuple[Any, int | None]] = {}  # call under way -> its worker and shard
        self._places: dict[Any, Place] = {}  # worker -> where it last answered
        self._replaced = 0
        self._failed: dict[int, str] = {}
        # Workers that find a free place are on their way, however long they take to start.
        free = _fits(ray.available_resources(), needs) > 0
        self._patience = options.wait_seconds * (_STARTING if free else 1)
        self._last_answer = time.monotonic()
        actor = ray.remote(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_restarts=-1, max_task_retries=-1)(
            ShardWorker
        )
        for _ in range(min(self._shards, options.workers or max(1, self.room))):
            worker = actor.remote(job)
            self._calls[worker.begin.remote()] = (worker, None)

    @property
    def room(self) -> int:
        """Workers that the cluster's living nodes could hold if they did nothing else."""
        return sum(_fits(node["Resources"], self._needs) for node in self._ray.nodes() if node["Alive"])

    @property
    def remark(self) -> str:
        """How many workers there are, how many were replaced, and how many shards lost theirs for good."""
        told = [f"{len(self._places)} worker{'s' * (len(self._places) != 1)}"]
        if self._replaced:
            told.append(f"{self._replaced} lost and replaced")
        if self._failed:
            told.append(f"{len(self._failed)} shard{'s' * (len(self._failed) != 1)} given up")
        return ", ".join(told)

    def render(self) -> Iterator[int]:
        """Yield shards as they are finished. Raises as `RayActors.run`."""
        retries = self._options.retries
        while self._calls:
            answered, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=_POLL_SECONDS)
            if not answered:
                self._require_progress()
            for call in answered:
                worker, shard = self._calls.pop(call)
                done = self._answer(call, worker, shard)
                if self._waiting:
                    index = self._waiting.popleft()
                    self._calls[worker.render.options(max_task_retries=retries).remote(index)] = (worker, index)
                else:
                    # Its place may be what a worker that was lost with its node waits for.
                    self._ray.kill(worker)
                    self._places.pop(worker, None)
                if done and shard is not None:
                    yield shard
        if self._failed:
            raise self._failures()

    def dismiss(self) -> None:
        """End every worker that is still there."""
        for worker, _ in self._calls.values():
            self._ray.kill(worker)

    def no_place(self) -> ConfigError:
        """Say that no worker fits, and what there is."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        there = "; ".join(f"{node['NodeManagerHostname']}: {_resources(node['Resources'])}" for node in nodes[:_NAMED])
        if self.room:
            free = _resources(self._ray.available_resources())
            why = f"its nodes ({there}) are taken by other work, with {free} free; wait for that"
        else:
            why = f"none of its nodes has as much ({there}); add one that has"
        return ConfigError(
            f"the Ray cluster has no place for a worker that needs {_resources(self._needs)}: {why}, or ask for less "
            "with --cpus-per-worker and --gpus-per-worker."
        )

    def _answer(self, call: Any, worker: Any, shard: int | None) -> bool:
        """Take note of how a call ended; False if its shard is given up."""
        self._last_answer = time.monotonic()
        try:
            place: Place = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Vec2FaceError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            if shard is None:
                raise WorkerError(
                    f"a Ray worker could not start ({reason(error)}); install this version of vec2face on every node."
                ) from None
            self._failed[shard] = reason(error)
            return False
        before = self._places.get(worker)
        self._replaced += before is not None and before != place
        self._places[worker] = place
        return True

    def _require_progress(self) -> None:
        """Raise where nobody has a place to work, and none is to be expected."""
        silent = time.monotonic() - self._last_answer
        if not self._places and silent > self._patience:
            raise self.no_place()
        if self._places and silent > self._options.wait_seconds and not self.room:
            left = len(self._waiting) + sum(shard is not None for _, shard in self._calls.values())
            raise WorkerError(
                f"the Ray cluster lost its last node with {_resources(self._needs)}, and {left} shards are left; "
                "finished ones are kept: add a node and run the same command again."
            )

    def _failures(self) -> WorkerError:
        named = list(self._failed.items())
        told = "; ".join(f"shard {index}: {reason}" for index, reason in named[:_NAMED])
        more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return WorkerError(
            f"{len(named)} of {self._shards} shards lost their worker {self._options.retries + 1} times and are given "
            f"up ({told}{more}); all others are finished: run the same command again to go on, with fewer workers on a "
            "node if memory is short, or with more --retries."
        )


def _needs(options: RayOptions, plan: Plan) -> dict[str, float]:
    """Return what each worker reserves, by Ray's names of resources."""
    compute = plan.recipe.compute
    on_gpu = compute.device == "cuda"
    cpus = float(compute.threads_per_worker) if options.cpus_per_worker is None else options.cpus_per_worker
    gpus = float(on_gpu) if options.gpus_per_worker is None else options.gpus_per_worker
    if on_gpu and not gpus:
        raise ConfigError("the recipe renders on cuda, but workers reserve no GPU; leave --gpus-per-worker 0 out.")
    return {"CPU": cpus, "GPU": gpus}


def _fits(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return how many times `needs` fit into `resources`; something that needs nothing fits once."""
    counts = [int(resources.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items() if amount]
    return min(counts, default=1)


def _resources(amounts: Mapping[str, float]) -> str:
    return " and ".join(f"{amounts.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))
