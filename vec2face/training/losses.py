"""The generator's losses, each alone in a function.

Images are `(B, 3, H, W)` in [-1, 1]; `valid` is `(B, 1, H, W)` in [0, 1], 1 where the target is a real picture. A
masked mean divides by the mask's sum, so an image's surround that is no real picture teaches nothing.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vec2face.training.processes import mean_over_processes

LUMINANCE = (0.299, 0.587, 0.114)

SsimWindow = Literal["uniform", "gaussian"]


def valid_region(corners: Tensor, size: int, *, margin: float = 2.0) -> Tensor:
    """Draw the inside of each quadrilateral.

    Args:
        corners: `(B, 4, 2)` (x, y) in pixels, clockwise from the top left.
        size: side of the square image in pixels.
        margin: pixels inside the edge that are left out too, except along the image's own border.

    Returns:
        `(B, 1, size, size)` float32, 1 inside.
    """
    centres = torch.arange(size, dtype=corners.dtype, device=corners.device) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    inside = torch.ones(corners.shape[0], size, size, dtype=torch.bool, device=corners.device)
    for index in range(4):
        start, end = corners[:, index], corners[:, (index + 1) % 4]
        edge = end - start
        length = edge.norm(dim=1).clamp_min(1e-6)
        # Signed distance to the edge, positive inside for a clockwise order with y pointing down.
        distance = (
            edge[:, 0, None, None] * (y - start[:, 1, None, None])
            - edge[:, 1, None, None] * (x - start[:, 0, None, None])
        ) / length[:, None, None]
        on_border = ((start <= 0) & (end <= 0) | (start >= size) & (end >= size)).any(dim=1)
        inside &= distance >= torch.where(on_border, 0.0, margin)[:, None, None]
    return inside[:, None].float()


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `(B, C, H, W)` values where `valid` `(B, 1, H, W)` is 1."""
    return (values * valid).sum() / (mean_over_processes(valid.sum()) * values.shape[1]).clamp_min(1.0)


def pixel_loss(fake: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """Squared error of pixels (Vec2Face, eq. 3)."""
    return masked_mean((fake - real).square(), valid)


def absolute_loss(fake: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """Absolute error of pixels."""
    return masked_mean((fake - real).abs(), valid)


def structure_loss(fake: Tensor, real: Tensor, valid: Tensor, *, window: SsimWindow = "uniform") -> Tensor:
    """1 - SSIM, mean over the windows that are valid throughout.

    SSIM = (2 m_a m_b + c1) (2 cov_ab + c2) / ((m_a^2 + m_b^2 + c1) (var_a + var_b + c2)), c1 = (0.01 L)^2 and
    c2 = (0.03 L)^2 for a range L, moments weighted by the window. Source: Wang et al. 2004.

    Args:
        fake, real, valid: see the module.
        window: "uniform" looks at the luminance in [-1, 1] through 7x7 windows; "gaussian", as published, at each
            colour in [0, 1] through 11x11 windows with a deviation of 1.5.
    """
    if window == "uniform":
        weights, span = torch.full((7,), 1 / 7), 2.0
        luminance = torch.tensor(LUMINANCE, dtype=fake.dtype, device=fake.device)
        a, b = (torch.einsum("bchw,c->bhw", images, luminance)[:, None] for images in (fake, real))
    else:
        offsets = torch.arange(-5.0, 6.0)
        weights, span = torch.softmax(-0.5 * (offsets / 1.5).square(), dim=0), 1.0
        a, b = (images.contiguous() / 2 + 0.5 for images in (fake, real))
    band = _band(weights, fake.shape[-1]).to(fake.device)
    mean_a, mean_b, aa, bb, ab = _through_window(torch.stack([a, b, a * a, b * b, a * b]), band).unbind(0)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    product, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    ssim = (2 * product + c1) * (2 * (ab - product) + c2) / ((squares + c1) * (aa + bb - squares + c2))
    # A sum of nothing but zeros is exactly zero: nothing of the window is invalid.
    window_valid = (_through_window(1 - valid, band) == 0).to(ssim.dtype)
    return masked_mean(1 - ssim, window_valid)


def _band(weights: Tensor, size: int) -> Tensor:
    """The `(size - k + 1, size)` matrix whose product with a column is its weighted mean in every window of k."""
    count = len(weights)
    band = torch.zeros(size - count + 1, size)
    for row in range(len(band)):
        band[row, row : row + count] = weights
    return band


def _through_window(images: Tensor, band: Tensor) -> Tensor:
    # Two products of matrices: on CPUs many times faster than pooling, whose backward pass is slow.
    return band @ images @ band.T


class _MeanAbsoluteDifference(torch.autograd.Function):
    """mean |a - b| for half-precision maps, without float32 copies of them; `b` gets no gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference)
        # Sums of each image alone: one long float32 sum of small numbers would lose a percent.
        return torch.linalg.vector_norm(difference, 1, dim=(1, 2, 3), dtype=torch.float32).sum() / difference.numel()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference.sign() * (gradients[0] / difference.numel()).to(difference.dtype), None


def perceptual_loss(fake_maps: list[Tensor], real_maps: list[Tensor]) -> Tensor:
    """Mean over the maps of mean |fake - real| / mean |real|; no gradient reaches the real ones."""
    terms = []
    for fake, real in zip(fake_maps, real_maps, strict=True):
        real = real.detach()
        size = torch.linalg.vector_norm(real, 1, dim=(1, 2, 3), dtype=torch.float32).sum() / real.numel()
        difference: Tensor = _MeanAbsoluteDifference.apply(fake, real)
        terms.append(difference / mean_over_processes(size).clamp_min(1e-6))
    return torch.stack(terms).mean()


def token_loss(tokens: Tensor, token_map: Tensor) -> Tensor:
    """Squared error of the 49 decoded tokens to the expanded map, which is taken as given (Vec2Face, eq. 2)."""
    return (tokens[:, 1:].float() - token_map[:, 1:].detach().float()).square().mean()


def identity_loss(embedding: Tensor, features: Tensor) -> Tensor:
    """1 - cosine of the rendering's embedding to its identity vector, both `(B, D)` (Vec2Face, eq. 4)."""
    return (1 - F.cosine_similarity(embedding.float(), features.float())).mean()


def compose_valid(real: Tensor, fake: Tensor, valid: Tensor) -> Tensor:
    """The real picture where it is one, else the rendering (no gradient): features then differ inside only."""
    return real * valid + fake.detach() * (1 - valid)
