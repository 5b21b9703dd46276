"""Importing and exporting files, and what is refused on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vec2face.checkpoints import export_checkpoint, import_checkpoint, load_embedder, safe_load
from vec2face.checkpoints.formats import find_format
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.models.embedders.iresnet import IResNet
from vec2face.models.generator.generator import Vec2FaceGenerator

RELU6 = "mobilefacenet-relu6"


def test_import_then_export_gives_the_same_weights(tmp_path: Path, relu6_checkpoint: Path) -> None:
    import_checkpoint(relu6_checkpoint, RELU6, tmp_path / "net", licence="test terms", source={"repository": "a/b"})
    provenance = json.loads((tmp_path / "net" / "provenance.json").read_text())
    assert provenance == {
        "file": relu6_checkpoint.name,
        "format": RELU6,
        "licence": "test terms",
        "repository": "a/b",
        "sha256": sha256_file(relu6_checkpoint),
    }
    embedder: Any = load_embedder(str(tmp_path / "net"))
    assert (embedder.name, embedder.dim, embedder.training) == ("net", 24, False)
    export_checkpoint(tmp_path / "net", RELU6, tmp_path / "again.pth")
    before, after = safe_load(relu6_checkpoint), safe_load(tmp_path / "again.pth")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_name_can_be_chosen(tmp_path: Path, relu6_checkpoint: Path) -> None:
    import_checkpoint(relu6_checkpoint, RELU6, tmp_path / "net", name="my-space")
    assert load_embedder(str(tmp_path / "net")).name == "my-space"


def test_half_precision_becomes_single(tmp_path: Path, relu6_checkpoint: Path) -> None:
    state = safe_load(relu6_checkpoint)
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "half.pth")
    import_checkpoint(tmp_path / "half.pth", RELU6, tmp_path / "net")
    embedder: Any = load_embedder(str(tmp_path / "net"))
    assert {p.dtype for p in embedder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), r"does not know: extra\.weight\."),
        (lambda s: s.pop("conv3.bias"), r"lacks conv3\.bias\."),
        (lambda s: s.pop("bn.weight"), r"has no 'bn\.weight', so it is not of this format"),
        (lambda s: s.update({"conv3.bias": torch.zeros(5)}), r"conv3\.bias \(5,\) where the network has \(24,\)"),
        (lambda s: s.update({"bn.weight": torch.zeros(())}), r"'bn\.weight' has the shape \(\), not 1 axes"),
        (lambda s: s.update({7: torch.zeros(1)}), r"not weights where weights belong: 7"),
        (lambda s: s.update({"epoch": 3}), r"not weights where weights belong: epoch"),
    ],
)
def test_keys_that_do_not_fit_are_named(tmp_path: Path, relu6_checkpoint: Path, change: Any, message: str) -> None:
    state = safe_load(relu6_checkpoint)
    change(state)
    torch.save(state, tmp_path / "changed.pth")
    with pytest.raises(WeightsError, match=message):
        import_checkpoint(tmp_path / "changed.pth", RELU6, tmp_path / "net")
    assert not (tmp_path / "net").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["changed.pth"]


def test_existing_targets_are_kept(tmp_path: Path, relu6_checkpoint: Path) -> None:
    import_checkpoint(relu6_checkpoint, RELU6, tmp_path / "net")
    with pytest.raises(WeightsError, match="exists already"):
        import_checkpoint(relu6_checkpoint, RELU6, tmp_path / "net")
    (tmp_path / "file.pth").write_text("precious")
    with pytest.raises(WeightsError, match="exists already"):
        export_checkpoint(tmp_path / "net", RELU6, tmp_path / "file.pth")
    assert (tmp_path / "file.pth").read_text() == "precious"
    with pytest.raises(WeightsError, match=r"\.pth"):
        export_checkpoint(tmp_path / "net", RELU6, tmp_path / "file.safetensors")


def test_formats_that_do_not_suit_are_refused(tmp_path: Path, relu6_checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="no checkpoint format 'onnx'; known: vec2face-generator"):
        import_checkpoint(relu6_checkpoint, "onnx", tmp_path / "net")
    with pytest.raises(WeightsError, match="holds no 'model_vec2face'"):
        import_checkpoint(relu6_checkpoint, "vec2face-generator", tmp_path / "net")
    with pytest.raises(WeightsError, match="holds no 'model_vec2face' and no 'pose_model'"):
        import_checkpoint(relu6_checkpoint, "vec2face-plus", tmp_path / "net")
    with pytest.raises(WeightsError, match="no IResNet of a known depth"):
        import_checkpoint(relu6_checkpoint, "arcface-torch", tmp_path / "net")
    import_checkpoint(relu6_checkpoint, RELU6, tmp_path / "net")
    with pytest.raises(WeightsError, match="MobileFaceNetReLU6 that the format sixdrepnet cannot store"):
        export_checkpoint(tmp_path / "net", "sixdrepnet", tmp_path / "out.pth")


def test_networks_are_not_stored_with_the_wrong_pixels_or_parts() -> None:
    with torch.device("meta"):
        arcface, gated = IResNet(depth=18), IResNet(depth=18, squeeze_excitation="first_blocks")
        magface = IResNet(depth=18, color_order="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        plain_decoder = Vec2FaceGenerator.from_size("small")
    stores = {
        name: [find_format(name).table_for(network) is not None for network in (arcface, magface, gated)]
        for name in ("arcface-torch", "magface", "iresnet-se")
    }
    assert stores == {
        "arcface-torch": [True, False, False],
        "magface": [False, True, False],
        "iresnet-se": [False, False, True],
    }
    assert find_format("vec2face-generator").table_for(plain_decoder) is None


def test_a_gated_network_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    file_format = find_format("iresnet-se")
    network = IResNet(depth=18, squeeze_excitation="first_blocks")
    table = file_format.table_for(network)
    assert table is not None
    torch.save(table.to_foreign(network.state_dict(), where="test"), tmp_path / "se.pth")
    with pytest.raises(WeightsError, match=r"layer1\.0\.attn\.fc1\.weight"):
        import_checkpoint(tmp_path / "se.pth", "arcface-torch", tmp_path / "net")


@pytest.mark.parametrize("prefix", ["features.module.", "module.features.", "features.", "module.", ""])
@pytest.mark.parametrize("wrapped", [True, False])
def test_magface_files_of_every_published_layout(prefix: str, wrapped: bool) -> None:
    body = {"conv1.weight": torch.zeros(1), "fc.weight": torch.ones(1), "features.weight": torch.zeros(1)}
    content: dict[str, Any] = {prefix + key: tensor for key, tensor in body.items()}
    if "features" in prefix:
        # The classifier that the network was trained with.
        content["module.fc.weight" if prefix.startswith("module.") else "fc.weight"] = torch.zeros(9)
    file = {"state_dict": content, "epoch": 24} if wrapped else content
    assert find_format("magface").unwrap(file, where="test").keys() == body.keys()
    assert torch.equal(find_format("magface").unwrap(file, where="test")["fc.weight"], torch.ones(1))


def test_repvgg_training_form_is_explained(tmp_path: Path) -> None:
    torch.save({"layer0.rbr_dense.conv.weight": torch.zeros(1)}, tmp_path / "t.pth")
    with pytest.raises(WeightsError, match="training form"):
        import_checkpoint(tmp_path / "t.pth", "sixdrepnet", tmp_path / "net")


def test_generators_of_other_sizes_are_refused() -> None:
    state = {"latent_prior_proj_f.weight": torch.zeros(96, 512), "blocks.3.norm1.weight": torch.zeros(96)}
    with pytest.raises(WeightsError, match="width is 96, with 4 encoder and 0 decoder blocks"):
        find_format("vec2face-generator").recognise(state, "test")


def test_what_training_leaves_beside_the_weights_is_ignored() -> None:
    weights, pose = {"norm.weight": torch.zeros(1)}, {"module.conv1.weight": torch.zeros(1)}
    content = {"model_vec2face": weights, "pose_model": pose, "optimizer": {"state": {}}, "epoch": 9, "args": object()}
    assert find_format("vec2face-generator").unwrap(content, where="test").keys() == weights.keys()
    parts = find_format("vec2face-plus").unwrap(content, where="test")
    assert parts.keys() == {"model_vec2face.norm.weight", "pose_model.conv1.weight"}
