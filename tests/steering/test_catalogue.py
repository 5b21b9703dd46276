"""From names and references to estimators."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from vec2face.errors import ConfigError, ContractError, InputError, WeightsError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.steering import catalogue, networks
from vec2face.steering.catalogue import embedded_names, open_estimators, open_reference
from vec2face.steering.estimators import SharedNetwork, measure
from vec2face.steering.image_statistics import Brightness
from vec2face.steering.networks import FeatureNorm, PoseAngle
from vec2face.steering.targets import parse_target

NAMES = ("yaw", "beard")
MODULE = """
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

class Redness(AttributeEstimator):
    facts = AttributeFacts("redness", "share", -1, 1, tolerance=0.02)
    def estimate(self, images):
        return images[:, 0].mean(dim=(1, 2))

class Brightness(Redness):
    facts = AttributeFacts("brightness", "share", -1, 1, tolerance=0.02)

ready = Redness()
number = lambda: 3
def broken():
    raise RuntimeError("no licence")
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_attributes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_attributes", raising=False)


def test_names_in_order_and_own_estimators_first() -> None:
    found = open_estimators(["contrast", "redness", "brightness"], references=["own_attributes:ready"])
    assert [one.facts.name for one in found] == ["contrast", "redness", "brightness"]
    assert isinstance(found[2], Brightness)
    (own,) = open_estimators(["brightness"], references=["own_attributes:Brightness"])
    assert own.facts.unit == "share"


def test_entry_points_add_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("redness", "own_attributes:Redness", catalogue.ENTRY_POINT_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([entry]))
    (found,) = open_estimators(["redness"])
    assert found.facts.name == "redness"


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("own_attributes", "names no estimator; give module:attribute"),
        ("nowhere_to_be_found:X", "cannot be made (ModuleNotFoundError"),
        ("own_attributes:Missing", "cannot be made (AttributeError"),
        ("own_attributes:broken", "cannot be made (RuntimeError: no licence)"),
        ("own_attributes:number", "gives int, which is no AttributeEstimator"),
    ],
)
def test_references_that_fail_are_one_sentence(reference: str, sentence: str) -> None:
    with pytest.raises(InputError) as mistake:
        open_reference(reference)
    assert sentence in str(mistake.value)


def test_unknown_names_and_doubles() -> None:
    with pytest.raises(
        ConfigError, match="no attribute 'hair'; known: age, brightness, contrast, pitch, quality, redness, "
    ):
        open_estimators(["hair"], references=["own_attributes:Redness"])
    with pytest.raises(InputError, match="two estimators measure 'redness'"):
        open_estimators(["redness"], references=["own_attributes:Redness", "own_attributes:ready"])


def test_published_networks_that_are_not_here_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VEC2FACE_HOME", str(tmp_path))
    for name, weights in (("yaw", networks.POSE_WEIGHTS), ("quality", networks.QUALITY_WEIGHTS)):
        with pytest.raises(WeightsError, match=f"weights pull {weights}"):
            open_estimators([name], references=[weights])


def test_embedded_estimators_need_no_reference_and_share_one_network() -> None:
    assert set(embedded_names()) == {"yaw", "pitch", "roll", "age", "quality"}
    found = open_estimators(["age", "brightness", "yaw"])
    assert [one.facts.name for one in found] == ["age", "brightness", "yaw"]
    age, light, yaw = found
    assert age.networks[0] is yaw.networks[0]
    assert not light.networks
    for one in (age, yaw):
        assert one.facts.error is not None
        assert one.facts.low < 20 < one.facts.high
    images = torch.zeros(2, 3, 112, 112, requires_grad=True)
    assert measure(yaw, images).shape == (2,)


def test_a_target_beyond_the_measured_range_is_refused_with_the_range() -> None:
    (yaw,) = open_estimators(["yaw"])
    with pytest.raises(ConfigError, match=f"{yaw.facts.high:g}"):
        parse_target("85", yaw.facts)
    assert parse_target("20", yaw.facts).accepts(20 + 0.9 * yaw.facts.tolerance)


def test_a_reference_takes_the_place_of_an_embedded_estimator(tmp_path: Path) -> None:
    made = AttributeNetwork(
        name="own",
        attributes=[
            {"name": n, "unit": "u", "centre": 0, "spread": 1, "low": 0, "high": 9, "tolerance": 1} for n in NAMES
        ],
        widths=(4, 4, 4, 4),
        depths=(0, 0, 0, 0),
    )
    made.save_pretrained(tmp_path / "own")
    yaw, beard, age = open_estimators(["yaw", "beard", "age"], references=[str(tmp_path / "own")])
    assert (yaw.facts.unit, beard.facts.unit, age.facts.unit) == ("u", "u", "years")
    assert yaw.networks[0] is beard.networks[0]
    with pytest.raises(InputError, match="two estimators measure 'yaw'"):
        open_estimators(["yaw"], references=[str(tmp_path / "own"), "embedded-estimators"])


def test_known_weights_and_folders_that_measure_nothing_are_told(tiny_embedder_dir: Path) -> None:
    with pytest.raises(InputError, match=r"embedded-embedder measures no attribute; .* sixdrepnet"):
        open_reference("embedded-embedder")
    with pytest.raises(InputError, match="holds a CompactEmbedder, which measures no attribute"):
        open_reference(str(tiny_embedder_dir))


def test_the_angles_of_a_pose_share_one_pass_and_keep_their_sign() -> None:
    class Pose(torch.nn.Module):
        calls = 0

        def estimate(self, images: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return images.mean(dim=(2, 3)) * 90

    pose, images = Pose(), torch.full((2, 3, 112, 112), -0.5)
    shared = SharedNetwork(pose.estimate)
    angles = [PoseAngle(name, network=pose, angles=shared) for name in ("yaw", "pitch", "roll")]  # type: ignore[arg-type]
    assert [one.estimate(images).tolist() for one in angles] == [[-45.0, -45.0]] * 3
    assert pose.calls == 1


def test_quality_is_the_length_of_the_embedding(
    tiny_embedder_dir: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    from vec2face.checkpoints import load_embedder

    embedder = load_embedder(str(tiny_embedder_dir))
    images = torch.rand((2, 3, 112, 112), generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = embedder.embed(images).square().sum(dim=1).sqrt()
    assert torch.allclose(FeatureNorm(embedder).estimate(images), expected)
    with pytest.raises(ContractError, match="passes no gradient"):
        FeatureNorm(pattern_embedders["pattern"])
