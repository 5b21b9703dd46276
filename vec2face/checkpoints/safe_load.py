"""Read a checkpoint without running anything that it holds."""

import argparse
import math
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from vec2face.errors import WeightsError

_SAFETENSORS = ".safetensors"
_PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_LFS_POINTER = b"version https://git-lfs"

# How torch's restricted unpickler names what it will not build.
_FOREIGN_OBJECT = re.compile(r"GLOBAL (\S+)")

# Training scripts keep their parsed options beside the weights; a namespace holds attributes and runs nothing.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]


def safe_load(path: Path) -> dict[str, Any]:
    """Read a checkpoint: safetensors, or a pickle by torch's restricted unpickler.

    Args:
        path: a `.safetensors` file, or `.pth`, `.pt`, `.bin`, `.ckpt` or `.tar` as `torch.save` writes them.

    Returns:
        What the file holds: tensors by name, or for pickles whatever dict was saved.

    Raises:
        WeightsError: the file is missing, damaged, cut short, of another kind, or asks to run code.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise WeightsError(f"cannot read the checkpoint {path}: {error.strerror}.") from None
    if head.startswith(_LFS_POINTER):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights themselves; fetch the file it stands for.")
    if path.suffix == _SAFETENSORS:
        return _load_safetensors(path)
    if path.suffix in _PICKLES:
        return _load_pickle(path)
    raise WeightsError(f"{path} is not a checkpoint: expected {_SAFETENSORS}, or one of {', '.join(_PICKLES)}.")


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or cut short ({_one_line(error)}); copy or download it again.") from None


def count_parameters(path: Path) -> int:
    """Return how many numbers a `.safetensors` file holds, from its header. Raises `WeightsError` if it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  no mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or cut short ({_one_line(error)}); copy or download it again.") from None


def _load_pickle(path: Path) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a notice about the pickle's protocol, or about TorchScript
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything, depending on the opcodes it happens to hold
        foreign = _FOREIGN_OBJECT.search(str(error))
        if isinstance(error, pickle.UnpicklingError) and foreign:
            raise WeightsError(
                f"{path} was refused: besides weights it holds {foreign[1]}, and reading that could run code; "
                "ask its author for the weights alone, best as safetensors."
            ) from None
        raise WeightsError(
            f"{path} is damaged, cut short or not a checkpoint of torch.save; copy or download it again."
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a dict of weights.")
    return content


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
