"""What every discriminator offers."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Judgement:
    """What a discriminator says about a batch.

    Attributes:
        logits: a `(B, 1, h, w)` map per head, a number per patch; larger means more real.
        hidden: the maps inside the network, `(B, C, h, w)` each, for feature matching.
    """

    logits: list[Tensor]
    hidden: list[Tensor]


class Discriminator(nn.Module):
    """A network that tells real pictures from renderings.

    Attributes:
        sees: "maps" if it judges the loss network's feature maps, "pixels" if it judges pictures, "both" for the maps
            and, behind them, the pictures.
    """

    sees: ClassVar[Literal["maps", "pixels", "both"]]

    @abstractmethod
    def forward(self, inputs: list[Tensor], condition: Tensor) -> Judgement:
        """Judge a batch.

        Args:
            inputs: feature maps `(B, C, h, w)`, one `(B, 3, H, W)` tensor of pictures in [-1, 1], or both; see `sees`.
            condition: `(B, D)` unit vectors: who the pictures are of. An unconditional network leaves it aside.
        """
