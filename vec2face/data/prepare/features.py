"""Embeddings of faces and of their mirror images."""

from typing import TYPE_CHECKING

import numpy as np

from vec2face.errors import ContractError, InputError

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder


class FeatureExtractor:
    """Embeds faces on a device, in batches as they come."""

    def __init__(self, embedder: "FaceEmbedder", *, device: str) -> None:
        """Move the embedder to the device, "cpu" or "cuda".

        Raises:
            InputError: there is no such device, or the embedder is an ONNX file, which is run on the CPU.
        """
        import torch

        if device == "cuda":
            if not torch.cuda.is_available():
                raise InputError(f"the device {device!r} is not available; use --device cpu.")
            if not isinstance(embedder, torch.nn.Module):
                raise InputError(f"{embedder.name!r} is an ONNX file, which is run on the CPU; use --device cpu.")
            embedder = embedder.to(device)
        self._embedder, self._device = embedder, torch.device(device)

    @property
    def space(self) -> str:
        """Name of the feature space."""
        return self._embedder.name

    @property
    def width(self) -> int:
        """D."""
        return self._embedder.dim

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed uint8 `(B, 112, 112, 3)` RGB crops: float16 `(B, 2, D)`, of each crop and of its mirror image.

        Raises:
            ContractError: the embedder gives another width than it states, or values that float16 cannot hold.
        """
        import torch

        images = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
        with torch.inference_mode():
            sides = [self._embedder.embed(side).cpu().numpy() for side in (images, images.flip(3))]
        features = np.stack(sides, axis=1).astype(np.float16)
        if features.shape != (len(crops), 2, self.width):
            raise ContractError(f"{self._embedder.name!r} gave {sides[0].shape}, but states a width of {self.width}.")
        if not np.isfinite(features).all() or not features.any(axis=2).all():
            raise ContractError(f"{self._embedder.name!r} gave zeros or values beyond float16; check its weights.")
        return features
