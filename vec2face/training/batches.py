"""Batches of a face pack, keyed by step, read ahead in a thread."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.seeding import rng_for


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

    def require_features(self) -> Tensor:
        """Return the stored embeddings; raises `InputError` where the pack has none."""
        if self.features is None:
            raise InputError("the face pack stores no features; name a 'features' file for each source and pack again.")
        return self.features


class BatchStream:
    """Random access to the batches of an endless, shuffled pass over some rows of a pack.

    The order of pass k is a permutation keyed by (seed, k); flips are keyed by (seed, step).
    """

    def __init__(self, pack: FacePack, rows: np.ndarray, *, batch_size: int, seed: int) -> None:
        self._pack, self._rows, self._batch_size, self._seed = pack, rows, batch_size, seed
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[Batch]] = {}
        self._orders: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self.waited = 0.0

    def get(self, step: int) -> Batch:
        """Return the batch of a step; the next two are read meanwhile."""
        for ahead in (step, step + 1, step + 2):
            if ahead not in self._ahead:
                self._ahead[ahead] = self._pool.submit(self._read, ahead)
        for old in [key for key in self._ahead if key < step]:
            del self._ahead[old]
        began = time.monotonic()
        batch = self._ahead.pop(step).result()
        self.waited += time.monotonic() - began
        return batch

    def _order(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._orders:
                self._orders = {k: v for k, v in self._orders.items() if k >= epoch - 1}
                self._orders[epoch] = rng_for(self._seed, "epoch-order", epoch).permutation(self._rows)
            return self._orders[epoch]

    def _read(self, step: int) -> Batch:
        positions = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        epochs, offsets = np.divmod(positions, len(self._rows))
        rows = np.array([self._order(int(e))[o] for e, o in zip(epochs, offsets, strict=True)])
        mirrored = rng_for(self._seed, "mirror", step).random(self._batch_size) < 0.5
        return read_batch(self._pack, rows, mirrored)


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
