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

from tests.networks import tiny_generator
from vec2face.checkpoints.tables.mobilefacenet import MOBILEFACENET_RELU6
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.mobilefacenet import MobileFaceNetReLU6
from vec2face.models.generator.generator import Vec2FaceGenerator


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


@pytest.fixture(scope="session")
def small_generator() -> Vec2FaceGenerator:
    """A tiny generator with random weights, in eval mode."""
    return tiny_generator(feature_dim=16, feature_space="test-space").eval()


@pytest.fixture(scope="session")
def small_embedder() -> CompactEmbedder:
    """A tiny embedder with random weights, in eval mode."""
    torch.manual_seed(0)
    return CompactEmbedder(name="test-space", dim=16, widths=(8, 8, 8, 8)).eval()


@pytest.fixture
def weights_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of pulled weights."""
    monkeypatch.setenv("VEC2FACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


@pytest.fixture(scope="session")
def relu6_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published-looking checkpoint of the smallest supported network, with random weights."""
    torch.manual_seed(0)
    state = MOBILEFACENET_RELU6.to_foreign(MobileFaceNetReLU6(dim=24).state_dict(), where="test")
    path = tmp_path_factory.mktemp("published") / "mobilefacenet.pth"
    torch.save(state, path)
    return path
