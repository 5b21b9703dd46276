"""The image decoder of the published Vec2Face weights: the decoder half of a VQGAN autoencoder, without attention."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

GROUPS = 32
EPSILON = 1e-6


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions without bias, each behind GroupNorm and SiLU, `(B, in, H, W) -> (B, out, H, W)`.

    The published weights hold an oddity that is kept here: where the width changes, the block returns
    `shortcut(h) + h` for its own output `h`, and the input takes no part in the sum.
    """

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, in_channels, eps=EPSILON)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels, eps=EPSILON)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(out_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(h))


class Stage(nn.Module):
    """Residual blocks at one resolution, then (except in the last stage) nearest doubling and a 3x3 convolution."""

    def __init__(self, *, in_channels: int, out_channels: int, residual_blocks: int, upsample: bool) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * residual_blocks
        self.blocks = nn.ModuleList(ResidualBlock(in_channels=a, out_channels=b) for a, b in pairwise(widths))
        self.upsample = nn.Conv2d(out_channels, out_channels, 3, padding=1) if upsample else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        if self.upsample is None:
            return x
        return self.upsample(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class VqganDecoder(nn.Module):
    """Decode a map of latent channels into an image.

    Args:
        channels: width that the multipliers scale; a multiple of 32.
        channel_multipliers: one per resolution, from the finest to the coarsest. All but one of them double the
            resolution, so five of them turn 7x7 into 112x112.
        residual_blocks: residual blocks at each resolution.
        latent_channels: width of the input map.

    Source: the decoder of "Taming Transformers" (arXiv 2012.09841) as used by Vec2Face (arXiv 2409.02979).
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        channel_multipliers: Sequence[int] = (1, 1, 2, 2, 4),
        residual_blocks: int = 2,
        latent_channels: int = 256,
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in reversed(channel_multipliers)]
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.middle = nn.Sequential(
            ResidualBlock(in_channels=widths[0], out_channels=widths[0]),
            ResidualBlock(in_channels=widths[0], out_channels=widths[0]),
        )
        self.stages = nn.ModuleList(
            Stage(
                in_channels=before,
                out_channels=width,
                residual_blocks=residual_blocks,
                upsample=index < len(widths) - 1,
            )
            for index, (before, width) in enumerate(pairwise([widths[0], *widths]))
        )
        self.norm_out = nn.GroupNorm(GROUPS, widths[-1], eps=EPSILON)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """`(B, latent_channels, H, W)` -> `(B, 3, H * 2^(levels-1), W * 2^(levels-1))`, unbounded, about [-1, 1]."""
        x = self.middle(self.conv_in(latent))
        for stage in self.stages:
            x = stage(x)
        return self.conv_out(functional.silu(self.norm_out(x)))
