"""Train the generator on a face pack: reconstruct each face from its identity vector."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.config.training import GeneratorRecipe
from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.fileio.atomic import atomic_write
from vec2face.models.discriminators import ProjectedDiscriminator
from vec2face.models.discriminators.projected import generator_adversarial_loss, hinge_discriminator_loss
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.generator.generator import GeneratorOutput, Vec2FaceGenerator
from vec2face.seeding import rng_for, seed_for
from vec2face.training import losses
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.batches import BatchStream
from vec2face.training.loop import TrainingLoop, TrainingReporter, TrainingSummary
from vec2face.training.masks import draw_step_masks
from vec2face.training.preview import GeneratorPreview
from vec2face.training.vectors import Vectors, embed_pack

# A published sigma of 1 is 1/0.967 of the published features' deviation (WebFace mean 0.0046, std 0.967).
PUBLISHED_FEATURE_STD = 0.967


def train_generator(
    recipe: GeneratorRecipe,
    *,
    pack: Path,
    out: Path,
    embedder: CompactEmbedder,
    judge: FaceEmbedder | None,
    initial: Vec2FaceGenerator | None,
    reporter: TrainingReporter,
) -> TrainingSummary:
    """Train, or resume, a generator; its moving average is saved to `out/generator` at every preview.

    Args:
        recipe: what to train and how long.
        pack: folder of the face pack.
        out: folder of the run.
        embedder: loss network and, with `features: embedder`, the source of the vectors.
        judge: a network that takes no part in training, whose cosine between held-out faces and their rendering is
            reported; None leaves the figure out.
        initial: a generator to start from instead of random weights.

    Raises:
        InputError: the pack is unusable, or a loss is not finite.
        DatasetError: `out` holds a run with other settings.
    """
    faces = FacePack.load(pack)
    torch.set_num_threads(recipe.run.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = torch.bfloat16 if recipe.run.precision == "bfloat16" else torch.float32
    # BatchNorm is folded away and the loss network runs in the training precision throughout.
    critic = embedder.fuse().requires_grad_(False)
    # torch's own `to`: the one of diffusers warns at every cast about modules it was never told to keep in float32.
    nn.Module.to(critic, device, half)
    critic.to(memory_format=torch.channels_last)
    vectors = _vectors(recipe, faces, critic, out, reporter)
    generator = initial or _new_generator(recipe, vectors, embedder.name)
    require_same_width("the pack's vectors", vectors.values.shape[2], "the generator", generator.config.feature_dim)
    generator.to(device=device, memory_format=torch.channels_last)
    steps = _Steps(recipe, faces, vectors, critic, generator, device, half)
    loop = TrainingLoop(
        model=generator,
        schedule=recipe.schedule,
        run=recipe.run,
        out=out,
        identity={"recipe": recipe.model_dump(mode="json"), "pack": faces.facts},
        companions=steps.companions(),
    )
    preview = GeneratorPreview(recipe, faces, vectors, judge, out, device)
    return loop.run(steps.compute, measure=preview, reporter=reporter, waited=lambda: steps.stream.waited)


def _new_generator(recipe: GeneratorRecipe, vectors: Vectors, feature_space: str) -> Vec2FaceGenerator:
    torch.manual_seed(seed_for(recipe.run.seed, "initial-weights") % 2**63)
    std = float(np.sqrt(np.square(vectors.values[:, 0]).mean()))
    return Vec2FaceGenerator.from_size(
        recipe.architecture.size,
        feature_dim=vectors.values.shape[2],
        feature_space=feature_space,
        sigma_unit=round(std / PUBLISHED_FEATURE_STD, 4),
    )


def _vectors(
    recipe: GeneratorRecipe, faces: FacePack, critic: CompactEmbedder, out: Path, reporter: TrainingReporter
) -> Vectors:
    if recipe.features == "stored":
        return Vectors(np.asarray(faces.require_features(), np.float32))
    cache = out / "vectors.npy"
    if cache.is_file():
        return Vectors(np.load(cache))
    reporter.training_note(f"embedding {len(faces.images)} faces and their mirror images")
    vectors = embed_pack(faces, critic)
    with atomic_write(cache) as stream:
        np.save(stream, vectors.values)
    return vectors


class _Steps:
    """Computes the losses of a step; owns the discriminator, whose own step is taken here."""

    def __init__(
        self,
        recipe: GeneratorRecipe,
        faces: FacePack,
        vectors: Vectors,
        critic: CompactEmbedder,
        generator: Vec2FaceGenerator,
        device: torch.device,
        half: torch.dtype,
    ) -> None:
        self.recipe, self.vectors, self.critic, self.generator = recipe, vectors, critic, generator
        self.device, self.half = device, half
        training = ~faces.holdout
        rows = np.concatenate(
            [np.flatnonzero(training)] + [np.flatnonzero(training & faces.whole)] * (recipe.whole_image_repeat - 1)
        )
        self.stream = BatchStream(faces, rows, batch_size=recipe.schedule.batch_size, seed=recipe.run.seed)
        a = recipe.augmentation
        self.strength = AugmentStrength(
            a.shift_pixels, a.zoom, a.rotate_degrees, a.color, a.soften_probability, a.noise
        )
        self.autocast: Callable[[], torch.autocast] = lambda: torch.autocast(
            device.type, torch.bfloat16, enabled=half is torch.bfloat16
        )
        self.discriminator: ProjectedDiscriminator | None = None
        if recipe.losses.adversarial:
            torch.manual_seed(seed_for(recipe.run.seed, "initial-discriminator") % 2**63)
            widths = critic.config.widths
            self.discriminator = ProjectedDiscriminator(map_channels=tuple(widths[:3]), condition_dim=critic.dim)
            self.discriminator.to(device)
            self.discriminator_optimizer = torch.optim.AdamW(
                self.discriminator.parameters(),
                lr=recipe.losses.discriminator_learning_rate,
                betas=(0.0, 0.99),
                weight_decay=0.0,
            )

    def companions(self) -> dict:
        if self.discriminator is None:
            return {}
        return {"discriminator": self.discriminator, "discriminator_optimizer": self.discriminator_optimizer}

    def compute(self, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of a step."""
        weights, recipe = self.recipe.losses, self.recipe
        batch = self.stream.get(step)
        seen = step * recipe.schedule.batch_size
        real = batch.images.to(self.device).contiguous(memory_format=torch.channels_last)
        region = losses.valid_region(batch.valid.to(self.device), real.shape[-1])
        features, has_picture = self._mix(self.vectors.of(batch).to(self.device), step)
        valid = region * has_picture
        # Outside, the anchor is weak: enough to keep wild colours out, too little to teach the blur of padded crops.
        pixels = (region + recipe.surround_weight * (1 - region)) * has_picture
        output = self._render(features, step)
        fake = output.image.float()
        result = {"token": weights.token * losses.token_loss(output.tokens, output.token_map)}
        if weights.pixel:
            result["pixel"] = weights.pixel * losses.pixel_loss(fake, real, pixels)
        if weights.pixel_absolute:
            result["pixel_absolute"] = weights.pixel_absolute * losses.absolute_loss(fake, real, pixels)
        if weights.structure:
            result["structure"] = weights.structure * losses.structure_loss(fake, real, valid)
        adversarial = bool(weights.adversarial) and seen >= weights.adversarial_start_images
        identity = bool(weights.identity) and seen >= weights.identity_start_images
        perceptual = bool(weights.perceptual) and seen >= weights.perceptual_start_images
        if perceptual or identity or adversarial:
            embedding, fake_maps, real_maps = self._look(fake, losses.compose_valid(real, fake, valid), step)
            if perceptual:
                result["perceptual"] = weights.perceptual * losses.perceptual_loss(fake_maps, real_maps)
            if identity:
                result["identity"] = weights.identity * losses.identity_loss(embedding, features)
            if adversarial:
                result["adversarial"] = weights.adversarial * self._adversarial(fake_maps, real_maps, features, valid)
        return result

    def _mix(self, features: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Turn the last vectors of the batch into mixtures of two; also return `(B, 1, 1, 1)`, 1 for the others."""
        count = round(self.recipe.mixed_share * len(features))
        has_picture = (torch.arange(len(features), device=features.device) < len(features) - count).float()
        has_picture = has_picture[:, None, None, None]
        if not count:
            return features, has_picture
        rng = rng_for(self.recipe.run.seed, "mixture", step)
        share = torch.from_numpy(rng.random((count, 1), dtype=np.float32)).to(features.device)
        other = features[torch.from_numpy(rng.integers(0, len(features), count)).to(features.device)]
        own = features[-count:]
        mixture = share * own + (1 - share) * other
        norm = share * own.norm(dim=1, keepdim=True) + (1 - share) * other.norm(dim=1, keepdim=True)
        mixture = F.normalize(mixture, dim=1) * norm
        return torch.cat([features[:-count], mixture]), has_picture

    def _render(self, features: Tensor, step: int) -> GeneratorOutput:
        mask = self.generator.config.training_mask
        noise, rate = draw_step_masks(self.recipe.run.seed, "training-mask", step, len(features), mask)
        self.generator.train()
        with self.autocast():
            return self.generator(
                features, mask_noise=noise.to(self.device), mask_rate=rate.to(self.device), mask_ratio_min=mask["min"]
            )

    def _look(self, fake: Tensor, composed: Tensor, step: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Show the embedder the rendering and the real picture after the same augmentation."""
        seed = seed_for(self.recipe.run.seed, "augment", step) % 2**63
        looks = [
            augment(images, self.strength, torch.Generator().manual_seed(seed)).to(self.half)
            for images in (fake, composed)
        ]
        with self.autocast():
            embedding, fake_maps = self.critic.embed_with_features(looks[0])
            with torch.no_grad():
                _, real_maps = self.critic.embed_with_features(looks[1])
        return embedding, fake_maps, real_maps

    def _adversarial(self, fake_maps: list[Tensor], real_maps: list[Tensor], features: Tensor, valid: Tensor) -> Tensor:
        """Train the discriminator on these maps, then return the generator's adversarial loss."""
        if self.discriminator is None:
            raise RuntimeError("the adversarial loss was asked for without a discriminator")
        judged = len(self.discriminator.heads)
        fake, real = fake_maps[:judged], real_maps[:judged]
        condition = F.normalize(features, dim=1)
        patch_weights = self._patch_weights(valid, fake)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            real_logits = self.discriminator(real, condition)
            fake_logits = self.discriminator([m.detach() for m in fake], condition)
        hinge_discriminator_loss(real_logits, fake_logits, patch_weights).backward()
        self.discriminator_optimizer.step()
        # Frozen for the generator's pass: its gradient must not leak into the discriminator.
        self.discriminator.requires_grad_(False)
        with self.autocast():
            logits = self.discriminator(fake, condition)
        self.discriminator.requires_grad_(True)
        return generator_adversarial_loss(logits)

    def _patch_weights(self, valid: Tensor, maps: list[Tensor]) -> list[Tensor]:
        # A patch counts by the share of it that is a real picture (the augmentation's small shift is ignored).
        return [F.adaptive_avg_pool2d(valid, ((m.shape[2] + 1) // 2, (m.shape[3] + 1) // 2)).square() for m in maps]
