"""The losses between generator and discriminator, each alone in a function.

Logits come as one `(B, 1, h, w)` map per head; `weights` has a map of the same size for each, the share of every patch
that is a real picture, in [0, 1]. Each loss is the mean over the heads.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vec2face.training.processes import mean_over_processes

# Guards of the published adaptive weight: added to the denominator, and the largest ratio.
RATIO_EPSILON = 1e-4
LARGEST_RATIO = 1e4


def patch_weights(valid: Tensor, logits: list[Tensor]) -> list[Tensor]:
    """Weigh each patch by the square of the share of it that is a real picture.

    Args:
        valid: `(B, 1, H, W)`, 1 where the target is a real picture.
        logits: the maps to weigh.
    """
    return [F.adaptive_avg_pool2d(valid, (logit.shape[2], logit.shape[3])).square() for logit in logits]


def hinge_discriminator_loss(real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Weighted mean of max(0, 1 - D(real)) plus mean of max(0, 1 + D(fake)).

    Every patch of a rendering is judged, so that it cannot hide anything where its own picture has no real region.
    Source: geometric GAN (arXiv 1705.02894).
    """
    terms = [
        _weighted_mean(F.relu(1 - r.float()), w) + F.relu(1 + f.float()).mean()
        for r, f, w in zip(real, fake, weights, strict=True)
    ]
    return torch.stack(terms).mean()


def least_squares_discriminator_loss(real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Half of: weighted mean of (D(real) - 1)^2 plus mean of D(fake)^2.

    Source: LSGAN (arXiv 1611.04076), as in Vec2Face's code.
    """
    terms = [
        0.5 * (_weighted_mean((r.float() - 1).square(), w) + f.float().square().mean())
        for r, f, w in zip(real, fake, weights, strict=True)
    ]
    return torch.stack(terms).mean()


def relativistic_discriminator_loss(real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Weighted mean of log(1 + exp(D(fake) - D(real))), patch against the patch it was meant to rebuild.

    Source: relativistic pairing GAN (arXiv 1807.00734), the loss of R3GAN (arXiv 2501.05441).
    """
    terms = [_weighted_mean(F.softplus(f.float() - r.float()), w) for r, f, w in zip(real, fake, weights, strict=True)]
    return torch.stack(terms).mean()


DISCRIMINATOR_LOSSES: dict[str, Callable[[list[Tensor], list[Tensor], list[Tensor]], Tensor]] = {
    "hinge": hinge_discriminator_loss,
    "least_squares": least_squares_discriminator_loss,
    "relativistic": relativistic_discriminator_loss,
}


def generator_loss(fake: list[Tensor]) -> Tensor:
    """-mean(D(fake)), over every patch: the generator's part of the hinge loss and of the published setting."""
    return torch.stack([-f.float().mean() for f in fake]).mean()


def relativistic_generator_loss(real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Weighted mean of log(1 + exp(D(real) - D(fake))); the discriminator's loss with the roles exchanged."""
    return relativistic_discriminator_loss(fake, real, weights)


def gradient_penalty(judge: Callable[[list[Tensor]], list[Tensor]], inputs: list[Tensor]) -> Tensor:
    """0.5 * E |grad_x D(x)|^2, where D(x) is the mean of a sample's logits over patches and heads.

    On real inputs this is R1, on renderings R2 (arXiv 1801.04406).

    Args:
        judge: from inputs to logits, in float32.
        inputs: what the discriminator sees; no gradient leaves them.

    Returns:
        A scalar that can be differentiated with respect to the discriminator's parameters.
    """
    inputs = [x.detach().float().requires_grad_() for x in inputs]
    scores = torch.stack([logits.flatten(1).mean(dim=1) for logits in judge(inputs)]).mean(dim=0)
    gradients = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return 0.5 * torch.stack([g.square().flatten(1).sum(dim=1) for g in gradients]).sum(dim=0).mean()


def gradient_ratio(other: Tensor, adversarial: Tensor, layer: Tensor) -> Tensor:
    """|grad other| / (|grad adversarial| + 1e-4) at a layer's weights, at most 1e4, without gradient.

    Multiplied with it, the adversarial loss pulls as strongly as the others. Source: VQGAN (arXiv 2012.09841, eq. 7).

    Args:
        other: the weighted sum of the other losses.
        adversarial: the generator's adversarial loss.
        layer: weights of the image decoder's last layer.
    """
    (by_other,) = torch.autograd.grad(other, layer, retain_graph=True)
    (by_adversarial,) = torch.autograd.grad(adversarial, layer, retain_graph=True)
    by_other, by_adversarial = mean_over_processes(by_other), mean_over_processes(by_adversarial)
    ratio = by_other.norm() / (by_adversarial.norm() + RATIO_EPSILON)
    return ratio.clamp(0.0, LARGEST_RATIO).detach()


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values).sum() / mean_over_processes(weights.sum()).clamp_min(1.0)
