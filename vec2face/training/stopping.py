"""Stopping a training between two steps: the first signal is noted, the second acts at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequests:
    """While open, notes the first SIGINT or SIGTERM instead of letting it interrupt a step.

    With the note, the handlers that stood before come back, so a second signal ends the process as it always would. A
    signal that was ignored stays ignored. Outside the main thread, where Python takes no signals, nothing is changed.
    """

    def __init__(self, on_request: Callable[[], None]) -> None:
        self.received: int | None = None
        self._on_request = on_request
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                # None: a handler that Python did not set, which it could not put back.
                if handler is not None and handler is not signal.SIG_IGN:
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def end(self) -> None:
        """Let the noted signal act, as it would have without this class; another process's request acts as SIGTERM."""
        self._put_back()
        signal.raise_signal(self.received or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._put_back()
        self._on_request()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
