"""The discriminator's side of the training: its network, its optimiser, its step, and what the generator is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.config.training import GeneratorLosses, TrainingRecipe
from vec2face.models.discriminators import (
    CrossEmbedDiscriminator,
    Discriminator,
    JointDiscriminator,
    MultiscaleDiscriminator,
    ProjectedDiscriminator,
)
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.seeding import seed_for
from vec2face.training import adversarial_losses
from vec2face.training.learner import Learner
from vec2face.training.loss_network import JUDGED_MAPS, Views
from vec2face.training.losses import perceptual_loss
from vec2face.training.processes import Processes


@dataclass(frozen=True)
class Exhibits:
    """What the discriminator is shown of a step.

    Attributes:
        real, fake: its inputs (see `Discriminator.forward`) for real pictures and for renderings; gradients flow
            through `fake` alone.
        condition: `(B, D)` unit vectors.
        valid: `(B, 1, H, W)`, 1 where the target is a real picture.
    """

    real: list[Tensor]
    fake: list[Tensor]
    condition: Tensor
    valid: Tensor


def build_discriminator(
    losses: GeneratorLosses, *, map_channels: tuple[int, ...], condition_dim: int, seed: int
) -> Discriminator:
    """Build the discriminator a recipe names, with weights drawn from the run's seed.

    Args:
        losses: the recipe's losses.
        map_channels: channels of the feature maps that a projected one judges.
        condition_dim: width of the identity vectors.
        seed: the run's seed.
    """
    torch.manual_seed(seed_for(seed, "initial-discriminator") % 2**63)
    if losses.discriminator == "projected":
        return ProjectedDiscriminator(map_channels=map_channels, condition_dim=condition_dim)
    if losses.discriminator == "joint":
        return JointDiscriminator(map_channels=map_channels, condition_dim=condition_dim)
    if losses.discriminator == "multiscale":
        return MultiscaleDiscriminator(condition_dim=condition_dim)
    return CrossEmbedDiscriminator()


def discriminator_optimizer(losses: GeneratorLosses, discriminator: Discriminator) -> torch.optim.Optimizer:
    """Make the optimiser that a recipe gives its discriminator."""
    return torch.optim.AdamW(
        discriminator.parameters(),
        lr=losses.discriminator_learning_rate,
        betas=losses.discriminator_betas,
        weight_decay=losses.discriminator_weight_decay,
        fused=True,
    )


def discriminator_learner(
    losses: GeneratorLosses,
    recipe: TrainingRecipe,
    *,
    map_network: FaceEmbedder | None,
    condition_dim: int,
    processes: Processes,
) -> Learner | None:
    """Make the discriminator with its optimiser, on the training's device; None for losses without one.

    Args:
        losses: the recipe's losses.
        recipe: the run it learns in.
        map_network: whose feature maps a discriminator of maps judges.
        condition_dim: width of the identity vectors.
        processes: that share the training.
    """
    if not losses.adversarial:
        return None
    widths = map_network.config.widths if isinstance(map_network, CompactEmbedder) else ()
    discriminator = build_discriminator(
        losses, map_channels=tuple(widths[:JUDGED_MAPS]), condition_dim=condition_dim, seed=recipe.run.seed
    )
    discriminator.to(device=processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Learner(
        name="discriminator",
        module=discriminator,
        optimizer=discriminator_optimizer(losses, discriminator),
        passes=recipe.schedule.accumulate,
        precision=recipe.run.precision,
        processes=processes,
    )


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Record no gradient towards a module's parameters inside the block; gradients still pass through it."""
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    module.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)


