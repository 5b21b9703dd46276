"""Damaged pictures of good faces, and how much of each identity a recogniser still sees: what quality is learnt from.

Quality is 100 times the cosine between the teacher's embedding of the damaged picture and that of the same picture
before the damage, 0 if that is negative: the share of the identity vector that is left. It looks at what faults do to a
recogniser, as MagFace (arXiv 2103.06627) and CR-FIQA (arXiv 2112.06592) do, but needs no labelled people.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vec2face.contracts import require_same_width
from vec2face.data.facepack import FacePack
from vec2face.errors import ContractError, DatasetError
from vec2face.fileio.atomic import atomic_write, fingerprint
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.seeding import rng_for
from vec2face.training.batches import read_batch
from vec2face.training.degrade import degrade

EMBED_BATCH = 64
# The teacher's own embedding of an undamaged picture, against the stored one; half precision costs less than 0.01.
_SAME_NETWORK = 0.95


def clear_faces(faces: FacePack, rows: np.ndarray, *, share: float) -> np.ndarray:
    """Return the rows whose stored embeddings are longest: the better pictures, by what MagFace observes.

    Args:
        faces: a pack with features.
        rows: rows to choose from.
        share: of them that are kept, 0 to 1.
    """
    lengths = np.linalg.norm(np.asarray(faces.require_features()[rows], np.float32), axis=2).mean(axis=1)
    return rows[lengths >= np.quantile(lengths, 1 - share)]


class DegradedFaces:
    """A numbered set of damaged pictures, made again whenever they are asked for.

    Args:
        faces: a pack with the teacher's embeddings.
        rows: rows of the pack to damage.
        count: how many pictures there are.
        seed: what they are drawn from.
        purpose: keeps sets of one seed apart.
    """

    def __init__(self, faces: FacePack, rows: np.ndarray, *, count: int, seed: int, purpose: str) -> None:
        self._faces, self._rows, self._seed, self._purpose = faces, rows, seed, purpose
        self.count = count
        self.quality = np.empty(0, np.float32)

    def pictures(self, numbers: np.ndarray) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Return pictures `(B, 3, H, W)` float32 in [-1, 1], their rows `(B,)`, and which are mirrored, bool `(B,)`."""
        rows, mirrored = np.empty(len(numbers), np.int64), np.empty(len(numbers), bool)
        pixels = np.empty((len(numbers), *self._faces.images.shape[1:]), np.uint8)
        for index, number in enumerate(numbers):
            rng = rng_for(self._seed, f"degraded-{self._purpose}", int(number))
            rows[index], mirrored[index] = self._rows[rng.integers(len(self._rows))], rng.random() < 0.5
            whole = self._faces.images[rows[index]]
            pixels[index] = degrade(np.ascontiguousarray(whole[:, ::-1] if mirrored[index] else whole), rng)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1), rows, mirrored

    @torch.no_grad()
    def label(
        self, teacher: FaceEmbedder, cache: Path, *, precision: torch.dtype, on_image: Callable[[int, int], None]
    ) -> None:
        """Ask the teacher for the `quality` of every picture, `(count,)` in percent, or read it from the cache.

        `on_image` is told how many are labelled, and how many of them in the last pass.

        Raises:
            ContractError: the teacher is not the network whose embeddings the pack holds.
            DatasetError: the cache belongs to other pictures.
        """
        wanted = fingerprint([self._faces.facts, self._rows.tolist(), self.count, self._seed, self._purpose])
        if cache.is_file():
            with np.load(cache) as stored:
                self.quality, found = stored["quality"], str(stored["pictures"])
            if found != wanted:
                raise DatasetError(f"{cache} holds the quality of other pictures; delete it to have them labelled.")
            return
        self._require_same(teacher, precision)
        quality = np.empty(self.count, np.float32)
        for start in range(0, self.count, EMBED_BATCH):
            numbers = np.arange(start, min(start + EMBED_BATCH, self.count))
            images, rows, mirrored = self.pictures(numbers)
            quality[numbers] = 100 * self._cosines(teacher, images, rows, mirrored, precision).clip(0, 1)
            on_image(int(numbers[-1]) + 1, len(numbers))
        with atomic_write(cache) as stream:
            np.savez(stream, quality=quality, pictures=np.array(wanted))
        self.quality = quality

    def _require_same(self, teacher: FaceEmbedder, precision: torch.dtype) -> None:
        require_same_width("the pack's embeddings", self._faces.require_features().shape[2], "the teacher", teacher.dim)
        rows, straight = self._rows[:8], np.zeros(len(self._rows[:8]), bool)
        images = read_batch(self._faces, rows, straight).images
        if self._cosines(teacher, images, rows, straight, precision).min() < _SAME_NETWORK:
            raise ContractError(
                f"{teacher.name} gives other embeddings than the face pack holds; name the network that made them."
            )

    def _cosines(
        self, teacher: FaceEmbedder, images: Tensor, rows: np.ndarray, mirrored: np.ndarray, precision: torch.dtype
    ) -> np.ndarray:
        device = next(teacher.parameters()).device if isinstance(teacher, nn.Module) else torch.device("cpu")
        stored = self._faces.require_features()[rows, mirrored.astype(np.int64)].astype(np.float32)
        with torch.autocast(device.type, precision, enabled=precision is not torch.float32):
            seen = teacher.embed(images.to(device).contiguous(memory_format=torch.channels_last))
        return np.asarray(F.cosine_similarity(seen.float().cpu(), torch.from_numpy(stored)))
