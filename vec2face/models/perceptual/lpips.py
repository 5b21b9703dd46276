"""LPIPS: how alike two pictures look to a network trained on photographs, weighted by what people say.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (arXiv 1801.03924),
version 0.1, on VGG-16 or AlexNet. The trunk's layers keep torchvision's numbers, so that its weights fit by name.
"""

from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.errors import ConfigError

# Mean and deviation of ImageNet's pixels, for pictures in [-1, 1] (the paper's scaling layer).
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
NORM_EPSILON = 1e-10

# Channels of VGG-16's convolutions up to its last map, "M" for a halving.
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


def _vgg16() -> tuple[nn.Sequential, tuple[int, ...]]:
    layers: list[nn.Module] = []
    taps = []
    previous = 3
    for width in VGG16:
        if isinstance(width, int):
            layers += [nn.Conv2d(previous, width, 3, padding=1), nn.ReLU()]
            previous = width
        else:
            # The map before each halving is looked at.
            taps.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers), (*taps, len(layers) - 1)


def _alexnet() -> tuple[nn.Sequential, tuple[int, ...]]:
    trunk = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )
    return trunk, tuple(index for index, layer in enumerate(trunk) if isinstance(layer, nn.ReLU))


TRUNKS = {"vgg": _vgg16, "alex": _alexnet}
CHANNELS = {"vgg": (64, 128, 256, 512, 512), "alex": (64, 192, 384, 256, 256)}


class Lpips(ModelMixin, ConfigMixin):
    """The distance of pictures: sum over maps of the mean over places of w . (a - b)^2, with unit vectors a and b.

    Args:
        network: "vgg" (as in the published training) or "alex".

    Raises:
        ConfigError: there is no such network.
    """

    @register_to_config
    def __init__(self, *, network: Literal["vgg", "alex"] = "vgg") -> None:
        super().__init__()
        if network not in TRUNKS:
            raise ConfigError(f"the network of LPIPS must be one of {', '.join(TRUNKS)}, not {network!r}.")
        self.trunk, self.taps = TRUNKS[network]()
        self.heads = nn.ParameterList(nn.Parameter(torch.empty(1, width, 1, 1)) for width in CHANNELS[network])
        for head in self.heads:
            nn.init.constant_(head, 1 / head.shape[1])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the trunk's maps of `(B, 3, H, W)` pictures in [-1, 1], each vector of channels scaled to length 1."""
        shift, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
        x = (images - shift) / scale
        maps = []
        for index, layer in enumerate(self.trunk):
            x = layer(x)
            if index in self.taps:
                # A map that is zero everywhere has no direction; epsilon inside the root keeps its gradient finite.
                norm = x.float().square().sum(dim=1, keepdim=True).add(NORM_EPSILON).sqrt()
                maps.append(x.float() / norm)
        return maps

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return the `(B,)` distances of `(B, 3, H, W)` pictures in [-1, 1]; no gradient reaches `real`."""
        with torch.no_grad():
            real_maps = self.maps(real)
        terms = [
            (head * (a - b).square()).sum(dim=1).mean(dim=(1, 2))
            for head, a, b in zip(self.heads, self.maps(fake), real_maps, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)
