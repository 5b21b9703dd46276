"""MobileFaceNet (arXiv 1804.07573) in the three forms that published weights come in.

All three are fifteen inverted residuals between a stride-2 stem and a learned 7x7 pooling; they differ in activation,
in the layer after the stem, in width and in how the embedding is projected.
"""

from collections.abc import Callable
from itertools import pairwise

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.contracts import InputContract
from vec2face.models.embedders.base import FaceEmbedder

# (expanded width, output width, stride) of the fifteen inverted residuals, as multiples of 64.
_BLOCKS = (
    *((2, 1, 2), (2, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)),
    *((4, 2, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1), (4, 2, 1), (4, 2, 1), (4, 2, 1)),
    *((8, 2, 2), (4, 2, 1), (4, 2, 1)),
)
_UNIT = 64
_LAST_WIDTH = 512

Activation = Callable[[int], nn.Module]


def _relu(_channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def _relu6(_channels: int) -> nn.Module:
    return nn.ReLU6(inplace=True)


class ConvUnit(nn.Module):
    """Convolution without bias, BatchNorm, and an activation unless it is None."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel: int,
        activation: Activation | None,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.Identity() if activation is None else activation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; plus the input where the shape stays."""

    def __init__(
        self, *, in_channels: int, expanded: int, out_channels: int, stride: int, activation: Activation
    ) -> None:
        super().__init__()
        self.expand = ConvUnit(in_channels=in_channels, out_channels=expanded, kernel=1, activation=activation)
        self.depthwise = ConvUnit(
            in_channels=expanded,
            out_channels=expanded,
            kernel=3,
            stride=stride,
            padding=1,
            groups=expanded,
            activation=activation,
        )
        self.project = ConvUnit(in_channels=expanded, out_channels=out_channels, kernel=1, activation=None)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        h = self.project(self.depthwise(self.expand(x)))
        return x + h if self.residual else h


class MobileFaceNet(ModelMixin, ConfigMixin, FaceEmbedder):
    """What the three forms share; use one of the subclasses."""

    def _build(self, *, second: nn.Module, projection: nn.Sequential, width: int, activation: Activation) -> None:
        """Create the layers.

        Args:
            second: the layer(s) after the stem, `(B, width, 56, 56)` to the same shape.
            projection: maps `(B, 512, 1, 1)` to `(B, dim)`.
            width: channels of the stem, which scales the inverted residuals.
            activation: makes an activation for a number of channels.
        """
        self.stem = ConvUnit(in_channels=3, out_channels=width, kernel=3, stride=2, padding=1, activation=activation)
        self.second = second
        outputs = [width, *(output * width for _, output, _ in _BLOCKS)]
        self.blocks = nn.Sequential(
            *(
                InvertedResidual(
                    in_channels=before,
                    # The expanded width does not follow the stem's width in any of the published forms.
                    expanded=expanded * _UNIT,
                    out_channels=after,
                    stride=stride,
                    activation=activation,
                )
                for (before, after), (expanded, _, stride) in zip(pairwise(outputs), _BLOCKS, strict=True)
            )
        )
        self.widen = ConvUnit(in_channels=outputs[-1], out_channels=_LAST_WIDTH, kernel=1, activation=activation)
        self.pool = ConvUnit(
            in_channels=_LAST_WIDTH, out_channels=_LAST_WIDTH, kernel=7, groups=_LAST_WIDTH, activation=None
        )
        self.projection = projection
        self.embedding_bn = nn.BatchNorm1d(self.dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` pixels in the network's contract to raw `(B, dim)` embeddings."""
        x = self.blocks(self.second(self.stem(pixels)))
        return self.embedding_bn(self.projection(self.pool(self.widen(x))))

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return self(pixels)


class ArcFaceMobileFaceNet(MobileFaceNet):
    """The `mbf` network of ArcFace's PyTorch code: 128 channels at the stem, PReLU; RGB in [-1, 1].

    Args:
        name: the feature space's name.
        dim: width of the embedding.
    """

    @register_to_config
    def __init__(self, *, name: str = "arcface-mbf", dim: int = 512) -> None:
        super().__init__()
        self.name, self.dim, self.contract = name, dim, InputContract()
        width = 2 * _UNIT
        self._build(
            # 64 groups whatever the width: two channels share a filter here.
            second=ConvUnit(
                in_channels=width, out_channels=width, kernel=3, padding=1, groups=_UNIT, activation=nn.PReLU
            ),
            projection=nn.Sequential(nn.Flatten(), nn.Linear(_LAST_WIDTH, dim, bias=False)),
            width=width,
            activation=nn.PReLU,
        )


class MobileFaceNetPReLU(MobileFaceNet):
    """The PReLU form of the ArcFace family, 64 channels at the stem; RGB in [-1, 1].

    Args:
        name: the feature space's name.
        dim: width of the embedding.
    """

    @register_to_config
    def __init__(self, *, name: str = "mobilefacenet-prelu", dim: int = 128) -> None:
        super().__init__()
        self.name, self.dim, self.contract = name, dim, InputContract()
        self._build(
            second=ConvUnit(
                in_channels=_UNIT, out_channels=_UNIT, kernel=3, padding=1, groups=_UNIT, activation=nn.PReLU
            ),
            projection=nn.Sequential(nn.Conv2d(_LAST_WIDTH, dim, 1, bias=False), nn.Flatten()),
            width=_UNIT,
            activation=nn.PReLU,
        )


class MobileFaceNetReLU6(MobileFaceNet):
    """The ReLU6 form, 64 channels at the stem, with a depthwise separable layer after it; RGB, ImageNet mean and std.

    Args:
        name: the feature space's name.
        dim: width of the embedding.
    """

    @register_to_config
    def __init__(self, *, name: str = "mobilefacenet-relu6", dim: int = 128) -> None:
        super().__init__()
        self.name, self.dim = name, dim
        self.contract = InputContract(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        self._build(
            second=nn.Sequential(
                ConvUnit(in_channels=_UNIT, out_channels=_UNIT, kernel=3, padding=1, groups=_UNIT, activation=_relu),
                ConvUnit(in_channels=_UNIT, out_channels=_UNIT, kernel=1, activation=_relu),
            ),
            projection=nn.Sequential(nn.Conv2d(_LAST_WIDTH, dim, 1), nn.Flatten()),
            width=_UNIT,
            activation=_relu6,
        )
