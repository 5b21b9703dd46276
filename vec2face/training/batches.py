"""Batches of a face pack, keyed by the places of their samples in an endless shuffled pass."""

import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.seeding import rng_for
from vec2face.training.portion import Portion

KEPT_ORDERS = 8  # shuffled orders kept at once


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        images: `(B, 3, 112, 112)` float32 RGB in [-1, 1], channels last; mirrored where `mirrored`.
        features: `(B, D)` float32 stored embeddings (of the mirror image where mirrored), or None.
        valid: `(B, 4, 2)` float32 corners of the real region, in the (possibly mirrored) image.
        rows: `(B,)` rows of the pack.
        mirrored: `(B,)` bool.
    """

    images: Tensor
    features: Tensor | None
    valid: Tensor
    rows: np.ndarray
    mirrored: np.ndarray

    def pin(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies while it computes."""
        features = None if self.features is None else self.features.pin_memory()
        return Batch(self.images.pin_memory(), features, self.valid.pin_memory(), self.rows, self.mirrored)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on a device; the copy may still be under way."""
        features = None if self.features is None else self.features.to(device, non_blocking=True)
        images, valid = (tensor.to(device, non_blocking=True) for tensor in (self.images, self.valid))
        return Batch(images, features, valid, self.rows, self.mirrored)

    def require_features(self) -> Tensor:
        """Return the stored embeddings; raises `InputError` where the pack has none."""
        if self.features is None:
            raise InputError("the face pack stores no features; name a 'features' file for each source and pack again.")
        return self.features


class BatchStream:
    """Random access to the batches of an endless, shuffled pass over some rows of a pack.

    The order of pass k is a permutation keyed by (seed, k); flips are keyed by (seed, step). Any thread may read.

    Args:
        pack, rows: what to show.
        batch_size: images in a step's whole batch.
        seed: the run's seed.
        mirror_share: share of the images that are mirrored.
    """

    def __init__(
        self, pack: FacePack, rows: np.ndarray, *, batch_size: int, seed: int, mirror_share: float = 0.5
    ) -> None:
        self._pack, self._rows, self._batch_size, self._seed = pack, rows, batch_size, seed
        self._mirror_share = mirror_share
        self._orders: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def read(self, portion: Portion) -> Batch:
        """Read a portion of a step; its `total` is the stream's batch size."""
        rows, mirrored = self.choose(portion.step)
        return read_batch(self._pack, portion.of(rows), portion.of(mirrored))

    def choose(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of a step's whole batch, and which of them are mirrored."""
        positions = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        epochs, offsets = np.divmod(positions, len(self._rows))
        rows = np.array([self._order(int(e))[o] for e, o in zip(epochs, offsets, strict=True)], np.int64)
        return rows, rng_for(self._seed, "mirror", step).random(self._batch_size) < self._mirror_share

    def _order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                # Readers may be a little ahead of or behind one another; a small pack has several passes in a step.
                self._orders = {k: v for k, v in self._orders.items() if abs(k - epoch) <= KEPT_ORDERS}
                self._orders[epoch] = rng_for(self._seed, "epoch-order", epoch).permutation(self._rows)
            return self._orders[epoch]


def read_batch(pack: FacePack, rows: np.ndarray, mirrored: np.ndarray) -> Batch:
    """Read rows of a pack, mirrored where asked; see `Batch`."""
    # Sorted reads keep the disk's head still; the batch is put back in order afterwards.
    order = np.argsort(rows, kind="stable")
    pixels = np.empty((len(rows), *pack.images.shape[1:]), np.uint8)
    pixels[order] = pack.images[rows[order]]
    pixels[mirrored] = pixels[mirrored][:, :, ::-1]
    valid = np.array(pack.valid[rows], np.float32)
    size = pack.images.shape[1]
    # A mirror swaps left and right corners as well, so that the order stays clockwise from the top left.
    valid[mirrored] = (np.array([size, 0], np.float32) + np.array([-1, 1], np.float32) * valid[mirrored])[
        :, [1, 0, 3, 2]
    ]
    features = None
    if pack.features is not None:
        features = torch.from_numpy(pack.features[rows, mirrored.astype(np.int64)].astype(np.float32))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return Batch(images, features, torch.from_numpy(valid), rows, mirrored)
