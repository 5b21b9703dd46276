"""The frozen embedder that looks at renderings: for the perceptual, identity and adversarial losses."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vec2face.models.embedders.base import FaceEmbedder, to_contract
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.seeding import seed_for
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.portion import Portion

# The maps that a projected discriminator judges, from the finest: the last one is all but the embedding itself.
JUDGED_MAPS = 3


@dataclass(frozen=True)
class Views:
    """What the embedder makes of a batch.

    Attributes:
        embedding: `(B, D)` of the renderings, with gradient.
        fake_maps: feature maps of the renderings, with gradient.
        real_maps: feature maps of the real pictures, without.
    """

    embedding: Tensor
    fake_maps: list[Tensor]
    real_maps: list[Tensor]


class LossNetwork:
    """Looks at renderings and real pictures after the same augmentation.

    Args:
        embedder: on the device and in the precision of the losses. A `CompactEmbedder` has feature maps to show, any
            other an embedding alone.
        strength: the augmentation.
        seed: the run's seed.
        precision: what pictures are cast to.
        autocast: makes the context of a forward pass.
    """

    def __init__(
        self,
        *,
        embedder: FaceEmbedder,
        strength: AugmentStrength,
        seed: int,
        precision: torch.dtype,
        autocast: Callable[[], torch.autocast],
    ) -> None:
        self.embedder, self.strength, self.seed = embedder, strength, seed
        self.precision, self.autocast = precision, autocast
        self._changes = strength != AugmentStrength(0, 0, 0, 0, 0, 0)

    def look(self, fake: Tensor, real: Tensor | None, portion: Portion) -> Views:
        """Look at `(B, 3, 112, 112)` renderings and, unless None, at real pictures; both are a portion of a step.

        Raises:
            RuntimeError: the real pictures' maps are asked for and the embedder has none to show.
        """
        pictures = self._augmented(fake, portion)
        if not isinstance(self.embedder, CompactEmbedder):
            if real is not None:
                raise RuntimeError("this embedder has no feature maps to show")
            with self.autocast():
                return Views(self.embedder.embed(pictures), [], [])
        with self.autocast():
            embedding, fake_maps = self.embedder.embed_with_features(pictures)
        if real is None:
            return Views(embedding, fake_maps, [])
        with torch.no_grad():
            aim = self._augmented(real, portion)
            with self.autocast():
                real_maps = self.embedder.features(to_contract(aim, self.embedder.contract))
        return Views(embedding, fake_maps, real_maps)

    def _augmented(self, pictures: Tensor, portion: Portion) -> Tensor:
        # Never under autocast, in whose half precision a rotated grid is off by a pixel.
        if self._changes:
            generator = torch.Generator().manual_seed(seed_for(self.seed, "augment", portion.step) % 2**63)
            pictures = augment(pictures, self.strength, generator, portion)
        return pictures.to(self.precision)


def prepare_embedder(embedder: FaceEmbedder, *, device: torch.device, precision: torch.dtype) -> None:
    """Freeze an embedder and move it to where and how the losses use it, in place.

    A compact one has its BatchNorms folded away.
    """
    if isinstance(embedder, CompactEmbedder):
        embedder.fuse()
    if isinstance(embedder, nn.Module):  # an ONNX session is what it is
        embedder.eval().requires_grad_(False)
        # torch's own `to`: the one of diffusers warns at every cast about modules it was never told to keep in float32.
        nn.Module.to(embedder, device, precision)
        embedder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it
