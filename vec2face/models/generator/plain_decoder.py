"""The small image decoder: residual blocks of plain convolutions, no normalisation, sub-pixel output.

Normalisation layers dominate the backward pass on CPUs. Without them, residual branches start at zero so that the
network begins as a shallow one (Fixup, arXiv 1901.09321).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    """x + conv(act(conv(act(x)))), the second convolution starting at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv1.weight, a=0.2)
        nn.init.zeros_(self.conv2.weight)
        for conv in (self.conv1, self.conv2):
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))


class PlainDecoder(nn.Module):
    """Map a `(B, C, 7, 7)` token map to `(B, 3, 112, 112)` images.

    Args:
        latent_channels: channels C of the token map.
        widths: channels at 7, 14, 28 and 56 pixels.
        depths: residual blocks at each.
    """

    def __init__(self, *, latent_channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        entries, stages = [], []
        previous = latent_channels
        for width, depth in zip(widths, depths, strict=True):
            entries.append(nn.Conv2d(previous, width, 1))
            stages.append(nn.Sequential(*[PlainBlock(width) for _ in range(depth)]))
            previous = width
        self.entries, self.stages = nn.ModuleList(entries), nn.ModuleList(stages)
        # Four sub-pixels of three colours: the last doubling costs no full-resolution convolution.
        self.to_pixels = nn.Conv2d(previous, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for index, (entry, stage) in enumerate(zip(self.entries, self.stages, strict=True)):
            x = entry(x)
            if index:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = stage(x)
        return F.pixel_shuffle(self.to_pixels(F.leaky_relu(x, 0.2)), 2).contiguous(memory_format=torch.channels_last)
