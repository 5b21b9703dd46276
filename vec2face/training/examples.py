"""Pictures with the embeddings they should have: what an embedder learns from in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """`(B, 3, 112, 112)` images in [-1, 1] and `(B, D)` embeddings."""

    images: Tensor
    targets: Tensor

    @classmethod
    def join(cls, parts: Sequence["Examples"]) -> "Examples":
        """Put examples behind one another."""
        if len(parts) == 1:
            return parts[0]
        return cls(torch.cat([part.images for part in parts]), torch.cat([part.targets for part in parts]))

    def pin(self) -> "Examples":
        """Return the examples in page-locked memory, from which a GPU copies while it computes."""
        return Examples(self.images.pin_memory(), self.targets.pin_memory())

    def to(self, device: torch.device) -> "Examples":
        """Return the examples on a device; the copy may still be under way."""
        return Examples(self.images.to(device, non_blocking=True), self.targets.to(device, non_blocking=True))
