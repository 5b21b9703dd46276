"""The published discriminator: a convolutional network whose first layer looks at three scales at once."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from vec2face.models.discriminators.base import Discriminator, Judgement

SLOPE = 0.1
GROUPS = 8


class CrossEmbed(nn.Module):
    """Parallel convolutions of several kernel sizes, concatenated; the smaller the kernel, the more channels.

    Source: CrossFormer (arXiv 2108.00154). Of `channels`, the kernels take a half, a quarter, ..., the last the rest.
    """

    def __init__(self, *, in_channels: int, channels: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        shares = [channels // 2**index for index in range(1, len(kernels))]
        shares.append(channels - sum(shares))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(in_channels, share, kernel, padding=kernel // 2)
            for kernel, share in zip(sorted(kernels), shares, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([convolution(x) for convolution in self.convolutions], dim=1)


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(GroupNorm(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class CrossEmbedDiscriminator(Discriminator):
    """Judge overlapping patches of pictures, whoever they show.

    Args:
        widths: channels at full resolution and after each halving.
        kernels: sizes of the first layer's convolutions, odd.

    Source: the discriminator of Vec2Face's code, which is that of ViT-VQGAN in parti-pytorch.
    """

    sees = "pixels"

    def __init__(self, *, widths: tuple[int, ...] = (64, 128, 256, 512), kernels: tuple[int, ...] = (3, 7, 15)) -> None:
        super().__init__()
        first = nn.Sequential(CrossEmbed(in_channels=3, channels=widths[0], kernels=kernels), nn.LeakyReLU(SLOPE))
        self.stages = nn.ModuleList([first])
        for before, after in pairwise(widths):
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 4, stride=2, padding=1),
                    nn.LeakyReLU(SLOPE),
                    nn.GroupNorm(GROUPS, after),
                    ResidualBlock(after),
                )
            )
        self.to_logits = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 1), nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], 1, 4)
        )

    def forward(self, inputs: list[Tensor], condition: Tensor) -> Judgement:
        """Judge one `(B, 3, H, W)` batch of pictures; 112x112 pixels give 11x11 logits. The condition is left aside."""
        (x,) = inputs
        hidden = []
        for stage in self.stages:
            x = stage(x)
            hidden.append(x)
        return Judgement([self.to_logits(x)], hidden)
