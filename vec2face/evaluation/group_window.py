"""Show a recogniser of each picture only what the labelled faces of group probes showed, too.

Some sets of labelled faces are cropped so tightly that an aligned crop holds nothing real around the face, and was
filled up with a blurred extension. A recogniser's vectors of such crops and of whole ones differ so much that what was
learnt on the one says nothing of the other. So audited pictures get the same treatment: outside a window they are
replaced by the window's own reflection, blurred.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vec2face.config.groups import Window
from vec2face.contracts import IMAGE_SIZE
from vec2face.models.embedders.base import FaceEmbedder

_RADIUS_SIGMAS = 3


def see_through(images: Tensor, window: Window) -> Tensor:
    """Replace what lies outside a window by the window's reflection, blurred.

    Args:
        images: `(B, 3, 112, 112)`.
        window: the region that is kept as it is.
    """
    inner = images[:, :, window.top : window.bottom, window.left : window.right]
    around = (window.left, IMAGE_SIZE - window.right, window.top, IMAGE_SIZE - window.bottom)
    found = _blurred(functional.pad(inner, around, mode="reflect"), window.blur)
    found[:, :, window.top : window.bottom, window.left : window.right] = inner
    return found


class WindowedEmbedder(FaceEmbedder):
    """An embedder that sees its pictures through a window.

    Args:
        embedder: the network.
        window: the region that it sees.
    """

    def __init__(self, embedder: FaceEmbedder, window: Window) -> None:
        self.name, self.dim, self.contract = f"{embedder.name} (face alone)", embedder.dim, embedder.contract
        self._embedder, self._window = embedder, window

    def embed(self, images: Tensor) -> Tensor:
        """Embed `(B, 3, 112, 112)` RGB images in [-1, 1]; see `FaceEmbedder.embed`."""
        if isinstance(self._embedder, nn.Module):
            images = images.to(next(self._embedder.parameters(), images).device)
        return self._embedder.embed(see_through(images, self._window))

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return self._embedder.forward_contract(pixels)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    radius = int(_RADIUS_SIGMAS * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    rows = functional.pad(images, (radius, radius, 0, 0), mode="reflect")
    rows = functional.conv2d(rows, kernel[:, :, None, :], groups=images.shape[1])
    columns = functional.pad(rows, (0, 0, radius, radius), mode="reflect")
    return functional.conv2d(columns, kernel[:, :, :, None], groups=images.shape[1])
