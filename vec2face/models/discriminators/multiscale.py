"""A discriminator that judges patches of a picture at several sizes."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vec2face.models.discriminators.base import Discriminator, Judgement

SLOPE = 0.2


class PatchNetwork(nn.Module):
    """Four convolutions without normalisation, three of them halving, then a logit per patch."""

    def __init__(self, *, width: int, condition_dim: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        layers = [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)) for before, after in pairwise(widths)]
        layers.append(spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1)))
        self.layers = nn.ModuleList(layers)
        self.logit = spectral_norm(nn.Conv2d(widths[-1], 1, 1))
        self.condition = nn.Linear(condition_dim, widths[-1])

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            hidden.append(x)
        matched = (x * self.condition(condition)[:, :, None, None]).mean(dim=1, keepdim=True)
        return self.logit(x) + matched, hidden


class MultiscaleDiscriminator(Discriminator):
    """The same small network, with weights of its own, on a picture and on its halves.

    Args:
        condition_dim: width of the identity vector that the logits are conditioned on.
        width: channels after the first halving.
        scales: how many sizes are judged; each is half the one before.

    Source of the idea: pix2pixHD (arXiv 1711.11585); conditioned by projection (arXiv 1802.05637).
    """

    sees = "pixels"

    def __init__(self, *, condition_dim: int, width: int = 32, scales: int = 3) -> None:
        super().__init__()
        self.networks = nn.ModuleList(PatchNetwork(width=width, condition_dim=condition_dim) for _ in range(scales))

    def forward(self, inputs: list[Tensor], condition: Tensor) -> Judgement:
        """Judge one `(B, 3, H, W)` batch of pictures; the largest logit map is `(B, 1, H/8, W/8)`."""
        (x,) = inputs
        logits: list[Tensor] = []
        hidden: list[Tensor] = []
        for network in self.networks:
            if logits:
                x = F.avg_pool2d(x, 2)
            judged, inside = network(x, condition)
            logits.append(judged)
            hidden += inside
        return Judgement(logits, hidden)
