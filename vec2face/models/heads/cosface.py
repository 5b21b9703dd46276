"""CosFace: an additive margin of the cosine."""

from torch import Tensor

from vec2face.models.heads.base import MarginHead


class CosFace(MarginHead):
    """own(c) = c - m.

    Args:
        scale: s, 64 in the paper.
        margin: m, a difference of cosines, 0.35 in the paper and 0.4 in the common recipes.

    Source: "CosFace" (arXiv 1801.09414), equation 4.
    """

    def __init__(self, *, scale: float, margin: float) -> None:
        super().__init__(scale=scale)
        self.margin = margin

    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        return cosine - self.margin
