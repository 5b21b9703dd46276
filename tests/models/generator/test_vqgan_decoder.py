"""The published image decoder, and the oddity that its weights depend on."""

import pytest
import torch
from torch.nn import functional

from vec2face.models.generator.vqgan_decoder import ResidualBlock, VqganDecoder


@pytest.mark.parametrize(("multipliers", "side"), [((1, 1, 2), 28), ((1, 2), 14), ((1,), 7)])
def test_each_level_but_one_doubles_the_resolution(multipliers: tuple[int, ...], side: int) -> None:
    decoder = VqganDecoder(channels=32, channel_multipliers=multipliers, residual_blocks=1, latent_channels=8)
    assert decoder(torch.zeros(2, 8, 7, 7)).shape == (2, 3, side, side)


def test_published_size() -> None:
    with torch.device("meta"):
        decoder = VqganDecoder()
        assert decoder(torch.zeros(1, 256, 7, 7)).shape == (1, 3, 112, 112)
    assert [stage.blocks[-1].conv2.out_channels for stage in decoder.stages] == [512, 256, 256, 128, 128]
    assert sum(p.numel() for p in decoder.parameters()) == 30_478_339


def naive_branch(block: ResidualBlock, x: torch.Tensor) -> torch.Tensor:
    h = functional.group_norm(x, 32, block.norm1.weight, block.norm1.bias, 1e-6)
    h = functional.conv2d(h * torch.sigmoid(h), block.conv1.weight, padding=1)
    h = functional.group_norm(h, 32, block.norm2.weight, block.norm2.bias, 1e-6)
    return functional.conv2d(h * torch.sigmoid(h), block.conv2.weight, padding=1)


def test_residual_block_of_equal_width_adds_its_input() -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(in_channels=32, out_channels=32), torch.randn(2, 32, 5, 5)
    assert block.shortcut is None
    torch.testing.assert_close(block(x), x + naive_branch(block, x))


def test_residual_block_of_other_width_adds_its_own_output() -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(in_channels=64, out_channels=32), torch.randn(2, 64, 5, 5)
    assert block.shortcut is not None
    h = naive_branch(block, x)
    torch.testing.assert_close(block(x), h + functional.conv2d(h, block.shortcut.weight))
