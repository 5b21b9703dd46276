"""From references to networks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vec2face import registry
from vec2face.checkpoints import digest, load_embedder, load_generator, load_pose_estimator
from vec2face.checkpoints.store import WEIGHTS_NAME, write_folder
from vec2face.errors import WeightsError
from vec2face.fileio.atomic import sha256_file
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator


@pytest.fixture
def generator_folder(tmp_path: Path, small_generator: Vec2FaceGenerator) -> Path:
    small_generator.save_pretrained(tmp_path / "generator")
    return tmp_path / "generator"


@pytest.fixture
def embedder_folder(tmp_path: Path, small_embedder: CompactEmbedder) -> Path:
    small_embedder.save_pretrained(tmp_path / "embedder")
    return tmp_path / "embedder"


def render(generator: Vec2FaceGenerator) -> torch.Tensor:
    features = torch.linspace(-1, 1, 2 * generator.config.feature_dim).view(2, -1)
    noise = torch.linspace(0, 0.99, 98).view(2, 49)
    with torch.inference_mode():
        return generator(features, mask_noise=noise, mask_rate=torch.tensor([0.6, 0.9])).image


def test_generator_folder(generator_folder: Path, small_generator: Vec2FaceGenerator) -> None:
    loaded = load_generator(str(generator_folder))
    assert not loaded.training
    assert loaded.config.feature_space == "test-space"
    assert torch.equal(render(loaded), render(small_generator))
    assert digest(str(generator_folder), kind="generator") == sha256_file(generator_folder / WEIGHTS_NAME)


def test_embedder_folder(embedder_folder: Path, small_embedder: CompactEmbedder) -> None:
    loaded = load_embedder(str(embedder_folder))
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(loaded.embed(images), small_embedder.embed(images))
    assert (loaded.name, loaded.dim) == ("test-space", 16)


def test_embedded_stands_for_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, generator_folder: Path, embedder_folder: Path
) -> None:
    for name, folder in (("embedded-generator", generator_folder), ("embedded-embedder", embedder_folder)):
        entry = registry.WeightsEntry(
            name=name, kind=registry.ENTRIES[name].kind, tier="embedded", purpose="", licence="", folder=str(folder)
        )
        monkeypatch.setitem(registry.ENTRIES, name, entry)
    assert isinstance(load_generator("embedded"), Vec2FaceGenerator)
    assert isinstance(load_embedder("embedded"), CompactEmbedder)
    assert digest("embedded", kind="generator") != digest("embedded", kind="embedder")


def test_published_weights_that_are_not_here_say_how_to_get_them(weights_home: Path) -> None:
    for ref, load in (
        ("vec2face-base", load_generator),
        ("arcface-r100-glint360k", load_embedder),
        ("sixdrepnet", load_pose_estimator),
    ):
        with pytest.raises(WeightsError, match=f"`vec2face weights pull {ref}`"):
            load(ref)


def test_pulled_weights_are_found_by_name(weights_home: Path, small_embedder: CompactEmbedder) -> None:
    write_folder(small_embedder, weights_home / "hsface10k", provenance={})
    assert isinstance(load_embedder("hsface10k"), CompactEmbedder)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("no-such-thing", "no generator weights 'no-such-thing'.*: embedded, embedded-generator, vec2face-base"),
        ("arcface-r100-glint360k", "is of the kind embedder, but the kind generator is asked for"),
        ("a/b/c", "no generator weights 'a/b/c'"),
    ],
)
def test_unknown_references(ref: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=message):
        load_generator(ref)


def test_wrong_kinds_of_network(generator_folder: Path, embedder_folder: Path) -> None:
    with pytest.raises(WeightsError, match="holds a CompactEmbedder, where a generator"):
        load_generator(str(embedder_folder))
    with pytest.raises(WeightsError, match="holds a Vec2FaceGenerator, where an embedder"):
        load_embedder(str(generator_folder))
    with pytest.raises(WeightsError, match="pose estimator"):
        load_pose_estimator(str(embedder_folder))


def test_bare_files(tmp_path: Path, relu6_checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="vec2face weights import"):
        load_embedder(str(relu6_checkpoint))
    (tmp_path / "x.onnx").write_bytes(b"not onnx")
    with pytest.raises(WeightsError, match="can only serve as an embedder"):
        load_generator(str(tmp_path / "x.onnx"))
    with pytest.raises(WeightsError, match="not a readable ONNX network"):
        load_embedder(str(tmp_path / "x.onnx"))
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(WeightsError, match="neither a network's folder nor an ONNX file"):
        load_embedder(str(tmp_path / "x.txt"))


def test_damaged_folders(tmp_path: Path, embedder_folder: Path) -> None:
    config_path = embedder_folder / "config.json"
    config = json.loads(config_path.read_text())

    def refuse(message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            load_embedder(str(embedder_folder))

    config_path.write_text(json.dumps({**config, "_class_name": "Unknown"}))
    refuse("names the network 'Unknown'; known: ArcFaceMobileFaceNet")
    config_path.write_text(json.dumps({**config, "colour": 1}))
    refuse("settings that CompactEmbedder does not have: colour")
    config_path.write_text(json.dumps({**config, "dim": 8}))
    refuse(r"other shapes: linear\.bias \(16,\) where the network has \(8,\)")
    config_path.write_text("{")
    refuse("not valid JSON")
    config_path.unlink()
    refuse("holds no config.json")
    config_path.write_text(json.dumps(config))
    weights = embedder_folder / WEIGHTS_NAME
    tensors = load_file(weights)
    save_file({**tensors, "more": torch.zeros(1)}, weights)
    refuse("keys that its network does not have: more")
    del tensors["linear.bias"]
    save_file(tensors, weights)
    refuse(r"lacks linear\.bias")
    weights.write_bytes(weights.read_bytes()[:-100])
    refuse("damaged or cut short")
    weights.unlink()
    refuse(f"holds no {WEIGHTS_NAME}")


def test_hub_ids_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, generator_folder: Path) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def snapshot_download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        if repository == "someone/broken":
            raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")
        return str(generator_folder)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert isinstance(load_generator("someone/faces"), Vec2FaceGenerator)
    assert isinstance(load_generator("someone/faces@v1.0"), Vec2FaceGenerator)
    assert asked == [("someone/faces", None), ("someone/faces", "v1.0")]
    with pytest.raises(
        WeightsError, match=r"no local folder someone/broken, and cannot reach the hub for someone/broken"
    ):
        load_generator("someone/broken")


def test_folders_are_written_whole_or_not_at_all(
    tmp_path: Path, small_embedder: CompactEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(small_embedder, tmp_path / "net", provenance={"file": "a"})
    before = (tmp_path / "net" / WEIGHTS_NAME).read_bytes()
    with pytest.raises(WeightsError, match="exists already"):
        write_folder(small_embedder, tmp_path / "net", provenance={})

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(small_embedder), "save_pretrained", fail)
    with pytest.raises(Exception, match="disk is full"):
        write_folder(small_embedder, tmp_path / "net", provenance={}, replace=True)
    assert (tmp_path / "net" / WEIGHTS_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": ["CompactEmbedder"]}, "names the network"),
        ({"dim": "wide"}, r"config\.json: dim: input should be a valid integer"),
        ({"dim": 10**9}, r"config\.json: dim: 1000000000 is beyond 65,536"),
        ({"widths": [4, -8, 8, 8]}, r"config\.json describes no CompactEmbedder that can be built"),
        ({"depths": [1]}, r"config\.json describes no CompactEmbedder that can be built"),
        ({"depths": [60_000, 0, 0, 0]}, r"config\.json: the network would have far more weights than the file holds"),
    ],
)
def test_settings_that_no_network_has_are_refused_before_it_is_built(
    changes: dict[str, object], message: str, embedder_folder: Path
) -> None:
    path = embedder_folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(WeightsError, match=message):
        load_embedder(str(embedder_folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": "nope"}, "decoder: input should be 'vqgan' or 'plain', not 'nope'"),
        ({"decoder_options": {"foo": 1}}, "describes no Vec2FaceGenerator that can be built"),
        ({"sigma_unit": -1}, "sigma_unit must be a positive number, not -1"),
        ({"encoder_heads": 7}, "cannot be shared among 7 attention heads"),
        ({"width": 0}, "cannot be shared among"),
        ({"sampling_mask": {"min": 0}}, "sampling_mask: max: Field required"),
    ],
)
def test_generator_settings_that_would_fail_later_are_refused(
    changes: dict[str, object], message: str, generator_folder: Path
) -> None:
    path = generator_folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(WeightsError, match=rf"config\.json.*{message}"):
        load_generator(str(generator_folder))
