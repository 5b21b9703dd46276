"""The pose condition of Vec2Face+ (arXiv 2507.17192): a picture of landmarks becomes one token."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import ContractError

_WIDTHS = (3, 32, 64, 128, 256)


class PoseEncoder(nn.Module):
    """Four 3x3 convolutions of stride 2 with ReLU, then a linear map of the 7x7 result.

    Args:
        width: width W of the token. The last layer starts at zero, so that training starts from no condition.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(_WIDTHS)
        )
        side = IMAGE_SIZE // 2 ** len(self.convs)
        self.linear = nn.Linear(_WIDTHS[-1] * side * side, width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, landmarks: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB landmark pictures in [-1, 1] to `(B, 1, W)` tokens.

        Raises:
            ContractError: the pictures are not of that shape.
        """
        if landmarks.ndim != 4 or landmarks.shape[1:] != (3, IMAGE_SIZE, IMAGE_SIZE):
            raise ContractError(
                f"landmark pictures must be (B, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), not {tuple(landmarks.shape)}."
            )
        x = landmarks
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.linear(x.flatten(1))[:, None]
