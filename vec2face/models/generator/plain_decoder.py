"""The small image decoder: residual blocks of plain convolutions, no normalisation, sub-pixel output.

Normalisation layers dominate the backward pass on CPUs. Without them, residual branches start at zero so that the
network begins as a shallow one (Fixup, arXiv 1901.09321). The published decoder leaves the decoded token of the vector
itself unused; here it scales and shifts every block's channels (feature-wise modulation, arXiv 1709.07871): a network
this small learns whom to paint much faster when each resolution is told.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    """x + conv(act(m * conv(act(x)) + s)), with a scale m and a shift s per channel; the last conv starts at zero."""

    def __init__(self, channels: int, style_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.style = nn.Linear(style_width, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv1.weight, a=0.2)
        nn.init.normal_(self.style.weight, std=0.3 * style_width**-0.5)
        nn.init.zeros_(self.conv2.weight)
        for layer in (self.conv1, self.style, self.conv2):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.conv1(F.leaky_relu(x, 0.2)), 1 + scale)
        return x + self.conv2(F.leaky_relu(h, 0.2))


class PlainDecoder(nn.Module):
    """Map a `(B, C, 7, 7)` token map and the `(B, W)` vector token to `(B, 3, 112, 112)` images.

    Args:
        latent_channels: channels C of the token map.
        style_width: width W of the vector token.
        widths: channels at 7, 14, 28 and 56 pixels.
        depths: residual blocks at each.
    """

    def __init__(
        self, *, latent_channels: int, style_width: int, widths: tuple[int, ...], depths: tuple[int, ...]
    ) -> None:
        super().__init__()
        entries, stages = [], []
        previous = latent_channels
        for width, depth in zip(widths, depths, strict=True):
            entries.append(nn.Conv2d(previous, width, 1))
            stages.append(nn.ModuleList(PlainBlock(width, style_width) for _ in range(depth)))
            previous = width
        self.entries, self.stages = nn.ModuleList(entries), nn.ModuleList(stages)
        # Four sub-pixels of three colours: the last doubling costs no full-resolution convolution.
        self.to_pixels = nn.Conv2d(previous, 12, 3, padding=1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        for index, (entry, stage) in enumerate(zip(self.entries, self.stages, strict=True)):
            x = entry(x)
            if index:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            for block in cast(nn.ModuleList, stage):
                x = block(x, style)
        return F.pixel_shuffle(self.to_pixels(F.leaky_relu(x, 0.2)), 2).contiguous(memory_format=torch.channels_last)
