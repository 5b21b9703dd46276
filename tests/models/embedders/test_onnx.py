"""ONNX recognisers made for the test: batches, pixels, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from vec2face.checkpoints import digest, load_embedder
from vec2face.contracts import InputContract
from vec2face.errors import ContractError, WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.models.embedders.onnx import RAW_PIXEL_CONTRACT, OnnxEmbedder, external_files

DIM = 5


def write_recogniser(
    path: Path,
    *,
    batch: int | str = "N",
    side: int | str = 112,
    channels: int = 3,
    normalises: bool = False,
    outputs: int = 1,
    width: int | str = DIM,
) -> Path:
    """A recogniser that averages each channel over the image and maps the three means linearly."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal((channels, DIM)).astype(np.float32), "weight")
    nodes, name = [], "input"
    constants = [weight]
    if normalises:
        constants += [
            numpy_helper.from_array(np.float32(127.5).reshape(1), "mean"),
            numpy_helper.from_array(np.float32(1 / 127.5).reshape(1), "scale"),
        ]
        nodes += [
            helper.make_node("Sub", ["input", "mean"], ["centred"], name="_minusscalar0"),
            helper.make_node("Mul", ["centred", "scale"], ["scaled"], name="_mulscalar0"),
        ]
        name = "scaled"
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        *(
            helper.make_node("MatMul", ["flat", "weight"], [f"output{index}"], name=f"linear{index}")
            for index in range(outputs)
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, side, side])],
        [
            helper.make_tensor_value_info(f"output{index}", TensorProto.FLOAT, [batch, width])
            for index in range(outputs)
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def expected_embedding(path: Path, images: torch.Tensor) -> torch.Tensor:
    (weight,) = [t for t in onnx.load(str(path)).graph.initializer if t.name == "weight"]
    return images.mean((2, 3)) @ torch.from_numpy(numpy_helper.to_array(weight).copy())


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(count)) * 2 - 1


@pytest.mark.parametrize("batch", ["N", 1, 2, 4])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_any_batch_through_a_fixed_or_free_one(tmp_path: Path, batch: Any, count: int) -> None:
    path = write_recogniser(tmp_path / "net.onnx", batch=batch)
    embedder = OnnxEmbedder(path)
    assert (embedder.name, embedder.dim) == ("net", DIM)
    found = embedder.embed(images(count))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected_embedding(path, images(count)), rtol=1e-4, atol=1e-5)


def test_no_images_give_no_embeddings(tmp_path: Path) -> None:
    assert OnnxEmbedder(write_recogniser(tmp_path / "net.onnx", batch=2)).embed(images(1)[:0]).shape == (0, DIM)


def test_a_free_width_is_found_by_running(tmp_path: Path) -> None:
    assert OnnxEmbedder(write_recogniser(tmp_path / "net.onnx", width="D", side="S")).dim == DIM


def test_a_graph_that_normalises_takes_raw_pixels(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx", normalises=True)
    embedder = OnnxEmbedder(path)
    assert embedder.contract == RAW_PIXEL_CONTRACT
    # The graph's own normalisation leads back to [-1, 1].
    torch.testing.assert_close(embedder.embed(images(2)), expected_embedding(path, images(2)), rtol=1e-3, atol=1e-4)


def test_an_explicit_contract_is_kept(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    contract = InputContract(color_order="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    embedder = OnnxEmbedder(path, contract=contract, name="space")
    assert embedder.name == "space"
    pixels = (images(2).flip(1) + 1) / 2
    pixels = (pixels - torch.tensor(contract.mean).view(1, 3, 1, 1)) / torch.tensor(contract.std).view(1, 3, 1, 1)
    torch.testing.assert_close(embedder.embed(images(2)), expected_embedding(path, pixels), rtol=1e-4, atol=1e-4)


def test_load_embedder_takes_onnx_files(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    assert load_embedder(str(path)).dim == DIM
    assert digest(str(path), kind="embedder") == sha256_file(path)


def test_load_embedder_reads_the_contract_beside_the_file(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    contract = InputContract(color_order="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    (tmp_path / "net.contract.json").write_text(json.dumps(contract.to_dict()))
    embedder = load_embedder(str(path))
    assert embedder.contract == contract
    torch.testing.assert_close(embedder.embed(images(2)), OnnxEmbedder(path, contract=contract).embed(images(2)))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"size": 112, "color_order": "GRB", "mean": [0, 0, 0], "std": [1, 1, 1]}']
)
def test_a_bad_contract_is_refused(tmp_path: Path, text: str) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    (tmp_path / "net.contract.json").write_text(text)
    with pytest.raises(WeightsError, match=r"net\.contract\.json is no input contract"):
        load_embedder(str(path))


def test_external_data_counts_in_the_digest(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    assert external_files(path) == [tmp_path / "net.data"]
    before = digest(str(path), kind="embedder")
    data = bytearray((tmp_path / "net.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "net.data").write_bytes(bytes(data))
    assert digest(str(path), kind="embedder") != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 1}, "a recogniser takes float32 images"),
        ({"outputs": 2}, "1 inputs and 2 outputs"),
        ({"side": 224}, "takes 224x224 pixels; say what it was trained on"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        OnnxEmbedder(write_recogniser(tmp_path / "net.onnx", **options))


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    path = write_recogniser(tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="no ONNX file"):
        OnnxEmbedder(tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match="onnxruntime has no TurboProvider here; available: "):
        OnnxEmbedder(path, providers=("TurboProvider",))
    with pytest.raises(ContractError, match="its contract says 96"):
        OnnxEmbedder(path, contract=InputContract(size=96))
    with pytest.raises(ContractError, match="align the faces first"):
        OnnxEmbedder(path).embed(torch.zeros(1, 3, 96, 96))
