"""IResNet, the residual network of ArcFace, MagFace and of the published Vec2Face recognition results."""

from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.contracts import IMAGE_SIZE, InputContract
from vec2face.errors import ConfigError
from vec2face.models.embedders.base import FaceEmbedder

# Blocks in each of the four stages, by nominal depth.
STAGE_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
STAGE_WIDTHS = (64, 128, 256, 512)
SQUEEZE_REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the mean of every channel (arXiv 1709.01507), without biases."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // SQUEEZE_REDUCTION, 1, bias=False)
        self.expand = nn.Conv2d(channels // SQUEEZE_REDUCTION, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(torch.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class Downsample(nn.Module):
    """1x1 convolution and BatchNorm that fit the skip branch to a block's output."""

    def __init__(self, *, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class ImprovedBlock(nn.Module):
    """BN, conv, BN, PReLU, conv (stride), BN, plus the skip branch; no activation after the sum.

    `squeeze_excitation` gates the skip branch, as the network behind the published Vec2Face results does.
    """

    def __init__(self, *, in_channels: int, out_channels: int, stride: int, squeeze_excitation: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act = nn.PReLU(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: Downsample | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = Downsample(in_channels=in_channels, out_channels=out_channels, stride=stride)
        self.gate = SqueezeExcitation(channels=out_channels) if squeeze_excitation else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.bn2(self.conv1(self.bn1(x))))
        h = self.bn3(self.conv2(h))
        skip = x if self.downsample is None else self.downsample(x)
        return h + (skip if self.gate is None else self.gate(skip))


class IResNet(ModelMixin, ConfigMixin, FaceEmbedder):
    """Improved residual network for 112x112 faces.

    Args:
        name: the feature space's name.
        dim: width of the embedding.
        depth: 18, 34, 50 or 100.
        squeeze_excitation: "none", or "first_blocks" for a gate on the skip branch of each stage's first block.
        color_order, mean, std: the pixels the weights were trained on; see `InputContract`.

    Raises:
        ConfigError: depth or squeeze_excitation is none of the above.

    Source: "ArcFace" (arXiv 1801.07698) and its PyTorch networks; key layout checked against golden outputs.
    """

    @register_to_config
    def __init__(
        self,
        *,
        name: str = "iresnet",
        dim: int = 512,
        depth: int = 50,
        squeeze_excitation: Literal["none", "first_blocks"] = "none",
        color_order: str = "RGB",
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        if depth not in STAGE_BLOCKS:
            raise ConfigError(f"IResNet depth must be one of {', '.join(map(str, STAGE_BLOCKS))}, not {depth}.")
        if squeeze_excitation not in ("none", "first_blocks"):
            raise ConfigError(f"squeeze_excitation must be 'none' or 'first_blocks', not {squeeze_excitation!r}.")
        self.name, self.dim = name, dim
        self.contract = InputContract.from_dict(
            {"size": IMAGE_SIZE, "color_order": color_order, "mean": mean, "std": std}
        )
        first_width = STAGE_WIDTHS[0]
        self.stem_conv = nn.Conv2d(3, first_width, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(first_width)
        self.stem_act = nn.PReLU(first_width)
        stages: list[nn.Module] = []
        previous = first_width
        for width, blocks in zip(STAGE_WIDTHS, STAGE_BLOCKS[depth], strict=True):
            stages.append(
                nn.Sequential(
                    *(
                        ImprovedBlock(
                            in_channels=width if index else previous,
                            out_channels=width,
                            stride=1 if index else 2,
                            squeeze_excitation=squeeze_excitation == "first_blocks" and index == 0,
                        )
                        for index in range(blocks)
                    )
                )
            )
            previous = width
        self.stages = nn.ModuleList(stages)
        self.bn_out = nn.BatchNorm2d(previous)
        self.linear = nn.Linear(previous * 7 * 7, dim)
        self.embedding_bn = nn.BatchNorm1d(dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` pixels in the network's contract to raw `(B, dim)` embeddings."""
        x = self.stem_act(self.stem_bn(self.stem_conv(pixels)))
        for stage in self.stages:
            x = stage(x)
        return self.embedding_bn(self.linear(self.bn_out(x).flatten(1)))

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return self(pixels)
