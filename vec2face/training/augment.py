"""Batched augmentations of face images, differentiable, with the random numbers passed in."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vec2face.training.portion import Portion, whole_step


@dataclass(frozen=True)
class AugmentStrength:
    """Largest changes: pixels, relative zoom, degrees, relative colour; odds of softening; deviation of added noise;
    brightness that rises towards one edge and falls towards the other, as light from a side."""

    shift_pixels: float
    zoom: float
    rotate_degrees: float
    color: float
    soften_probability: float
    noise: float = 0.0
    side_light: float = 0.0


def augment(
    images: Tensor,
    strength: AugmentStrength,
    generator: torch.Generator,
    portion: Portion | None = None,
    *,
    turned: Tensor | None = None,
) -> Tensor:
    """Shift, zoom, rotate, change brightness and contrast, light from a side, and soften each image on its own.

    Args:
        images: `(B, 3, H, W)` RGB in [-1, 1]; gradients flow through.
        strength: the largest changes.
        generator: CPU generator that all draws come from.
        portion: which samples of a step's whole batch the images are, None for all; the draws are the whole batch's.
        turned: `(B,)` degrees by which each image is turned clockwise beside that; 0 for all by default.
    """
    batch, _, height, width = images.shape
    dtype = images.dtype
    portion = portion or whole_step(0, batch)

    def uniform(count: int = 1) -> Tensor:
        return portion.of(torch.rand(portion.total, count, generator=generator)).to(images.device) * 2 - 1

    angle = uniform()[:, 0] * math.radians(strength.rotate_degrees)
    if turned is not None:
        # The grid says where a pixel comes from, which is turned the other way.
        angle = angle - torch.deg2rad(turned.to(images.device))
    scale = 1 + uniform()[:, 0] * strength.zoom
    shift = uniform(2) * strength.shift_pixels * 2 / width
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    theta = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1).view(batch, 2, 3)
    grid = F.affine_grid(theta, [batch, 3, height, width], align_corners=False)
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    contrast = 1 + uniform()[:, :, None, None] * strength.color
    brightness = uniform()[:, :, None, None] * strength.color
    tint = uniform(3)[:, :, None, None] * strength.color * 0.3
    moved = moved * contrast + brightness + tint
    if strength.side_light:
        across = torch.linspace(-1, 1, width, device=images.device)
        moved = moved + uniform()[:, :, None, None] * strength.side_light * across
    soften = portion.of(torch.rand(portion.total, generator=generator) < strength.soften_probability).to(images.device)
    if bool(soften.any()):
        small = F.interpolate(moved, scale_factor=0.5, mode="area")
        soft = F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
        moved = torch.where(soften[:, None, None, None], soft, moved)
    if strength.noise:
        if moved.device.type != "cpu":  # so many numbers are drawn where they are needed
            generator = torch.Generator(moved.device).manual_seed(generator.initial_seed())
        shape = (portion.total, *moved.shape[1:])
        moved = moved + portion.of(torch.randn(shape, generator=generator, device=moved.device)) * strength.noise
    return moved.to(dtype).contiguous(memory_format=torch.channels_last)
