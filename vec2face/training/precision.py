"""The arithmetic of a training: parameters stay float32, and autocast computes in half precision where asked."""

from collections.abc import Callable
from typing import TypeVar, cast

import torch

from vec2face.arithmetic import computes_bfloat16, slowness
from vec2face.config.recognition import RecognizerRecipe
from vec2face.config.training import Precision, TrainingRecipe
from vec2face.training.processes import Processes

RecipeT = TypeVar("RecipeT", bound=TrainingRecipe | RecognizerRecipe)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def settled(recipe: RecipeT, processes: Processes, *, on_note: Callable[[str], None] | None = None) -> RecipeT:
    """Return the recipe with the precision that `run.precision: auto` stands for on the devices of a run.

    It is bfloat16 where every process has instructions for it, and float32 elsewhere. Every process must call this.

    Args:
        recipe: of any training.
        processes: this process and its fellows.
        on_note: told, in the main process, where the precision that the recipe names is slow.
    """
    slow = slowness(recipe.run.precision, processes.device, better="run.precision: auto")
    if slow and on_note is not None and processes.is_main:
        on_note(slow)
    if recipe.run.precision != "auto":
        return recipe
    everywhere = all(processes.everywhere(float(computes_bfloat16(processes.device))))
    run = recipe.run.model_copy(update={"precision": "bfloat16" if everywhere else "float32"})
    return cast(RecipeT, recipe.model_copy(update={"run": run}))


def dtype_of(precision: Precision) -> torch.dtype:
    """Return the type that matrix products and convolutions run in. Raises `KeyError` for auto, which is none."""
    return _DTYPES[precision]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context in which `device` computes in `precision`; for float32 it changes nothing."""
    # Autocast warns of a float32 target even while it is off, so it is told of bfloat16 there.
    half = torch.bfloat16 if precision == "float32" else dtype_of(precision)
    return torch.autocast(device.type, half, enabled=precision != "float32")


def loss_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Return what keeps small gradients representable in float16; for other precisions it passes everything through."""
    return torch.amp.GradScaler(device.type, enabled=dtype_of(precision) is torch.float16)
