"""The appearance code while a generator is trained: read off the real picture, or drawn where there is none."""

import torch
from torch import Tensor

from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.training.processes import mean_over_processes


def divergence_loss(mean: Tensor, log_variance: Tensor, counted: Tensor) -> Tensor:
    """Kullback-Leibler divergence, in nats an image, of N(mean, exp(log_variance)) from the standard normal.

    Source: Kingma & Welling, arXiv 1312.6114, appendix B.

    Args:
        mean, log_variance: `(B, A)`.
        counted: `(B,)`, 1 for the images that count.
    """
    nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return (nats * counted).sum() / mean_over_processes(counted.sum()).clamp_min(1.0)


def draw_appearance(
    generator: Vec2FaceGenerator, images: Tensor, valid: Tensor, has_picture: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the codes `(B, A)` to render with, and their divergence loss.

    Args:
        generator: one that takes an appearance code.
        images: `(B, 3, 112, 112)` real pictures in [-1, 1].
        valid: `(B, 1, 112, 112)`, 1 where a picture is real.
        has_picture: `(B, 1, 1, 1)`, 1 where the vector belongs to the picture; elsewhere the code is the noise itself.
        noise: `(B, A)` standard normal.
    """
    mean, log_variance = generator.encode_appearance(images, valid)
    read = mean + (0.5 * log_variance).exp() * noise
    counted = has_picture.flatten()
    return torch.where(counted[:, None] > 0, read, noise), divergence_loss(mean, log_variance, counted)
