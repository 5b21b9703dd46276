"""Blends of two faces as further distillation examples: the teacher says what each blend looks like.

Aligned faces blend into plausible new faces, so a small real set yields any number of pictures between its people. The
teacher sees the very picture the student learns from (Beyer et al. 2022, "Knowledge distillation: a good teacher is
patient and consistent").
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vec2face.data.facepack import FacePack
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import atomic_write
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.seeding import rng_for
from vec2face.training.batches import read_batch
from vec2face.training.portion import Portion

EMBED_BATCH = 64
FEATHER_PIXELS = 12.0


class Blends:
    """A numbered set of blends of training faces, drawn again whenever they are asked for.

    Blend k is a cross-fade of two faces (even k), or one face on either side of a soft straight border through the
    middle of the picture (odd k). Either face may be mirrored.

    Args:
        faces: the pack.
        rows: rows of the pack to blend, usually the training rows.
        count: how many blends there are.
        seed: what they are drawn from.
    """

    def __init__(self, faces: FacePack, rows: np.ndarray, *, count: int, seed: int) -> None:
        self._faces, self._rows, self._seed, self.count = faces, rows, seed, count
        self.features = np.empty((0, 0), np.float32)

    def images(self, numbers: np.ndarray) -> Tensor:
        """Return blends `(B, 3, H, W)` float32 in [-1, 1]."""
        size = self._faces.images.shape[1]
        rows = np.empty((2, len(numbers)), np.int64)
        mirrored = np.empty((2, len(numbers)), bool)
        share = np.empty((len(numbers), 1, size, size), np.float32)
        centred = (np.arange(size, dtype=np.float32) + 0.5) - size / 2
        for index, number in enumerate(numbers):
            rng = rng_for(self._seed, "blend", int(number))
            rows[:, index] = rng.choice(self._rows, 2, replace=False)
            mirrored[:, index] = rng.random(2) < 0.5
            if number % 2 == 0:
                share[index] = rng.uniform(0.3, 0.7)
            else:
                angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.12, 0.12) * size
                distance = np.cos(angle) * centred[None, :] + np.sin(angle) * centred[:, None] - offset
                share[index] = 1 / (1 + np.exp(-distance / (FEATHER_PIXELS / 4)))
        first, second = (read_batch(self._faces, rows[side], mirrored[side]).images for side in (0, 1))
        return torch.lerp(second, first, torch.from_numpy(share))

    @torch.no_grad()
    def label(
        self, teacher: FaceEmbedder, cache: Path, *, precision: torch.dtype, on_image: Callable[[int], None]
    ) -> None:
        """Embed every blend with the teacher into `features` `(count, D)`, or read them from the cache.

        Raises:
            DatasetError: the cache holds another number of blends.
        """
        if cache.is_file():
            self.features = np.load(cache)
            if len(self.features) != self.count:
                raise DatasetError(f"{cache} holds {len(self.features)} blends, not {self.count}; delete it.")
            return
        features = np.empty((self.count, teacher.dim), np.float32)
        device = next(teacher.parameters()).device if isinstance(teacher, torch.nn.Module) else torch.device("cpu")
        for start in range(0, self.count, EMBED_BATCH):
            numbers = np.arange(start, min(start + EMBED_BATCH, self.count))
            images = self.images(numbers).to(device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, precision, enabled=precision is not torch.float32):
                features[numbers] = teacher.embed(images).float().cpu().numpy()
            on_image(int(numbers[-1]) + 1)
        with atomic_write(cache) as stream:
            np.save(stream, features)
        self.features = features

    def draw(self, portion: Portion) -> tuple[Tensor, Tensor]:
        """Return the images `(B, 3, H, W)` and the teacher's embeddings `(B, D)` of a portion of a step's blends."""
        chosen = rng_for(self._seed, "blend-choice", portion.step).choice(self.count, portion.total, replace=False)
        numbers = portion.of(chosen)
        return self.images(numbers), torch.from_numpy(self.features[numbers])
