"""The embedded estimators: one small network of plain convolutions that measures several attributes of a face.

It looks at the face alone: the middle of the aligned crop, faded out towards the edge of a disc. What is painted around
the face cannot move its values, and training pictures may have any surround there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.config.base import parse
from vec2face.config.estimators import EstimatedAttribute
from vec2face.contracts import require_image_batch
from vec2face.errors import ContractError

# The window of the crop that is looked at, pixels from its left and top; eyes and mouth lie around (56, 72).
_WINDOW = 96
_LEFT, _TOP = 8, 16
# The disc inside it: middle in the crop, radius where it begins to fade, and over how many pixels.
_MIDDLE = (55.5, 66.0)
_RADIUS, _FADE = 43.0, 6.0
_NECK_WIDTH, _HIDDEN_WIDTH = 24, 64
_SIGNS = {"same": 1.0, "negated": -1.0}


class AttributeNetwork(ModelMixin, ConfigMixin):
    """Measure attributes of aligned faces.

    Convolutions with BatchNorm and SiLU, whose smooth slope makes for smooth gradients to the pixels; then a narrow
    neck, of which the head sees every place, and two linear layers.

    Args:
        name: what the weights are called.
        attributes: what each output is; see `EstimatedAttribute`.
        widths: channels after each halving of the window's resolution (48, 24, 12, 6 pixels).
        depths: residual blocks at each of those resolutions.

    Raises:
        ConfigError: an attribute is not described as it must be.
    """

    @register_to_config
    def __init__(
        self,
        *,
        name: str,
        attributes: Sequence[Mapping[str, Any]],
        widths: tuple[int, ...] = (16, 32, 64, 128),
        depths: tuple[int, ...] = (0, 0, 2, 1),
    ) -> None:
        super().__init__()
        self.name = name
        self.attributes = _read(attributes)
        stages: list[nn.Module] = []
        previous = 3
        for width, depth in zip(widths, depths, strict=True):
            stages.append(_Convolution(previous, width, stride=2))
            stages += [_Residual(width) for _ in range(depth)]
            previous = width
        self.trunk = nn.Sequential(*stages)
        side = _WINDOW // 2 ** len(widths)
        self.neck = nn.Sequential(nn.Conv2d(previous, _NECK_WIDTH, 1), nn.SiLU())
        self.head = nn.Sequential(
            nn.Linear(_NECK_WIDTH * side * side, _HIDDEN_WIDTH),
            nn.SiLU(),
            nn.Linear(_HIDDEN_WIDTH, len(self.attributes)),
        )

    def describe(self, attributes: Sequence[EstimatedAttribute]) -> None:
        """State anew what is known of the attributes, in the order of the outputs, for the next `save_pretrained`."""
        self.register_to_config(attributes=[one.model_dump() for one in attributes])
        self.attributes = tuple(attributes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB images in [-1, 1] to `(B, A)` outputs in spreads from the centre."""
        seen = images[:, :, _TOP : _TOP + _WINDOW, _LEFT : _LEFT + _WINDOW] * _disc(images)
        maps = self.neck(self.trunk(seen.contiguous(memory_format=torch.channels_last)))
        return self.head(maps.flatten(1))

    def estimate(self, images: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB images in [-1, 1] to `(B, A)` float32 values in the attributes' units.

        Of attributes that say what they are in a mirror image, the mean of both pictures: what the network reads off
        one side of a face only, cancels.

        Raises:
            ContractError: the batch is not of that shape.
        """
        require_image_batch(images.shape)
        if all(one.mirrored is None for one in self.attributes):
            return self._values(images)
        straight, mirrored = self._values(torch.cat([images, images.flip(3)])).chunk(2)
        signs = [_SIGNS[one.mirrored] if one.mirrored else 0.0 for one in self.attributes]
        sign = torch.tensor(signs, device=straight.device)
        return torch.where(sign == 0, straight, (straight + sign * mirrored) / 2)

    def _values(self, images: Tensor) -> Tensor:
        outputs = self(images).float()
        spread = torch.tensor([one.spread for one in self.attributes], device=outputs.device)
        centre = torch.tensor([one.centre for one in self.attributes], device=outputs.device)
        return outputs * spread + centre


class _Convolution(nn.Sequential):
    """SiLU(BN(3x3 convolution))."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
        )


class _Residual(nn.Module):
    """SiLU(x + BN(conv(SiLU(BN(conv(x))))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.second(self.first(x)))


def _disc(images: Tensor) -> Tensor:
    """The `(96, 96)` weights of the window's pixels, 1 on the face and 0 outside."""
    steps = torch.arange(_WINDOW, dtype=images.dtype, device=images.device)
    across, down = steps + (_LEFT - _MIDDLE[0]), steps + (_TOP - _MIDDLE[1])
    distance = (across.square()[None, :] + down.square()[:, None]).sqrt()
    return ((_RADIUS - distance) / _FADE + 1).clamp(0, 1)


def _read(attributes: Sequence[Mapping[str, Any]]) -> tuple[EstimatedAttribute, ...]:
    read = tuple(parse(EstimatedAttribute, one, where=f"attribute {place}") for place, one in enumerate(attributes))
    names = [one.name for one in read]
    if not names or len(set(names)) < len(names):
        raise ContractError(f"an estimator needs attributes of different names, not {names}.")
    return read
