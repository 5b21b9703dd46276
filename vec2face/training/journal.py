"""What a run writes down: a line of JSON per entry, and the same for TensorBoard where it is wanted."""

import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from PIL import Image

from vec2face.errors import MissingDependencyError, StorageError
from vec2face.fileio.atomic import explain_os_error, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

JOURNAL = "journal.jsonl"
TENSORBOARD = "tensorboard"


def preview_path(out: Path, step: int) -> Path:
    """Return where the preview sheet of a step stands in a run's folder, if the training draws one."""
    return out / "previews" / f"step_{step:07d}.png"


class Journal:
    """The journal of a run that goes on from `step`: what was written after that step is taken back.

    Args:
        out: folder of the run.
        step: steps done; entries of later ones come from a run that was stopped after its last checkpoint.
        tensorboard: write `out/tensorboard` too.

    Raises:
        MissingDependencyError: TensorBoard is wanted, but is not installed.
        StorageError: the folder cannot be written.
    """

    def __init__(self, out: Path, *, step: int, tensorboard: bool) -> None:
        self._out, self._path = out, out / JOURNAL
        self._events = _tensorboard(out / TENSORBOARD, step) if tensorboard else None
        _take_back(self._path, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()

    def write(self, line: dict[str, Any]) -> None:
        """Add an entry: "step" and figures."""
        try:
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        if self._events is not None:
            for name, value in line.items():
                if name != "step":
                    self._events.add_scalar(name, value, line["step"])

    def show_preview(self, step: int) -> None:
        """Show TensorBoard the preview sheet of a step, if one was drawn."""
        picture = preview_path(self._out, step)
        if self._events is not None and picture.is_file():
            with Image.open(picture) as image:
                self._events.add_image("preview", np.asarray(image.convert("RGB")), step, dataformats="HWC")


def require_tensorboard() -> None:
    """Raise `MissingDependencyError` if TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401  whether it can be imported is the question
    except ImportError:
        raise MissingDependencyError(
            "run.tensorboard needs the package tensorboard, which is not installed: "
            "pip install 'vec2face[tensorboard]', or leave --tensorboard out."
        ) from None


def _tensorboard(folder: Path, step: int) -> "SummaryWriter":
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    # TensorBoard hides what earlier files hold from this step on.
    return SummaryWriter(str(folder), purge_step=step + 1)


def _take_back(path: Path, step: int) -> None:
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}.") from None
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) != len(lines):
        write_text(path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
    # A line cut short by a pulled plug belongs to no finished step.
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
