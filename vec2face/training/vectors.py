"""The identity vectors of a face pack, as an embedder sees its faces."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vec2face.data.facepack import FacePack
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.training.batches import Batch, read_batch

EMBED_BATCH = 128


@dataclass(frozen=True)
class Vectors:
    """Identity vectors of a pack's faces: `(N, 2, D)` float32, of each image and of its mirror."""

    values: np.ndarray

    def of(self, batch: Batch) -> Tensor:
        """Return the `(B, D)` vectors of a batch."""
        return self.at(batch.rows, batch.mirrored)

    def at(self, rows: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """Return the `(B, D)` vectors of rows of the pack, of the mirror image where `mirrored` `(B,)` is true."""
        return torch.from_numpy(self.values[rows, mirrored.astype(np.int64)])


@torch.no_grad()
def embed_pack(faces: FacePack, embedder: FaceEmbedder, *, on_image: Callable[[int], None] | None = None) -> Vectors:
    """Embed every face of a pack and its mirror image, on the embedder's device and in its precision.

    Args:
        faces: the pack.
        embedder: in eval mode.
        on_image: told how many faces are done.
    """
    # An ONNX file has no parameters, and is run on the CPU.
    parameter = next(embedder.parameters()) if isinstance(embedder, nn.Module) else torch.empty(0)
    values = np.empty((len(faces.images), 2, embedder.dim), np.float32)
    for start in range(0, len(faces.images), EMBED_BATCH):
        rows = np.arange(start, min(start + EMBED_BATCH, len(faces.images)))
        for side in (0, 1):
            images = read_batch(faces, rows, np.full(len(rows), bool(side))).images
            images = images.to(parameter.device, parameter.dtype).contiguous(memory_format=torch.channels_last)
            values[rows, side] = embedder.embed(images).cpu().numpy()
        if on_image is not None:
            on_image(int(rows[-1]) + 1)
    return Vectors(values)
