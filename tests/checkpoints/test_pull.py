"""Pulling published files, with the hub replaced by local files."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch

from vec2face.checkpoints import load_embedder
from vec2face.checkpoints.pull import pull
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.registry import WeightsEntry, find_entry

ENTRY = WeightsEntry(
    name="test-embedder",
    kind="embedder",
    tier="published",
    purpose="test",
    licence="test terms",
    repository="someone/faces",
    file="weights/net.pth",
    format="mobilefacenet-relu6",
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, relu6_checkpoint: Path) -> dict[str, Path]:
    """What the hub holds, by repository and file; may be changed."""
    files = {"someone/faces/weights/net.pth": relu6_checkpoint}

    def hf_hub_download(repository: str, file: str, *, repo_type: str) -> str:
        assert repo_type == "model"
        if f"{repository}/{file}" not in files:
            raise huggingface_hub.errors.LocalEntryNotFoundError("offline")
        return str(files[f"{repository}/{file}"])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return files


def test_pull_converts_and_records(hub: dict[str, Path], weights_home: Path, relu6_checkpoint: Path) -> None:
    assert pull(ENTRY) == weights_home / "test-embedder"
    embedder = load_embedder(str(weights_home / "test-embedder"))
    assert (embedder.name, embedder.dim) == ("test-embedder", 24)
    provenance = json.loads((weights_home / "test-embedder" / "provenance.json").read_text())
    assert provenance["sha256"] == sha256_file(relu6_checkpoint)
    assert provenance["repository"] == "someone/faces"
    assert provenance["licence"] == "test terms"
    pull(ENTRY)


def test_a_changed_file_is_refused_unless_its_digest_is_given(
    hub: dict[str, Path], weights_home: Path, relu6_checkpoint: Path, tmp_path: Path
) -> None:
    pull(ENTRY)
    first = sha256_file(relu6_checkpoint)
    state = torch.load(relu6_checkpoint, weights_only=True)
    state["conv3.bias"] += 1
    changed = tmp_path / "changed.pth"
    torch.save(state, changed)
    hub["someone/faces/weights/net.pth"] = changed
    with pytest.raises(WeightsError, match=f"{first} is expected.*--sha256 {sha256_file(changed)}"):
        pull(ENTRY)
    assert json.loads((weights_home / "test-embedder" / "provenance.json").read_text())["sha256"] == first
    pull(ENTRY, expected=sha256_file(changed).upper())
    assert json.loads((weights_home / "test-embedder" / "provenance.json").read_text())["sha256"] != first


def test_a_wrong_digest_leaves_nothing(hub: dict[str, Path], weights_home: Path) -> None:
    with pytest.raises(WeightsError, match="is expected"):
        pull(ENTRY, expected="0" * 64)
    assert not (weights_home / "test-embedder").exists()


def test_files_without_a_network_are_kept_as_they_are(hub: dict[str, Path], weights_home: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "center_feature_examples.npy"
    vectors.write_bytes(b"vectors")
    hub["BooBooWu/Vec2Face/center_feature_examples.npy"] = vectors
    entry = find_entry("vec2face-identities")
    assert not entry.present
    folder = pull(entry)
    assert entry.present
    assert (folder / "center_feature_examples.npy").read_bytes() == b"vectors"
    assert sorted(path.name for path in folder.iterdir()) == ["center_feature_examples.npy", "provenance.json"]


def test_no_network_is_one_sentence(hub: dict[str, Path], weights_home: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"cannot reach the hub for BooBooWu/Vec2Face/weights/vec2face_generator\.pth"
    ):
        pull(find_entry("vec2face-base"))
    assert not find_entry("vec2face-base").present


def test_whatever_the_hub_client_raises_is_one_sentence(monkeypatch: pytest.MonkeyPatch, weights_home: Path) -> None:
    def fail(*_args: object, **_options: object) -> str:
        raise RuntimeError("403 Forbidden.\nRequest id: 1")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(WeightsError, match=r"^the hub does not give someone/faces/weights/net\.pth: 403 Forbidden\.$"):
        pull(ENTRY)


def test_files_are_copied_where_they_cannot_be_shared(
    hub: dict[str, Path], weights_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = tmp_path / "center_feature_examples.npy"
    vectors.write_bytes(b"vectors")
    hub["BooBooWu/Vec2Face/center_feature_examples.npy"] = vectors

    def refuse(*_args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    folder = pull(find_entry("vec2face-identities"))
    assert (folder / "center_feature_examples.npy").read_bytes() == b"vectors"
    assert (folder / "center_feature_examples.npy").stat().st_nlink == 1


def test_embedded_weights_are_not_pulled(weights_home: Path) -> None:
    with pytest.raises(WeightsError, match="ships with the package"):
        pull(find_entry("embedded-generator"))
