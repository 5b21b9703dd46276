"""The development networks beside the project, on real images, in torch and as ONNX."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from vec2face.checkpoints.convert import to_checkpoint, to_network
from vec2face.checkpoints.formats import find_format
from vec2face.checkpoints.safe_load import safe_load
from vec2face.contracts import InputContract
from vec2face.models.embedders.onnx import OnnxEmbedder

pytestmark = pytest.mark.development_data

IMAGENET = InputContract(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def faces(shared: Path) -> Tensor:
    """The first two images of lfw_dev.bin, `(2, 3, 112, 112)` in [-1, 1]."""
    path = shared / "data" / "lfw_dev.bin"
    if not path.is_file():
        pytest.skip("no lfw_dev.bin beside the project")
    images = pickle.loads(path.read_bytes())[0][:2]  # noqa: S301  the project's own development file
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def stored_embedding(shared: Path, name: str) -> Tensor:
    (embedding,) = load_file(shared / "weights" / f"{name}_golden.safetensors").values()
    return embedding


@pytest.mark.parametrize(
    ("file", "format_name", "golden_name"),
    [
        ("teacher_mobilefacenet_ms1m", "mobilefacenet-relu6", "teacher"),
        ("judge_mobilefacenet_casia", "mobilefacenet-prelu", "judge"),
    ],
)
def test_torch_network(shared: Path, faces: Tensor, file: str, format_name: str, golden_name: str) -> None:
    path = shared / "weights" / f"{file}.safetensors"
    content, file_format = safe_load(path), find_format(format_name)
    network: Any = to_network(content, file_format, where=str(path))
    with torch.inference_mode():
        found = network.embed(faces)
    expected = stored_embedding(shared, golden_name)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    exported = to_checkpoint(network, file_format, where=str(path))
    assert exported.keys() == content.keys()
    assert all(torch.equal(exported[key], content[key]) for key in content)


def test_onnx_network_with_external_data_and_batch_one(shared: Path, faces: Tensor) -> None:
    embedder = OnnxEmbedder(shared / "weights" / "MobileFaceNet.onnx", contract=IMAGENET)
    expected = stored_embedding(shared, "teacher")
    assert embedder.dim == 128
    assert (embedder.embed(faces) - expected).abs().max() <= 1e-4 * expected.abs().max()
