"""Reading ahead: batches are made in threads while the device computes, and the time spent waiting is counted."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import torch

from vec2face.training.portion import Portion


class Transferable(Protocol):
    """What a batch must be able to do."""

    def pin(self) -> Self:
        """Move to page-locked memory, from which a GPU copies while it computes."""

    def to(self, device: torch.device) -> Self:
        """Move to a device; the copy may still be under way on return."""


BatchT = TypeVar("BatchT", bound=Transferable)


class ReadAhead(Generic[BatchT]):
    """Hands out the batches of portions in their order, made ahead by threads.

    Args:
        read: makes the batch of a portion, in any thread.
        portions: of this process, in the order they are asked for.
        device: where the batches are wanted.
        readers: threads.
    """

    def __init__(
        self,
        read: Callable[[Portion], BatchT],
        portions: Iterator[Portion],
        *,
        device: torch.device,
        readers: int,
    ) -> None:
        self._read, self._portions, self._device = read, portions, device
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="batches")
        self._ahead: deque[tuple[Portion, Future[BatchT]]] = deque()
        self._depth = readers + 1
        self.waited = 0.0

    def __enter__(self) -> Self:
        self._fill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self, portion: Portion) -> BatchT:
        """Return the batch of the next portion on the device; seconds spent here are added to `waited`.

        That is the time the computation has to wait: for reading and blending that are not finished, and for handing
        the batch over to the device.
        """
        began = time.monotonic()
        expected, future = self._ahead.popleft()
        if expected != portion:
            raise RuntimeError(f"{portion} was asked for out of turn; {expected} is next")
        batch = future.result().to(self._device)
        self._fill()
        self.waited += time.monotonic() - began
        return batch

    def _fill(self) -> None:
        while len(self._ahead) < self._depth:
            portion = next(self._portions, None)
            if portion is None:
                return
            self._ahead.append((portion, self._pool.submit(self._make, portion)))

    def _make(self, portion: Portion) -> BatchT:
        batch = self._read(portion)
        return batch.pin() if self._device.type == "cuda" else batch
