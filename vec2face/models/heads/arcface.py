"""ArcFace: an additive margin of the angle."""

import math

import torch
from torch import Tensor

from vec2face.models.heads.base import MarginHead, add_angle


class ArcFace(MarginHead):
    """own(c) = cos(arccos c + m), which falls with the angle up to pi - m; beyond that, c - m sin m, which falls on.

    With `easy_margin`, the margin holds for angles up to pi / 2 only, and own(c) = c beyond.

    Args:
        scale: s, 64 in the paper.
        margin: m in radians, 0.5 in the paper.
        easy_margin: see above; the published recipes leave it off.

    Source: "ArcFace" (arXiv 1801.07698), equation 3, and the continuation beyond pi - m of its published code.
    """

    def __init__(self, *, scale: float, margin: float, easy_margin: bool) -> None:
        super().__init__(scale=scale)
        self.margin, self.easy_margin = margin, easy_margin

    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        return arc_margin(cosine, torch.tensor(self.margin, device=cosine.device), easy_margin=self.easy_margin)


def arc_margin(cosine: Tensor, margin: Tensor, *, easy_margin: bool) -> Tensor:
    """Return `(n,)` cosines with an angle of `margin` (a scalar or `(n,)`, radians) added; see `ArcFace`."""
    harder = add_angle(cosine, torch.cos(margin), torch.sin(margin))
    if easy_margin:
        return torch.where(cosine > 0, harder, cosine)
    return torch.where(cosine > torch.cos(math.pi - margin), harder, cosine - margin * torch.sin(math.pi - margin))
