"""AdaFace: the margin follows the quality of the image, of which the embedding's length is a measure."""

import math

import torch
from torch import Tensor

from vec2face.models.heads.base import MarginHead

# Of the published code: bounds of a length, the first running statistics, and the distance kept from angles 0 and pi.
NORM_BOUNDS = (1e-3, 100.0)
FIRST_MEAN, FIRST_DEVIATION = 20.0, 100.0
EPSILON = 1e-3


class AdaFace(MarginHead):
    """own(c) = cos(arccos c - m z) - (m + m z), with z = clip(h (|x| - mean) / deviation, -1, 1) without gradient.

    A sharp picture (z near 1) has its margin as a cosine, a poor one (z near -1) as an angle, which pushes it less.
    Mean and deviation of the lengths are moving averages: new = t batch + (1 - t) old.

    Args:
        scale: s, 64 in the paper.
        margin: m, 0.4 in the paper.
        h: how fast z saturates, 0.333 in the paper.
        t_alpha: t, weight of the newest batch, 0.01 in the paper.

    Source: "AdaFace" (arXiv 2204.00964), equations 14 to 17, with bounds and first statistics of its published code.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, scale: float, margin: float, h: float, t_alpha: float) -> None:
        super().__init__(scale=scale)
        self.margin, self.h, self.t_alpha = margin, h, t_alpha
        self.register_buffer("mean", torch.tensor(FIRST_MEAN))
        self.register_buffer("deviation", torch.tensor(FIRST_DEVIATION))

    def own_cosine(self, cosine: Tensor, norms: Tensor) -> Tensor:
        lengths = norms.detach().clamp(*NORM_BOUNDS)
        quality = (self.h * (lengths - self.mean) / (self.deviation + EPSILON)).clamp(-1, 1)
        angle = (torch.acos(cosine) - self.margin * quality).clamp(EPSILON, math.pi - EPSILON)
        return torch.cos(angle) - (self.margin + self.margin * quality)

    @torch.no_grad()
    def observe(self, own: Tensor, norms: Tensor) -> None:
        if len(norms) < 2:
            return  # one sample has no deviation
        lengths = norms.clamp(*NORM_BOUNDS)
        self.mean.lerp_(lengths.mean(), self.t_alpha)
        self.deviation.lerp_(lengths.std(), self.t_alpha)
