"""Progress of a training run on stderr: images seen, rate, time left, losses; and how a stopped one ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vec2face_cli.interruption import end


class RichTrainingReporter:
    """Shows a bar on a terminal, and a line per journal entry elsewhere."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, rate="", losses="")

    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None:
        text = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        rate = f"{images_per_second:.0f} images/s"
        self._progress.update(self._task, completed=images, total=total, rate=rate, losses=text)
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{images}/{total} images, {rate}, {text}", soft_wrap=True)

    def training_note(self, text: str) -> None:
        self._progress.console.print(text, soft_wrap=True)


def is_main_process() -> bool:
    """Whether this process speaks for the run: the only one, or the first of those a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """End a stopped training with one line, which says whether there is a checkpoint to go on from."""
    from vec2face.training.checkpoint import CHECKPOINT

    try:
        yield
    except KeyboardInterrupt as error:
        end(error, "the last checkpoint is kept" if (out / CHECKPOINT).is_file() else "")


@contextmanager
def training_progress(title: str) -> Iterator[RichTrainingReporter]:
    """Give a reporter that lives as long as the training."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not is_main_process()) as progress:
        yield RichTrainingReporter(progress, title)
