"""What a recogniser's training leaves behind besides the weights: `result.json`, and the validation's history."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import vec2face
from vec2face.config.recognition import RecognizerRecipe
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_json
from vec2face.training.journal import JOURNAL
from vec2face.training.processes import Processes

RESULT = "result.json"
VALIDATION = "validation.json"


class Validations:
    """The accuracy at each measured step, kept in the run's folder so that a resumed run knows its best.

    Attributes:
        values: step -> accuracy in [0, 1], up to the last step that was added.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / VALIDATION
        self.values: dict[int, float] = {}
        if self._path.is_file():
            try:
                stored = json.loads(self._path.read_text(encoding="utf-8"))
                self.values = {int(step): float(value) for step, value in stored.items()}
            except (OSError, ValueError, AttributeError, TypeError) as error:
                raise InputError(f"cannot read {self._path} ({error}); begin anew in another folder.") from None

    def add(self, step: int, accuracy: float) -> bool:
        """Add a step, and return whether it is better than every one before it.

        What a run that was stopped after its last checkpoint had measured later is forgotten: it is measured again.
        """
        before = {earlier: value for earlier, value in self.values.items() if earlier < step}
        self.values = {**before, step: accuracy}
        write_json(self._path, {str(key): value for key, value in self.values.items()})
        return not before or accuracy > max(before.values())


def describe_run(
    recipe: RecognizerRecipe, facts: dict[str, Any], sources: Sequence[str], processes: Processes, out: Path
) -> dict[str, Any]:
    """Return the facts of a finished run.

    Args:
        recipe: as it was run.
        facts: of the data, see `FaceMix.facts`.
        sources: the datasets as they were named.
        processes: what it ran on.
        out: folder of the run, whose journal covers its earlier parts too.
    """
    device = processes.device
    lines = (json.loads(line) for line in (out / JOURNAL).read_text(encoding="utf-8").splitlines())
    last = [line for line in lines if "seconds" in line][-1]  # the others are measurements
    seconds = float(last["seconds"])
    datasets = [{"source": source, **facts["datasets"][str(number)]} for number, source in enumerate(sources)]
    return {
        "format": "vec2face-recognizer-1",
        "recipe": recipe.model_dump(mode="json"),
        "datasets": datasets,
        "classes": facts["classes"],
        "seed": recipe.run.seed,
        "images_seen": last["images"],
        "seconds": seconds,
        "images_per_second": round(last["images"] / max(seconds, 1e-9), 2),
        "losses": {key.removeprefix("loss/"): v for key, v in last.items() if key.startswith("loss/")},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": processes.count,
        "versions": {"vec2face": vec2face.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def write_result(values: dict[str, Any], paths: Sequence[Path]) -> None:
    """Write the facts of a run to each of the paths."""
    for path in paths:
        write_json(path, values)
