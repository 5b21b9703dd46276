"""A discriminator that judges patches of a frozen network's feature maps instead of pixels.

Source of the idea: Projected GANs (arXiv 2111.01007). The maps are computed for the perceptual loss anyway, so judging
them costs little, and a small head on good features learns from few images.
"""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vec2face.models.discriminators.base import Discriminator, Judgement


class ProjectedDiscriminator(Discriminator):
    """One small convolutional head per feature map.

    Args:
        map_channels: channels of each feature map.
        width: hidden channels of a head.
        condition_dim: width of the identity vector that the logits are conditioned on.
    """

    sees = "maps"

    def __init__(self, *, map_channels: tuple[int, ...], condition_dim: int, width: int = 64) -> None:
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
        self.conditions = nn.ModuleList(nn.Linear(condition_dim, width) for _ in map_channels)

    def forward(self, inputs: list[Tensor], condition: Tensor) -> Judgement:
        """Judge `(B, C, h, w)` feature maps, one per head; logits are `(B, 1, h/2, w/2)`, rounded up."""
        logits, hidden = [], []
        for head, logit, project, feature_map in zip(self.heads, self.logits, self.conditions, inputs, strict=True):
            features = head(feature_map)
            # The projection discriminator's inner product (arXiv 1802.05637), in each patch.
            matched = (features * project(condition)[:, :, None, None]).mean(dim=1, keepdim=True)
            logits.append(logit(features) + matched)
            hidden.append(features)
        return Judgement(logits, hidden)
