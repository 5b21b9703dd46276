"""From a network's floating-point image to 8-bit pixels, in one place so that every part rounds alike."""

import torch
from torch import Tensor


def to_pixels(image: Tensor) -> Tensor:
    """Map `(B, 3, H, W)` in [-1, 1] to uint8 `(B, H, W, 3)`: round((x + 1) * 127.5), halves to even, clipped."""
    scaled = ((image.float() + 1.0) * 127.5).round_().clamp_(0.0, 255.0).nan_to_num_(0.0)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
