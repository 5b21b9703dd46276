"""One step of generator training: a batch, its renderings, and their weighted losses."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vec2face.config.training import GeneratorRecipe
from vec2face.data.facepack import FacePack
from vec2face.models.generator.generator import GeneratorOutput, Vec2FaceGenerator
from vec2face.models.perceptual import Lpips
from vec2face.seeding import rng_for
from vec2face.training import losses
from vec2face.training.adversarial import Adversary, weigh_adversarial
from vec2face.training.appearance import draw_appearance
from vec2face.training.batches import Batch, BatchStream
from vec2face.training.imagined import distribution_of, imagine_last
from vec2face.training.loss_network import LossNetwork, Views
from vec2face.training.masks import draw_step_masks
from vec2face.training.objective import Pictures, has_begun, perceptual_distance, reconstruction_losses
from vec2face.training.portion import Portion
from vec2face.training.vectors import Vectors


class GeneratorStep:
    """Computes the losses of a portion of a step, and gives the discriminator its gradient.

    Args:
        recipe: the run's recipe.
        faces, vectors: the training set.
        generator: the network being trained, on the device of the batches.
        loss_network: looks at the renderings.
        lpips: the network of the perceptual loss, for a recipe that asks for it.
        adversary: for a recipe with an adversarial loss.
        autocast: makes the context of a forward pass.
    """

    def __init__(
        self,
        *,
        recipe: GeneratorRecipe,
        faces: FacePack,
        vectors: Vectors,
        generator: Vec2FaceGenerator,
        loss_network: LossNetwork,
        lpips: Lpips | None,
        adversary: Adversary | None,
        autocast: Callable[[], torch.autocast],
    ) -> None:
        self.recipe, self.vectors, self.generator = recipe, vectors, generator
        self.loss_network, self.lpips, self.adversary, self.autocast = loss_network, lpips, adversary, autocast
        self.imagined = distribution_of(faces, vectors)
        self.stream = BatchStream(
            faces,
            training_rows(recipe, faces),
            batch_size=recipe.schedule.batch_size,
            seed=recipe.run.seed,
            mirror_share=recipe.mirror_share,
        )

    def __call__(self, batch: Batch, portion: Portion) -> dict[str, Tensor]:
        """Return the weighted losses of a portion of a step; their sum is what the generator minimises."""
        weights = self.recipe.losses
        device = batch.images.device
        features, has_picture = (drawn.to(device) for drawn in self._vectors(portion))
        real, region = self._real(batch)
        valid = region * has_picture
        appearance, result = self._appearance(real, region, has_picture, portion)
        output = self._render(features, appearance, portion)
        # Outside, the anchor is weak: enough to keep wild colours out, too little to teach the blur of padded crops.
        anchored = (region + self.recipe.surround_weight * (1 - region)) * has_picture
        pictures = Pictures(real=real, fake=output.image.float(), valid=valid, anchored=anchored)
        result |= reconstruction_losses(weights, output, pictures)
        begun = has_begun(weights, portion.images_before)
        if not any(begun.values()):
            return result
        composed = losses.compose_valid(real, pictures.fake, valid)
        views = self._look(pictures.fake, composed, portion, begun)
        if begun["perceptual"]:
            result["perceptual"] = weights.perceptual * perceptual_distance(
                pictures.fake, composed, views, lpips=self.lpips, autocast=self.autocast
            )
        if begun["identity"]:
            result["identity"] = weights.identity * losses.identity_loss(views.embedding, features)
        if begun["adversarial"] and self.adversary is not None:
            shown = self.adversary.exhibits(
                real=composed, fake=pictures.fake, views=views, features=features, valid=valid
            )
            self.adversary.train(shown, portion.step)
            told = self.adversary.generator_losses(shown)
            weigh_adversarial(result, told, weights, last=last_weights(self.generator))
        return result

    def _vectors(self, portion: Portion) -> tuple[Tensor, Tensor]:
        """Return the portion's vectors, imagined ones among them, and which have a picture; see `imagine_last`."""
        # The parts of a mixture come from anywhere in the step's whole batch.
        features, has_picture = imagine_last(
            self.vectors.at(*self.stream.choose(portion.step)),
            mixed_share=self.recipe.mixed_share,
            drawn_share=self.recipe.drawn_share,
            source=self.imagined,
            rng=rng_for(self.recipe.run.seed, "imagined", portion.step),
        )
        return portion.of(features), portion.of(has_picture)

    def _real(self, batch: Batch) -> tuple[Tensor, Tensor]:
        real = batch.images.contiguous(memory_format=torch.channels_last)
        return real, losses.valid_region(batch.valid, real.shape[-1])

    def _appearance(
        self, real: Tensor, region: Tensor, has_picture: Tensor, portion: Portion
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return the appearance codes and the weighted divergence, for a generator that takes codes."""
        if not self.generator.config.appearance_dim:
            return None, {}
        rng = rng_for(self.recipe.run.seed, "training-appearance", portion.step)
        drawn = rng.standard_normal((portion.total, self.generator.config.appearance_dim), dtype=np.float32)
        noise = portion.of(torch.from_numpy(drawn)).to(real.device)
        with self.autocast():
            codes, divergence = draw_appearance(self.generator, real, region, has_picture, noise)
        return codes, {"appearance": self.recipe.losses.appearance * divergence}

    def _render(self, features: Tensor, appearance: Tensor | None, portion: Portion) -> GeneratorOutput:
        mask = self.generator.config.training_mask
        drawn = draw_step_masks(self.recipe.run.seed, "training-mask", portion.step, portion.total, mask)
        noise, rate = (portion.of(numbers).to(features.device) for numbers in drawn)
        self.generator.train()
        # On CPUs the fused attention's backward pass takes three times as long as the plain one's for 50 tokens.
        plain = sdpa_kernel(SDPBackend.MATH) if features.device.type == "cpu" else nullcontext()
        with plain, self.autocast():
            return self.generator(
                features, mask_noise=noise, mask_rate=rate, mask_ratio_min=mask["min"], appearance=appearance
            )

    def _look(self, fake: Tensor, composed: Tensor, portion: Portion, begun: dict[str, bool]) -> Views:
        weights = self.recipe.losses
        maps = (begun["perceptual"] and weights.perceptual_compares_maps) or (
            begun["adversarial"] and weights.discriminator_judges_maps
        )
        if not (maps or begun["identity"]):
            return Views(fake.new_zeros(0), [], [])
        return self.loss_network.look(fake, composed if maps else None, portion)


def training_rows(recipe: GeneratorRecipe, faces: FacePack) -> np.ndarray:
    """Rows of the pack that a pass shows: all but the held-out ones, whole pictures as often as the recipe says."""
    training = ~faces.holdout
    return np.concatenate(
        [np.flatnonzero(training)] + [np.flatnonzero(training & faces.whole)] * (recipe.whole_image_repeat - 1)
    )


def last_weights(generator: Vec2FaceGenerator) -> Tensor:
    """Weights of the image decoder's last convolution, where the adaptive weight compares gradients."""
    return [module for module in generator.image_decoder.modules() if isinstance(module, nn.Conv2d)][-1].weight
