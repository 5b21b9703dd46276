"""The generator's losses, each alone in a function.

Images are `(B, 3, H, W)` in [-1, 1]; `valid` is `(B, 1, H, W)` in [0, 1], 1 where the target is a real picture. A
masked mean divides by the mask's sum, so an image's surround that is no real picture teaches nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 7


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
    return (values * valid).sum() / (valid.sum() * values.shape[1]).clamp_min(1.0)


def pixel_loss(fake: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """Squared error of pixels (Vec2Face, eq. 3)."""
    return masked_mean((fake - real).square(), valid)


def absolute_loss(fake: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """Absolute error of pixels."""
    return masked_mean((fake - real).abs(), valid)


def structure_loss(fake: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """1 - SSIM of the luminance, uniform 7x7 window, constants of Wang et al. 2004 for a range of 2."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=fake.dtype, device=fake.device).view(1, 3, 1, 1)
    a, b = (fake * weights).sum(1, keepdim=True), (real * weights).sum(1, keepdim=True)
    stacked = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    mean_a, mean_b, aa, bb, ab = F.avg_pool2d(stacked, SSIM_WINDOW, stride=1).split(1, dim=1)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    covariance = ab - mean_a * mean_b
    variances = (aa - mean_a.square()) + (bb - mean_b.square())
    ssim = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a.square() + mean_b.square() + c1) * (variances + c2))
    )
    # A window counts where all of it is valid.
    window_valid = 1 - F.max_pool2d(1 - valid, SSIM_WINDOW, stride=1)
    return masked_mean(1 - ssim, window_valid)


def perceptual_loss(fake_maps: list[Tensor], real_maps: list[Tensor]) -> Tensor:
    """Mean absolute difference of feature maps, each in units of the real map's mean size, averaged over the maps."""
    terms = [
        (fake.float() - real.float()).abs().mean() / real.float().abs().mean().clamp_min(1e-6)
        for fake, real in zip(fake_maps, real_maps, strict=True)
    ]
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
