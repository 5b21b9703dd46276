"""Examine images in this process or in several; the results come in the source's order either way."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from vec2face.data.prepare.examine import Examined, Examiner
from vec2face.errors import WorkerError

_AHEAD = 3  # batches handed out for each worker, so that none waits and memory stays flat


class Examination:
    """Runs an examiner over ranges of positions; use it as a context manager."""

    def __init__(self, examiner: Examiner, workers: int) -> None:
        """Take the examiner; `workers` 1 means this process."""
        self._examiner, self._workers = examiner, workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Examination":
        if self._workers > 1:
            # Fresh processes: a fork would copy the thread pools of torch and OpenCV in an unusable state.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=context, initializer=_start, initargs=(self._examiner,)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, ranges: Sequence[tuple[int, int]]) -> Iterator[list[Examined]]:
        """Yield what was found out about each range's images.

        Raises:
            InputError: the source is damaged.
            WorkerError: a process was killed or crashed.
        """
        if self._pool is None:
            for start, stop in ranges:
                yield self._examiner.examine(start, stop)
            return
        waiting: deque[Future[list[Examined]]] = deque()
        pending = iter(ranges)
        try:
            while True:
                while len(waiting) < _AHEAD * self._workers and (bounds := next(pending, None)) is not None:
                    waiting.append(self._pool.submit(_examine, *bounds))
                if not waiting:
                    return
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process died, most often because memory ran out; finished shards are kept: run the same "
                "command again to go on, with fewer --workers if memory is short."
            ) from None


class _Worker:
    """State of a worker process, set once by `_start`."""

    examiner: Examiner


def _start(examiner: Examiner) -> None:
    import cv2

    # Ctrl-C reaches every process of the terminal; only the parent acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _Worker.examiner = examiner


def _examine(start: int, stop: int) -> list[Examined]:
    return _Worker.examiner.examine(start, stop)
