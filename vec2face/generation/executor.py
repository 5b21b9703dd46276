"""Where shards are rendered: in this process, or in several local ones. A shard's bytes do not depend on it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import connection
from typing import Any, Protocol

from vec2face.checkpoints import load_generator
from vec2face.errors import WorkerError
from vec2face.fileio.mirror import local_file
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.plan import Plan
from vec2face.generation.render import Renderer
from vec2face.generation.shard import render_shard, write_shard
from vec2face.generation.steered import steered_images
from vec2face.generation.steering_inputs import open_steering
from vec2face.generation.verify import Damage, inspect_shard
from vec2face.identities.slices import BankSlices
from vec2face.steering.optimise import Steering

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class ShardJob:
    """What a process needs to render shards of a dataset; the network is loaded at the first one."""

    plan: Plan
    folder: DatasetFolder
    device_index: int = 0

    @cached_property
    def _renderer(self) -> Renderer:
        recipe = self.plan.recipe
        return Renderer(
            generator=load_generator(recipe.weights),
            compute=recipe.compute,
            mask_ratio_min=self.plan.mask.min,
            adapter_strength=self.plan.adapter_strength,
            device_index=self.device_index,
        )

    @cached_property
    def _steering(self) -> Steering:
        return open_steering(self.plan, self.device_index)

    @cached_property
    def _bank(self) -> BankSlices:
        return BankSlices(local_file(self.folder.identities))

    def render(self, index: int, on_images: Callable[[int], None]) -> None:
        """Render one shard, unless it is finished by now; see `render_shard`."""
        if not isinstance(inspect_shard(self.folder, self.plan.shard_fingerprint(index), index), Damage):
            on_images(self.plan.shard(index).images)
            return
        if self.plan.attributes is None:
            render_shard(self.plan, self.folder, index, renderer=self._renderer, bank=self._bank, on_images=on_images)
        else:
            images = steered_images(self.plan, self.plan.shard(index), self._bank, self._steering)
            write_shard(self.plan, self.folder, index, images=images, on_images=on_images)


class Executor(Protocol):
    """Renders shards somewhere."""

    @property
    def here(self) -> bool:
        """Whether it renders on this machine's devices."""

    @property
    def remark(self) -> str:
        """What to say beside the progress, such as how many workers there are at present; may be empty."""

    def run(self, job: ShardJob, shards: Sequence[int], on_images: Callable[[int], None]) -> Generator[int, None, None]:
        """Yield the index of each shard as it is finished, in any order.

        Args:
            job: what to render.
            shards: indices of the shards.
            on_images: called in this process with numbers of images rendered since the last call.
        """


class InProcess:
    """Renders one shard after another in this process."""

    here, remark = True, ""

    def run(self, job: ShardJob, shards: Sequence[int], on_images: Callable[[int], None]) -> Generator[int, None, None]:
        for index in shards:
            job.render(index, on_images)
            yield index


class LocalProcesses:
    """Renders in `workers` processes of this machine, each with its own copy of the network.

    An error in one shard stops the others between two batches, and is raised here. What is finished stays.
    """

    here, remark = True, ""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, job: ShardJob, shards: Sequence[int], on_images: Callable[[int], None]) -> Generator[int, None, None]:
        """As `Executor.run`. Raises `WorkerError` if a process is killed or crashes."""
        # Fresh processes: a fork would copy torch's thread pools in an unusable state.
        context = multiprocessing.get_context("spawn")
        rendered, stop, number = context.Value("q", 0), context.Event(), context.Value("i", 0)
        pool = ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_start_worker, initargs=(job, rendered, stop, number)
        )
        waiting = iter(shards)
        running: dict[Future[None], int] = {}
        reported = 0
        try:
            while True:
                # Few shards are handed out ahead, so that memory does not grow with their number.
                while len(running) < 2 * self.workers and (index := next(waiting, None)) is not None:
                    with _interrupts_held():
                        running[pool.submit(_render, index)] = index
                if not running:
                    return
                finished, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                # Read without the lock, which a killed worker may hold for ever.
                total = rendered.get_obj().value
                on_images(total - reported)
                reported = total
                for future in finished:
                    index = running.pop(future)
                    future.result()
                    yield index
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process died, most often because memory ran out; finished shards are kept: run the same "
                "command again to go on, with fewer --workers if memory is short."
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def executor_for(workers: int, shards: int) -> Executor:
    """Choose the executor: this process for one worker or one shard, else as many processes as are of use."""
    return InProcess() if min(workers, shards) <= 1 else LocalProcesses(min(workers, shards))


def default_workers(device: str) -> int:
    """Return how many processes to use where nobody says: one per usable CPU core, or one per GPU."""
    if device == "cuda":
        import torch

        return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Stopped(Exception):
    """The run is over; this shard is given up."""


class _Worker:
    """State of a worker process, set once by `_start_worker`."""

    job: ShardJob
    rendered: Any
    stop: Any


def _start_worker(job: ShardJob, rendered: Any, stop: Any, number: Any) -> None:
    # Ctrl-C reaches every process of the terminal; only the parent acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with number.get_lock():
        mine = number.value
        number.value += 1
    _Worker.job = ShardJob(job.plan, job.folder, device_index=mine)
    _Worker.rendered, _Worker.stop = rendered, stop


def _end_with_parent() -> None:
    """End this process when its parent is killed: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _render(index: int) -> None:
    def on_images(count: int) -> None:
        if _Worker.stop.is_set():
            raise _Stopped
        with _Worker.rendered.get_lock():
            _Worker.rendered.value += count

    _Worker.job.render(index, on_images)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they inherit that, and so stay silent until they ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
