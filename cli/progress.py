"""Show the progress of long work on stderr: bars with rate and time left, or plain lines without a terminal."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

_LINE_SECONDS = 30.0
_RATED_SECONDS = 0.5  # a rate over less says nothing


class _RateColumn(TextColumn):
    """Units a second, over the recent past."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f} {task.fields['unit']}/s" if task.speed else "")


class TerminalProgress:
    """A `vec2face.progress.ProgressReporter` for people; use it as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            _RateColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._lines = _Lines(self._console) if not self._console.is_terminal else None

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
        """Start a bar; see `vec2face.progress.ProgressReporter`."""
        if self._lines is not None:
            self._lines.begin(stage, total, unit, done)
        self._task = self._bars.add_task(stage, total=total, completed=done, unit=unit, note="")

    def advance(self, amount: int, *, note: str = "") -> None:
        """Move the bar; see `vec2face.progress.ProgressReporter`."""
        if self._lines is not None:
            self._lines.advance(amount, note)
        if self._task is not None:
            self._bars.update(self._task, advance=amount)
            if note:
                self._bars.update(self._task, note=note)

    def note(self, text: str) -> None:
        """Print a line above the bars; see `vec2face.progress.ProgressReporter`."""
        self._console.print(text, highlight=False, soft_wrap=True)


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, stage: str, total: int, unit: str, done: int) -> None:
        self._stage, self._total, self._unit, self._done = stage, total, unit, done
        self._first, self._started, self._written = done, time.monotonic(), time.monotonic()

    def advance(self, amount: int, note: str) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._written < _LINE_SECONDS and (self._done < self._total or not amount):
            return
        self._written = now
        seconds = now - self._started
        rate = (self._done - self._first) / seconds if seconds >= _RATED_SECONDS else 0.0
        speed = f", {rate:,.1f} {self._unit}/s" if rate > 0 else ""
        left = f", {(self._total - self._done) / rate:,.0f} s left" if rate > 0 and self._done < self._total else ""
        remark = f", {note}" if note else ""
        self._console.print(
            f"{self._stage}: {self._done:,} of {self._total:,} {self._unit}{speed}{left}{remark}",
            highlight=False,
            soft_wrap=True,
        )
