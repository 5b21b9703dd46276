"""The embedded estimators' network: units, what it looks at, and its folder."""

from pathlib import Path

import pytest
import torch

from vec2face.checkpoints import load_embedder, load_estimators
from vec2face.errors import ConfigError, ContractError, WeightsError
from vec2face.models.estimators.network import AttributeNetwork

YAW = {"name": "yaw", "unit": "degrees", "centre": 2.0, "spread": 15.0, "low": -40, "high": 40, "tolerance": 4.0}
AGE = {
    "name": "age",
    "unit": "years",
    "centre": 30.0,
    "spread": 20.0,
    "low": 1,
    "high": 90,
    "tolerance": 7.0,
    "error": 7,
}


def tiny(*attributes: dict[str, object]) -> AttributeNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AttributeNetwork(
            name="tiny", attributes=attributes or (YAW, AGE), widths=(4, 8, 8, 8), depths=(0, 1, 0, 0)
        ).eval()


def pictures(count: int = 2) -> torch.Tensor:
    return torch.rand((count, 3, 112, 112), generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_values_are_outputs_in_the_attributes_units() -> None:
    network, images = tiny(), pictures()
    outputs = network(images)
    assert torch.allclose(network.estimate(images), outputs * torch.tensor([15.0, 20.0]) + torch.tensor([2.0, 30.0]))
    with pytest.raises(ContractError, match="align the faces first"):
        network.estimate(images[:, :, :100])


def test_the_mirror_image_counts_as_much_where_its_value_is_known() -> None:
    images = pictures()
    plain, looking = (
        tiny(YAW, AGE, AGE | {"name": "parting"}),
        tiny(YAW | {"mirrored": "negated"}, AGE | {"mirrored": "same"}, AGE | {"name": "parting"}),
    )
    looking.load_state_dict(plain.state_dict())
    one, other, found = plain.estimate(images), plain.estimate(images.flip(3)), looking.estimate(images)
    assert torch.allclose(found[:, 0], (one[:, 0] - other[:, 0]) / 2, atol=1e-4)
    assert torch.allclose(found[:, 1], (one[:, 1] + other[:, 1]) / 2, atol=1e-4)
    assert torch.allclose(found[:, 2], one[:, 2], atol=1e-4)
    mirrored = looking.estimate(images.flip(3))
    assert torch.allclose(mirrored[:, 0], -found[:, 0], atol=1e-4)
    assert torch.allclose(mirrored[:, 1], found[:, 1], atol=1e-4)


def test_what_surrounds_the_face_does_not_count_and_what_is_in_it_does() -> None:
    network, images = tiny(), pictures(1)
    moved = images.clone().requires_grad_()
    network.estimate(moved)[0, 0].backward()
    slope = moved.grad.abs().sum(dim=1)[0]
    down, across = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    away = ((across - 55.5) ** 2 + (down - 66) ** 2).sqrt()
    assert slope[away > 49.1].abs().max() == 0
    assert (slope[away < 42] > 0).float().mean() > 0.9


def test_a_value_depends_on_its_own_image_alone() -> None:
    network, images = tiny(), pictures(3)
    alone = torch.cat([network.estimate(one[None]) for one in images])
    assert torch.allclose(network.estimate(images), alone, atol=1e-4)


def test_a_folder_keeps_what_is_known_of_the_attributes(tmp_path: Path) -> None:
    network = tiny()
    measured = network.attributes[0].model_copy(update={"error": 3.5, "low": -35.0})
    network.describe([measured, network.attributes[1]])
    network.save_pretrained(tmp_path / "made")
    loaded = load_estimators(str(tmp_path / "made"))
    assert loaded.attributes == (measured, network.attributes[1])
    assert torch.equal(loaded.estimate(pictures()), network.estimate(pictures()))


def test_other_networks_and_bad_descriptions_are_refused(tmp_path: Path, tiny_embedder_dir: Path) -> None:
    with pytest.raises(WeightsError, match="where an estimator of attributes is asked for"):
        load_estimators(str(tiny_embedder_dir))
    tiny().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="where an embedder is asked for"):
        load_embedder(str(tmp_path))
    with pytest.raises(ConfigError, match="range of yaw must have low below high"):
        tiny(YAW | {"low": 50})
    with pytest.raises(ContractError, match="different names"):
        tiny(YAW, YAW)


def test_a_damaged_configuration_is_one_sentence(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"spread": 15.0', '"spread": -1'))
    with pytest.raises(WeightsError, match=r"attribute 0: spread: .*greater than 0"):
        load_estimators(str(tmp_path))
