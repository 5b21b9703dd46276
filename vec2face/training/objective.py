"""Which losses count at a moment of the training, and those that compare pictures with pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vec2face.config.training import GeneratorLosses
from vec2face.models.generator.generator import GeneratorOutput
from vec2face.models.perceptual import Lpips
from vec2face.training import losses
from vec2face.training.loss_network import Views


@dataclass(frozen=True)
class Pictures:
    """A batch's pictures, on the device, and what of them counts.

    Attributes:
        real, fake: `(B, 3, H, W)` in [-1, 1], channels last; `fake` float32 with gradient.
        valid: `(B, 1, H, W)`, 1 where the real picture is one, 0 elsewhere and for imagined people.
        anchored: `(B, 1, H, W)` weights of the pixel losses: `valid`, and a little outside.
    """

    real: Tensor
    fake: Tensor
    valid: Tensor
    anchored: Tensor


def reconstruction_losses(weights: GeneratorLosses, output: GeneratorOutput, pictures: Pictures) -> dict[str, Tensor]:
    """The weighted losses of tokens and pixels; one with weight 0 is left out."""
    fake, real = pictures.fake, pictures.real
    result = {}
    if weights.token:
        result["token"] = weights.token * losses.token_loss(output.tokens, output.token_map)
    if weights.pixel:
        result["pixel"] = weights.pixel * losses.pixel_loss(fake, real, pictures.anchored)
    if weights.pixel_absolute:
        result["pixel_absolute"] = weights.pixel_absolute * losses.absolute_loss(fake, real, pictures.anchored)
    if weights.structure:
        result["structure"] = weights.structure * losses.structure_loss(
            fake, real, pictures.valid, window=weights.structure_window
        )
    return result


def perceptual_distance(
    fake: Tensor, real: Tensor, views: Views, *, lpips: Lpips | None, autocast: Callable[[], torch.autocast]
) -> Tensor:
    """LPIPS of `(B, 3, H, W)` pictures, where its network is given; else the distance of the embedder's maps."""
    if lpips is None:
        return losses.perceptual_loss(views.fake_maps, views.real_maps)
    with autocast():
        return lpips(fake, real).mean()


def has_begun(weights: GeneratorLosses, images_seen: int) -> dict[str, bool]:
    """Whether each loss that may begin late, and has a weight, counts after so many images."""
    return {
        "perceptual": bool(weights.perceptual) and images_seen >= weights.perceptual_start_images,
        "identity": bool(weights.identity) and images_seen >= weights.identity_start_images,
        "adversarial": bool(weights.adversarial) and images_seen >= weights.adversarial_start_images,
    }