class Adversary:
    """Trains a discriminator, and says what it thinks of renderings.

    Args:
        losses: the recipe's losses.
        learner: the discriminator, on the device of the training, with its optimiser; the loop takes its steps.
        autocast: makes the context of a forward pass.
    """

    def __init__(self, *, losses: GeneratorLosses, learner: Learner, autocast: Callable[[], torch.autocast]) -> None:
        if not isinstance(learner.module, Discriminator):
            raise TypeError("the learner's module is not a discriminator")
        self.losses, self.learner, self.autocast = losses, learner, autocast
        self.discriminator = learner.module

    def exhibits(self, *, real: Tensor, fake: Tensor, views: Views, features: Tensor, valid: Tensor) -> Exhibits:
        """Put together what this discriminator judges: pictures, the embedder's maps of them, or both.

        Args:
            real, fake: `(B, 3, H, W)` pictures in [-1, 1].
            views: what the embedder made of them.
            features: `(B, D)` identity vectors.
            valid: `(B, 1, H, W)`, 1 where the target is a real picture.
        """
        shown_real, shown_fake = [real], [fake]
        if self.discriminator.sees != "pixels":
            pixels = self.discriminator.sees == "both"
            shown_real = views.real_maps[:JUDGED_MAPS] + (shown_real if pixels else [])
            shown_fake = views.fake_maps[:JUDGED_MAPS] + (shown_fake if pixels else [])
        return Exhibits(real=shown_real, fake=shown_fake, condition=F.normalize(features, dim=1), valid=valid)

    def train(self, shown: Exhibits, step: int) -> None:
        """Give the discriminator its gradient, if it learns at this step; the renderings' gradient is not touched."""
        if step % self.losses.discriminator_every == 0:
            self.learner.backward(self.discriminator_loss(shown, step // self.losses.discriminator_every))

    def discriminator_loss(self, shown: Exhibits, turn: int) -> Tensor:
        """What the discriminator minimises at its `turn`-th step; gradients reach its parameters alone."""
        self.discriminator.train()
        with self.autocast():
            real = self.discriminator(shown.real, shown.condition).logits
            fake = self.discriminator([x.detach() for x in shown.fake], shown.condition).logits
        weights = adversarial_losses.patch_weights(shown.valid, real)
        loss = adversarial_losses.DISCRIMINATOR_LOSSES[self.losses.adversarial_loss](real, fake, weights)
        if self.losses.gradient_penalty and turn % self.losses.gradient_penalty_every == 0:
            # A penalty that is taken every k-th time is k times as strong (StyleGAN2, arXiv 1912.04958).
            strength = self.losses.gradient_penalty * self.losses.gradient_penalty_every
            loss = loss + strength * self._gradient_penalty(shown)
        return loss

    def _gradient_penalty(self, shown: Exhibits) -> Tensor:
        def judge(inputs: list[Tensor]) -> list[Tensor]:
            logits: list[Tensor] = self.discriminator(inputs, shown.condition).logits
            return logits

        self.discriminator.eval()  # one sharpening of the spectral norms a step is enough
        penalty = adversarial_losses.gradient_penalty(judge, shown.real)
        if self.losses.adversarial_loss == "relativistic":
            penalty = penalty + adversarial_losses.gradient_penalty(judge, shown.fake)
        return penalty

    def generator_losses(self, shown: Exhibits) -> dict[str, Tensor]:
        """What the generator is told, not yet weighted: `adversarial`, and `feature_matching` where asked for.

        The discriminator is frozen for this pass: no gradient reaches its parameters, and its spectral norms stay.
        """
        self.discriminator.eval()
        with frozen(self.discriminator), self.autocast():
            fake = self.discriminator(shown.fake, shown.condition)
            real = None
            if self.losses.adversarial_loss == "relativistic" or self.losses.feature_matching:
                with torch.no_grad():
                    real = self.discriminator(shown.real, shown.condition)
        if real is None or self.losses.adversarial_loss != "relativistic":
            told = {"adversarial": adversarial_losses.generator_loss(fake.logits)}
        else:
            weights = adversarial_losses.patch_weights(shown.valid, real.logits)
            told = {"adversarial": adversarial_losses.relativistic_generator_loss(real.logits, fake.logits, weights)}
        if real is not None and self.losses.feature_matching:
            told["feature_matching"] = perceptual_loss(fake.hidden, real.hidden)
        return told


def weigh_adversarial(
    result: dict[str, Tensor], told: dict[str, Tensor], losses: GeneratorLosses, *, last: Tensor
) -> None:
    """Add what the discriminator tells the generator to the weighted losses, in place.

    Args:
        result: the other weighted losses of the step.
        told: from `Adversary.generator_losses`.
        losses: the recipe's losses.
        last: weights of the generator's last convolution, where an adaptive weight compares gradients.
    """
    if losses.feature_matching:
        result["feature_matching"] = losses.feature_matching * told["feature_matching"]
    adversarial = losses.adversarial * told["adversarial"]
    if losses.adversarial_weight == "adaptive":
        others = torch.stack(list(result.values())).sum()
        adversarial = adversarial * adversarial_losses.gradient_ratio(others, told["adversarial"], last)
    result["adversarial"] = adversarial
