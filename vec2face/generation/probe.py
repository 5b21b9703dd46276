"""What the generator makes of an identity: its images of the dataset to come, seen by an embedder."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vec2face.errors import InputError
from vec2face.generation.noise import Draws, draw, join
from vec2face.generation.plan import Plan
from vec2face.generation.render import Renderer, torch_threads
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator


@dataclass(frozen=True)
class Probe:
    """Renders the first `images` images of identities as a plan will, and embeds them, before any compression.

    Attributes:
        plan: how images vary.
        renderer, embedder: the networks.
        images: rendered of each identity, m: 1 to the plan's images per identity.
    """

    plan: Plan
    renderer: Renderer
    embedder: FaceEmbedder
    images: int

    @classmethod
    def of(cls, plan: Plan, *, generator: Vec2FaceGenerator, embedder: FaceEmbedder, images: int) -> "Probe":
        """Make a probe. Raises `InputError` if the plan has fewer images of an identity."""
        most = plan.recipe.images_per_identity
        if images > most:
            raise InputError(f"{images} images of an identity cannot be tried, for it will have {most}; try fewer.")
        renderer = Renderer(
            generator=generator,
            compute=plan.recipe.compute,
            mask_ratio_min=plan.mask.min,
            adapter_strength=plan.adapter_strength,
        )
        return cls(plan, renderer, embedder, images)

    def sums(self, identities: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return the sum of the unit embeddings of each identity's images, float64 `(N, D)`.

        Args:
            identities: `(N,)` indices in the dataset to come; they decide what is drawn for the images.
            vectors: float32 `(N, D)`.

        Raises:
            InputError: the generator gave NaN or infinity.
        """
        sums = np.zeros((len(identities), self.embedder.dim))
        compute = self.plan.recipe.compute
        done = 0
        with torch_threads(compute.threads_per_worker):
            for batch in self.renderer.render(self._batches(identities, vectors)):
                if not batch.finite.all():
                    where = int(batch.draws.identity[0])
                    raise InputError(f"{self.plan.recipe.weights} gave NaN or infinity near identity {where}.")
                units = _unit_embeddings(self.embedder, batch.pixels, compute.batch_size)
                np.add.at(sums, np.arange(done, done + len(units)) // self.images, units)
                done += len(units)
        return sums

    def centres(self, sums: np.ndarray) -> np.ndarray:
        """Return float64 `(N, D)` rows whose inner products are the cosines expected between finished centres.

        A centre of m images is a mean of unit vectors, of squared length q + (1 - q) / m, where q is the cosine that
        two images of the person have on average. The images seen tell q, and the inner product of two people's means
        does not depend on m. With all images seen these are the centres' directions themselves.
        """
        means = sums / self.images
        squares = np.einsum("nd,nd->n", means, means)
        finished = self.plan.recipe.images_per_identity
        if self.images in (1, finished):
            return means / np.sqrt(squares)[:, None]
        shared = np.clip((self.images * squares - 1) / (self.images - 1), 1.0 / finished, 1.0)
        scaled: np.ndarray = means / np.sqrt(shared + (1 - shared) / finished)[:, None]
        return scaled

    def _batches(self, identities: np.ndarray, vectors: np.ndarray) -> Iterator[Draws]:
        size = self.plan.recipe.compute.batch_size
        start, end = 0, len(identities) * self.images
        while start < end:
            stop = min(start + size, end)
            parts = []
            while start < stop:
                row, image = divmod(start, self.images)
                taken = min(self.images - image, stop - start)
                parts.append(draw(self.plan, vectors[row], int(identities[row]), image, taken))
                start += taken
            yield join(parts)


@torch.inference_mode()
def _unit_embeddings(embedder: FaceEmbedder, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    """Embed `(B, 112, 112, 3)` pixels, in a batch filled up like the generator's; float64 `(B, D)`."""
    missing = batch_size - len(pixels)
    filled = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)]) if missing else pixels
    tensor = torch.from_numpy(filled).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    vectors = embedder.embed(tensor)[: len(pixels)].numpy().astype(np.float64)
    units: np.ndarray = vectors / np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return units
