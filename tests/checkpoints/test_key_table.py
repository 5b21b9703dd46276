"""Renaming keys, both ways, for every table and every network that has one."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vec2face.checkpoints.formats import FORMATS
from vec2face.checkpoints.tables.key_table import KeyTable, WithLeadingAxis, name_some, zeros
from vec2face.errors import WeightsError
from vec2face.models.embedders.iresnet import STAGE_BLOCKS, IResNet
from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet, MobileFaceNetPReLU, MobileFaceNetReLU6
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pose.sixdrepnet import SixDRepNet

TABLE = KeyTable(
    {
        "layer{a}.{b}.conv.*": "stages.{b}.blocks.{a}.conv.*",
        "positions": WithLeadingAxis("positions"),
        "head.*": "linear.*",
    },
    dropped={"unused": zeros(2, 3)},
)

NETWORKS: dict[str, list[Any]] = {
    "vec2face-generator": [
        lambda: Vec2FaceGenerator.from_size("base"),
        lambda: Vec2FaceGenerator.from_size("large"),
    ],
    "vec2face-plus": [lambda: Vec2FaceGenerator.from_size("base", lora_rank=4, pose_condition=True)],
    "arcface-torch": [*(lambda depth=depth: IResNet(depth=depth) for depth in STAGE_BLOCKS), ArcFaceMobileFaceNet],
    "magface": [lambda: IResNet(depth=100, color_order="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))],
    "iresnet-se": [lambda: IResNet(depth=50, squeeze_excitation="first_blocks")],
    "mobilefacenet-relu6": [MobileFaceNetReLU6],
    "mobilefacenet-prelu": [MobileFaceNetPReLU],
    "sixdrepnet": [SixDRepNet],
}


def test_every_format_is_covered() -> None:
    assert NETWORKS.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("name", "index"), [(name, index) for name, networks in NETWORKS.items() for index in range(len(networks))]
)
def test_every_key_of_every_network_survives_the_round_trip(name: str, index: int) -> None:
    with torch.device("meta"):
        network = NETWORKS[name][index]()
    table = FORMATS[name].table_for(network)
    assert table is not None
    state = network.state_dict()
    foreign = table.to_foreign(state, where="test")
    assert len(foreign) == len(state) + len(table.dropped)
    back = table.to_ours(foreign, where="test")
    assert {key: tensor.shape for key, tensor in back.items()} == {key: tensor.shape for key, tensor in state.items()}
    for key in state:
        assert table.our_key(table.foreign_key(key) or "") == key
    # What the names and shapes tell about the network is what it is.
    layout = FORMATS[name].recognise(foreign, "test")
    with torch.device("meta"):
        again = layout.model(**layout.config)
    assert type(again) is type(network)
    for key in ("depth", "dim", "width", "encoder_heads", "decoder_heads", "lora_rank", "squeeze_excitation"):
        assert again.config.get(key) == network.config.get(key), key


def test_renames_and_reshapes() -> None:
    tensor = torch.arange(6.0).view(2, 3)
    state = {"layer1.12.conv.weight": tensor, "positions": tensor, "head.bias": tensor, "unused": tensor}
    ours = TABLE.to_ours(state, where="file")
    assert {key: tuple(value.shape) for key, value in ours.items()} == {
        "stages.12.blocks.1.conv.weight": (2, 3),
        "positions": (1, 2, 3),
        "linear.bias": (2, 3),
    }
    back = TABLE.to_foreign(ours, where="folder")
    assert torch.equal(back.pop("unused"), torch.zeros(2, 3))
    assert all(torch.equal(back[key], state[key]) for key in back)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["weight", "bias", "running_var"]))
def test_numbers_and_leaves_survive(a: int, b: int, leaf: str) -> None:
    key = f"layer{a}.{b}.conv.{leaf}"
    assert TABLE.foreign_key(TABLE.our_key(key) or "") == key


@pytest.mark.parametrize(
    "key", ["layer1.x.conv.weight", "layer1.2.conv.scale", "xhead.bias", "head.bias.y", "headxbias"]
)
def test_unknown_keys_are_named(key: str) -> None:
    assert TABLE.our_key(key) is None
    with pytest.raises(WeightsError, match=f"some file holds keys.*{key}"):
        TABLE.to_ours({key: torch.zeros(1)}, where="some file")
    with pytest.raises(WeightsError, match=key):
        TABLE.to_foreign({f"more.{key}": torch.zeros(1)}, where="folder")


def test_long_lists_are_cut() -> None:
    assert name_some(["b", "a"]) == "a, b"
    assert name_some([str(i) for i in range(10)], limit=2) == "0, 1 and 8 more"
