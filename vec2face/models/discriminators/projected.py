"""A discriminator that judges patches of a frozen network's feature maps instead of pixels.

Source of the idea: Projected GANs (arXiv 2111.01007). The maps are computed for the perceptual loss anyway, so judging
them costs little, and a small head on good features learns from few images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class ProjectedDiscriminator(nn.Module):
    """One small convolutional head per feature map.

    Args:
        map_channels: channels of each feature map.
        width: hidden channels of a head.
        condition_dim: width of the identity vector that the logits are conditioned on, 0 for none.
    """

    def __init__(self, *, map_channels: tuple[int, ...], width: int = 64, condition_dim: int = 0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, width, 3, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(0.2),
            )
            for channels in map_channels
        )
        self.logits = nn.ModuleList(spectral_norm(nn.Conv2d(width, 1, 1)) for _ in map_channels)
        self.conditions = (
            nn.ModuleList(nn.Linear(condition_dim, width) for _ in map_channels) if condition_dim else None
        )

    def forward(self, maps: list[Tensor], condition: Tensor | None = None) -> list[Tensor]:
        """Judge feature maps.

        Args:
            maps: one `(B, C, H, W)` map per head.
            condition: `(B, D)` unit vectors, for a conditional discriminator.

        Returns:
            one `(B, 1, H/2, W/2)` map of logits per head; larger means more real.
        """
        results = []
        for index, (head, logit, feature_map) in enumerate(zip(self.heads, self.logits, maps, strict=True)):
            hidden = head(feature_map)
            out = logit(hidden)
            if self.conditions is not None and condition is not None:
                projected = self.conditions[index](condition)[:, :, None, None]
                out = out + (hidden * projected).mean(dim=1, keepdim=True)
            results.append(out)
        return results


def hinge_discriminator_loss(real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Weighted mean of relu(1 - D(real)) plus mean of relu(1 + D(fake)).

    Every patch of a rendering is judged, so that it cannot hide anything where its own picture has no real region.

    Args:
        real, fake: logit maps as `ProjectedDiscriminator` returns them.
        weights: for each map, the share of each patch that is a real picture, in [0, 1].
    """
    terms = [
        (w * F.relu(1 - r.float())).sum() / w.sum().clamp_min(1.0) + F.relu(1 + f.float()).mean()
        for r, f, w in zip(real, fake, weights, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_adversarial_loss(fake: list[Tensor]) -> Tensor:
    """-mean(D(fake)), over every patch."""
    return torch.stack([-f.float().mean() for f in fake]).mean()
