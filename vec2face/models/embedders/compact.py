"""The embedded face embedder: a small residual network of plain convolutions.

Depthwise convolutions and PReLU are slow in the backward pass on CPUs; this network has neither, so that it also serves
as a loss network whose gradient costs little. In eval mode every BatchNorm folds into its convolution (`fuse`).
"""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vec2face.contracts import InputContract
from vec2face.models.embedders.base import FaceEmbedder, to_contract


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """x + BN(conv(ReLU(BN(conv(x))))), then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = _conv(channels, channels), nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.bn1(self.conv1(x)))
        return self.act(self.bn2(self.conv2(h)) + x)


class DownBlock(nn.Module):
    """ReLU(BN(conv, stride 2))."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, stride=2), nn.BatchNorm2d(outputs)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn1(self.conv1(x)))


class CompactEmbedder(ModelMixin, ConfigMixin, FaceEmbedder):
    """Plain-convolution residual embedder.

    Args:
        name: the feature space's name.
        dim: width of the embedding.
        widths: channels after each halving of the resolution (56, 28, 14, 7 pixels).
        depths: residual blocks at each of those resolutions.
    """

    @register_to_config
    def __init__(
        self,
        *,
        name: str = "vec2face-compact",
        dim: int = 128,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        depths: tuple[int, ...] = (0, 1, 2, 1),
    ) -> None:
        super().__init__()
        self.name, self.dim, self.contract = name, dim, InputContract()
        stages: list[nn.Module] = []
        previous = 3
        for width, depth in zip(widths, depths, strict=True):
            stages.append(nn.Sequential(DownBlock(previous, width), *[ResidualBlock(width) for _ in range(depth)]))
            previous = width
        self.stages = nn.ModuleList(stages)
        # A learned weighting of the 7x7 map (MobileFaceNet's global depthwise convolution), then a linear map.
        self.pool = nn.Conv2d(previous, previous, 7, groups=previous, bias=False)
        self.pool_bn = nn.BatchNorm2d(previous)
        self.linear = nn.Linear(previous, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` pixels in the network's contract to raw `(B, D)` embeddings."""
        return self.head(self.features(pixels)[-1])

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Return the feature map after each stage, for perceptual losses."""
        maps = []
        for stage in self.stages:
            pixels = stage(pixels)
            maps.append(pixels)
        return maps

    def head(self, last_map: Tensor) -> Tensor:
        """Map the last feature map to the raw embedding."""
        # A 7x7 depthwise convolution of a 7x7 map is a weighted sum; written so, its gradient is cheap.
        pooled = (last_map * self.pool.weight[:, 0]).sum(dim=(2, 3))[:, :, None, None]
        return self.linear(self.pool_bn(pooled)[:, :, 0, 0])

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return self(pixels)

    def embed_with_features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed `(B, 3, 112, 112)` RGB images in [-1, 1]; also return the stages' feature maps."""
        maps = self.features(to_contract(images, self.contract))
        return self.head(maps[-1]), maps

    @torch.no_grad()
    def fuse(self) -> "CompactEmbedder":
        """Fold every BatchNorm into the convolution before it (eval mode only), in place; returns self."""
        self.eval()
        for module in self.modules():
            for conv_name, bn_name in (("conv1", "bn1"), ("conv2", "bn2")):
                if isinstance(getattr(module, bn_name, None), nn.BatchNorm2d):
                    setattr(module, conv_name, fuse_conv_bn_eval(getattr(module, conv_name), getattr(module, bn_name)))
                    setattr(module, bn_name, nn.Identity())
        return self
