"""What every face embedder offers, whatever is behind it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vec2face.contracts import IMAGE_SIZE, InputContract, require_image_batch
from vec2face.errors import ContractError


class FaceEmbedder(ABC):
    """A network that turns an aligned face into a vector.

    Attributes:
        name: the feature space's name; vectors of equal name can be compared.
        dim: width D of the embedding.
        contract: the pixels the network was trained on.
        contract_assumed: whether nothing stated that contract, so that it is a guess.
    """

    name: str
    dim: int
    contract: InputContract
    contract_assumed: bool = False

    @abstractmethod
    def forward_contract(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, S, S)` pixels in the network's own contract to raw `(B, D)` embeddings."""

    def embed(self, images: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB images in [-1, 1] to raw (not normalised) `(B, D)` float32 embeddings.

        Raises:
            ContractError: the batch is not of that shape, or the network expects another size or alignment.
        """
        return self.forward_contract(to_contract(images, self.contract)).float()


def to_contract(images: Tensor, contract: InputContract) -> Tensor:
    """Convert `(B, 3, 112, 112)` RGB images in [-1, 1] to a network's own colour order, mean and deviation."""
    require_image_batch(images.shape)
    if contract.size != IMAGE_SIZE or contract.alignment != "arcface112":
        raise ContractError(
            f"the network expects {contract.size}x{contract.size} pixels aligned as {contract.alignment!r}, "
            f"but the images are {IMAGE_SIZE}x{IMAGE_SIZE} in the ArcFace alignment."
        )
    if contract.color_order == "BGR":
        images = images.flip(1)
    # (x+1)/2 is the pixel scaled to [0, 1]; the two affine steps are folded into one.
    scale = [0.5 / s for s in contract.std]
    shift = [(0.5 - m) / s for m, s in zip(contract.mean, contract.std, strict=True)]
    if scale == [1.0] * 3 and shift == [0.0] * 3:
        return images
    factor = torch.tensor(scale, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    offset = torch.tensor(shift, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return images * factor + offset
