"""A discriminator of two: one judges feature maps, which know faces, the other pixels, which know sharpness."""

from torch import Tensor

from vec2face.models.discriminators.base import Discriminator, Judgement
from vec2face.models.discriminators.multiscale import MultiscaleDiscriminator
from vec2face.models.discriminators.projected import ProjectedDiscriminator


class JointDiscriminator(Discriminator):
    """A projected and a multiscale discriminator side by side.

    The embedder's maps are made of augmented, sometimes softened pictures, and an embedder cares little for texture: a
    projected discriminator alone lets renderings stay soft.

    Args:
        map_channels: channels of each feature map.
        condition_dim: width of the identity vector.
        width, scales: of the multiscale one.
    """

    sees = "both"

    def __init__(self, *, map_channels: tuple[int, ...], condition_dim: int, width: int = 24, scales: int = 1) -> None:
        super().__init__()
        self.of_maps = ProjectedDiscriminator(map_channels=map_channels, condition_dim=condition_dim)
        self.of_pixels = MultiscaleDiscriminator(condition_dim=condition_dim, width=width, scales=scales)

    def forward(self, inputs: list[Tensor], condition: Tensor) -> Judgement:
        """Judge the feature maps and, last in the list, the `(B, 3, H, W)` pictures; the logits are joined."""
        maps, pixels = self.of_maps(inputs[:-1], condition), self.of_pixels(inputs[-1:], condition)
        return Judgement(maps.logits + pixels.logits, maps.hidden + pixels.hidden)
