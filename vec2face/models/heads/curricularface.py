"""CurricularFace: classes that are mistaken for the sample's own count more, the further training has come."""

import torch
from torch import Tensor

from vec2face.models.heads.arcface import arc_margin
from vec2face.models.heads.base import COSINE_LIMIT, MarginHead, add_angle


class CurricularFace(MarginHead):
    """own(c) as in ArcFace; another class's cosine c_k becomes c_k (t + c_k) where c_k > cos(theta_y + m).

    t is a moving average of the mean cosine to the own class: new = momentum batch + (1 - momentum) old, from 0 on, so
    hard classes are played down at first and stressed later.

    Args:
        scale: s, 64 in the paper.
        margin: m in radians, 0.5 in the paper.
        momentum: weight of the newest batch in t, 0.01 in the paper.

    Source: "CurricularFace" (arXiv 2004.00288), equations 5 to 8.
    """

    t: Tensor

    def __init__(self, *, scale: float, margin: float, momentum: float) -> None:
        super().__init__(scale=scale)
        self.margin, self.momentum = margin, momentum
        self.register_buffer("t", torch.tensor(0.0))

    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        return arc_margin(cosine, self._margin(cosine), easy_margin=False)

    def other_cosines(self, cosine: Tensor, own: Tensor) -> Tensor:
        margin = self._margin(own)
        harder = add_angle(own.clamp(-COSINE_LIMIT, COSINE_LIMIT), torch.cos(margin), torch.sin(margin))
        return torch.where(cosine > harder[:, None], cosine * (self.t + cosine), cosine)

    @torch.no_grad()
    def observe(self, own: Tensor, norms: Tensor) -> None:
        self.t.lerp_(own.mean(), self.momentum)

    def _margin(self, like: Tensor) -> Tensor:
        return torch.tensor(self.margin, device=like.device)
