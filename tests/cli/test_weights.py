"""`vec2face weights` as a user meets it."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from click.testing import CliRunner, Result

from vec2face.checkpoints.tables.mobilefacenet import MOBILEFACENET_RELU6
from vec2face.errors import Vec2FaceError
from vec2face.models.embedders.mobilefacenet import MobileFaceNetReLU6
from vec2face.registry import ENTRIES
from vec2face_cli.weights import weights


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEC2FACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = MOBILEFACENET_RELU6.to_foreign(MobileFaceNetReLU6(dim=8).state_dict(), where="test")
    torch.save(state, tmp_path / "published.pth")
    return tmp_path / "published.pth"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(weights, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The message of the user error that the command ends with."""
    result = run(*arguments)
    assert isinstance(result.exception, Vec2FaceError), result.output
    return str(result.exception)


def test_list_names_everything() -> None:
    rows = json.loads(run("list", "--json").output)
    assert [row["name"] for row in rows] == list(ENTRIES)
    assert {row["present"] for row in rows if row["tier"] == "published"} == {False}
    table = run("list").output
    assert all(name in table for name in ENTRIES)


def test_import_show_export(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / "net"
    result = run("import", checkpoint, "--format", "mobilefacenet-relu6", "--out", folder, "--licence", "MIT")
    assert (result.exit_code, result.output) == (0, f"{folder}\n")
    facts = json.loads(run("show", folder, "--json").output)
    assert facts["provenance"]["licence"] == "MIT"
    assert facts["configuration"]["name"] == "net"
    assert len(facts["weights_sha256"]) == 64
    assert facts["parameters"] == sum(tensor.numel() for tensor in MobileFaceNetReLU6(dim=8).state_dict().values())
    assert "weights_sha256: " + facts["weights_sha256"] in run("show", folder).output
    out = tmp_path / "again.pth"
    assert run("export", folder, "--format", "mobilefacenet-relu6", "--out", out).exit_code == 0
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, out))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_damaged_folder_is_not_shown_as_if_it_were_whole(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / "net"
    run("import", checkpoint, "--format", "mobilefacenet-relu6", "--out", folder)
    weights_path = folder / "diffusion_pytorch_model.safetensors"
    whole = weights_path.read_bytes()
    weights_path.write_bytes(whole[:-100])
    assert "damaged or cut short" in refusal("show", folder)
    weights_path.write_bytes(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dim": "x"}))
    assert "dim: input should be a valid integer" in refusal("show", folder)
    assert "show embedded-generator or embedded-embedder" in refusal("show", "embedded")


def test_pull_then_show_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> None:
    vectors = tmp_path / "center_feature_examples.npy"
    vectors.write_bytes(b"vectors")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_args, **_options: str(vectors))
    result = run("pull", "vec2face-identities")
    assert result.exit_code == 0
    assert str(home / "weights" / "vec2face-identities") in result.output
    facts = json.loads(run("show", "vec2face-identities", "--json").output)
    assert facts["present"]
    assert facts["files"] == ["center_feature_examples.npy"]
    assert "is expected" in refusal("pull", "vec2face-identities", "--sha256", "0" * 64)


def test_mistakes_are_one_sentence(tmp_path: Path, checkpoint: Path) -> None:
    assert "named 'nothing'" in refusal("pull", "vec2face-base", "nothing")
    assert "ships with the package" in refusal("pull", "embedded-generator")
    assert "one name at a time" in refusal("pull", "vec2face-base", "sixdrepnet", "--sha256", "0" * 64)
    unknown_format = run("import", checkpoint, "--format", "x", "--out", tmp_path / "n")
    assert unknown_format.exit_code == 2
    assert "'x' is not one of 'vec2face-generator'" in unknown_format.output
    assert "No such file" in refusal("import", tmp_path / "no.pth", "--format", "magface", "--out", tmp_path / "n")
    assert "holds no config.json" in refusal("export", tmp_path, "--format", "magface", "--out", tmp_path / "x.pth")
    assert "neither a network's folder" in refusal("show", "nothing")
