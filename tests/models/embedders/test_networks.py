"""The published embedders: shapes, contracts, gradients, configuration."""

from typing import Any

import pytest
import torch
from torch import nn

from vec2face.contracts import InputContract
from vec2face.errors import ConfigError, ContractError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.iresnet import IResNet, SqueezeExcitation
from vec2face.models.embedders.mobilefacenet import (
    ArcFaceMobileFaceNet,
    InvertedResidual,
    MobileFaceNetPReLU,
    MobileFaceNetReLU6,
)

IMAGENET = InputContract(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("make", "dim", "contract"),
    [
        (lambda: IResNet(depth=18, dim=24), 24, InputContract()),
        (lambda: IResNet(depth=18, squeeze_excitation="first_blocks"), 512, InputContract()),
        (lambda: ArcFaceMobileFaceNet(dim=24), 24, InputContract()),
        (MobileFaceNetPReLU, 128, InputContract()),
        (MobileFaceNetReLU6, 128, IMAGENET),
    ],
)
def test_embeds_and_passes_gradients(make: Any, dim: int, contract: InputContract) -> None:
    torch.manual_seed(0)
    network: FaceEmbedder = make().eval()
    assert network.dim == dim
    assert network.contract == contract
    images = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    embedding = network.embed(images)
    assert embedding.shape == (2, dim)
    assert embedding.dtype == torch.float32
    embedding.square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0
    with pytest.raises(ContractError, match="112"):
        network.embed(torch.zeros(1, 3, 96, 112))


def test_the_same_image_gives_the_same_embedding_in_any_batch() -> None:
    torch.manual_seed(0)
    network = MobileFaceNetReLU6().eval()
    images = torch.rand(3, 3, 112, 112) * 2 - 1
    with torch.inference_mode():
        together, alone = network.embed(images), network.embed(images[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "convolutions"), [(18, 2 * 8), (34, 2 * 16), (50, 2 * 24), (100, 2 * 49)])
def test_iresnet_depths(depth: int, convolutions: int) -> None:
    with torch.device("meta"):
        network = IResNet(depth=depth)
    three_by_three = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(three_by_three) == convolutions + 1


def test_squeeze_excitation_gates_only_the_first_block_of_a_stage() -> None:
    with torch.device("meta"):
        network = IResNet(depth=34, squeeze_excitation="first_blocks")
    gated = [[block.gate is not None for block in stage] for stage in network.stages]
    assert [flags[0] for flags in gated] == [True] * 4
    assert not any(flag for flags in gated for flag in flags[1:])


def test_squeeze_excitation_is_a_gate_per_channel() -> None:
    torch.manual_seed(0)
    gate = SqueezeExcitation(channels=32)
    x = torch.randn(2, 32, 3, 3)
    hidden = (x.mean((2, 3)) @ gate.reduce.weight[:, :, 0, 0].T).clamp(min=0)
    expected = x / (1 + torch.exp(-(hidden @ gate.expand.weight[:, :, 0, 0].T)))[:, :, None, None]
    torch.testing.assert_close(gate(x), expected)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="18, 34, 50, 100, not 42"):
        IResNet(depth=42)
    with pytest.raises(ConfigError, match="'first_blocks', not 'all'"):
        IResNet(depth=18, squeeze_excitation="all")  # type: ignore[arg-type]


def test_magface_pixels() -> None:
    torch.manual_seed(0)
    network = IResNet(depth=18, dim=8, color_order="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)).eval()
    images = torch.rand(1, 3, 112, 112) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(network.embed(images), network(((images + 1) / 2)[:, [2, 1, 0]]))


def test_residual_only_where_the_shape_stays() -> None:
    def block(before: int, after: int, stride: int) -> InvertedResidual:
        return InvertedResidual(
            in_channels=before, expanded=8, out_channels=after, stride=stride, activation=nn.PReLU
        ).eval()

    assert block(4, 4, 1).residual
    assert not block(4, 4, 2).residual
    assert not block(4, 8, 1).residual
    silent = block(4, 4, 1)
    nn.init.zeros_(silent.project.conv.weight)
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(silent(x), x)
