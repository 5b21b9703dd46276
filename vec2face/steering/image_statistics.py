"""Brightness, contrast and sharpness of a picture, by definition: nothing is learned here.

All are of the luma Y = 0.2126 R + 0.7152 G + 0.0722 B (the weights of ITU-R BT.709) of the stored, gamma-encoded
values, in grey levels from 0 to 255, over the whole crop.
"""

import torch
from torch import Tensor

from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

_LUMA = (0.2126, 0.7152, 0.0722)
_UNIT = "grey levels"
# Keeps the gradient of a square root finite in a flat picture; far below one grey level.
_SMALLEST_VARIANCE = 1e-6


def luma(images: Tensor) -> Tensor:
    """Map `(B, 3, H, W)` RGB images in [-1, 1] to `(B, H, W)` luma in grey levels, 0 to 255."""
    red, green, blue = ((images + 1) * 127.5).unbind(1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


class Brightness(AttributeEstimator):
    """Mean luma."""

    facts = AttributeFacts("brightness", _UNIT, 0.0, 255.0, tolerance=4.0)

    def estimate(self, images: Tensor) -> Tensor:
        return luma(images).mean(dim=(1, 2))


class Contrast(AttributeEstimator):
    """Standard deviation of the luma (root mean square contrast); at most 127.5."""

    facts = AttributeFacts("contrast", _UNIT, 0.0, 127.5, tolerance=3.0)

    def estimate(self, images: Tensor) -> Tensor:
        seen = luma(images)
        centred = seen - seen.mean(dim=(1, 2), keepdim=True)
        return _root(centred.square().mean(dim=(1, 2)))


class Sharpness(AttributeEstimator):
    """Root mean square of the luma's Laplacian (the four neighbours' sum less four times the pixel), inside the border.

    At most 1020, for a checkerboard; aligned photographs have some tens.
    """

    facts = AttributeFacts("sharpness", _UNIT, 0.0, 1020.0, tolerance=2.0)

    def estimate(self, images: Tensor) -> Tensor:
        seen = luma(images)
        inside = seen[:, 1:-1, 1:-1]
        around = seen[:, :-2, 1:-1] + seen[:, 2:, 1:-1] + seen[:, 1:-1, :-2] + seen[:, 1:-1, 2:]
        return _root((around - 4 * inside).square().mean(dim=(1, 2)))


def _root(variance: Tensor) -> Tensor:
    return torch.sqrt(variance + _SMALLEST_VARIANCE)
