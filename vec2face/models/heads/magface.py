"""MagFace: long embeddings are asked for a larger margin, and rewarded for being long."""

import torch
from torch import Tensor

from vec2face.models.heads.arcface import arc_margin
from vec2face.models.heads.base import MarginHead


class MagFace(MarginHead):
    """own(c) = cos(arccos c + m(a)), a = clip(|x|, l_a, u_a), plus lambda_g times the mean of g(a).

    m(a) = (u_margin - l_margin) / (u_a - l_a) (a - l_a) + l_margin and g(a) = a / u_a^2 + 1 / a: both have gradients
    for the length, so that embeddings of good pictures grow longer.

    Args:
        scale: s, 64 in the paper.
        l_a, u_a: bounds of the length, 10 and 110 in the paper.
        l_margin, u_margin: margins at these bounds, in radians; 0.45 and 0.8 in the paper.
        lambda_g: weight of g, 35 in the paper.
        easy_margin: as in `ArcFace`; on in the published code.

    Source: "MagFace" (arXiv 2103.06627), equations 3 to 5.
    """

    def __init__(
        self,
        *,
        scale: float,
        l_a: float,
        u_a: float,
        l_margin: float,
        u_margin: float,
        lambda_g: float,
        easy_margin: bool,
    ) -> None:
        super().__init__(scale=scale)
        self.l_a, self.u_a, self.l_margin, self.u_margin = l_a, u_a, l_margin, u_margin
        self.lambda_g, self.easy_margin = lambda_g, easy_margin

    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        slope = (self.u_margin - self.l_margin) / (self.u_a - self.l_a)
        margin = slope * (norms.clamp(self.l_a, self.u_a) - self.l_a) + self.l_margin
        return arc_margin(cosine, margin, easy_margin=self.easy_margin)

    def regulariser(self, norms: Tensor) -> Tensor | None:
        lengths = norms.clamp(self.l_a, self.u_a)
        return self.lambda_g * torch.mean(lengths / self.u_a**2 + 1 / lengths)
