"""Weights by rule, and what the reference implementations made of them."""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor


def rule_tensor(name: str, shape: list[int], dtype: str) -> Tensor:
    """One tensor of a reference network by the rule in the golden outputs' README."""
    if not dtype.startswith("float"):
        return torch.arange(shape[1])[None] if name.endswith("position_ids") else torch.zeros(shape, dtype=torch.int64)
    r = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 1 + 0.1 * r.abs()
    if name.endswith("running_mean"):
        return 0.1 * r
    if name.endswith("bias"):
        return 0.02 * r
    if len(shape) == 1:
        return 0.25 + 0.05 * r if "prelu" in name else 1 + 0.1 * r
    return r / math.sqrt(math.prod(shape[1:]))


@dataclass(frozen=True)
class Golden:
    folder: Path

    def state(self, name: str) -> dict[str, Any]:
        """The reference network's state dict (or dict of them), filled by the rule."""
        listing = json.loads((self.folder / f"{name}.json").read_text())["state_dict"]
        if all(isinstance(value, list) for value in listing.values()):
            return {key: rule_tensor(key, *value) for key, value in listing.items()}
        return {part: {k: rule_tensor(k, *v) for k, v in keys.items()} for part, keys in listing.items()}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The stored inputs and outputs."""
        return load_file(self.folder / f"{name}.safetensors")


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip("no golden outputs beside the project")
    return Golden(folder)
