"""6DRepNet head pose (arXiv 2202.12555): a RepVGG-B1g2 in deploy form that regresses a rotation."""

from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from vec2face.contracts import IMAGE_SIZE, InputContract, require_image_batch
from vec2face.models.pose.rotation import euler_degrees, rotation_from_6d

# RepVGG-B1: blocks in each stage and channels, the stem first. "g2": every second block uses two groups.
_STEM_WIDTH = 64
_STAGES = ((4, 128), (6, 256), (16, 512), (1, 2048))


def _stage(*, blocks: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolutions with bias and ReLU; the first one halves the resolution."""
    widths = [in_channels] + [out_channels] * blocks
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=1 if index else 2, padding=1, groups=1 + index % 2),
                nn.ReLU(inplace=True),
            )
            for index, (before, after) in enumerate(pairwise(widths))
        )
    )


class SixDRepNet(ModelMixin, ConfigMixin):
    """Estimate the rotation of a head.

    Args:
        name: what the weights are called.
        size: side in pixels that `estimate` resizes faces to.
        color_order, mean, std: the pixels the weights were trained on; see `InputContract`. The defaults are those
            of 6DRepNet's own training.

    Source: "6D Rotation Representation for Unconstrained Head Pose Estimation"; RepVGG (arXiv 2101.03697). The deploy
    form holds one convolution a block, the branches of training already folded into it.
    """

    @register_to_config
    def __init__(
        self,
        *,
        name: str = "sixdrepnet",
        size: int = 224,
        color_order: str = "RGB",
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        self.name = name
        self.contract = InputContract.from_dict(
            {"size": size, "color_order": color_order, "mean": mean, "std": std, "alignment": "head"}
        )
        self.stem = _stage(blocks=1, in_channels=3, out_channels=_STEM_WIDTH)
        widths = [_STEM_WIDTH, *(width for _, width in _STAGES)]
        self.stages = nn.ModuleList(
            _stage(blocks=blocks, in_channels=before, out_channels=width)
            for before, (blocks, width) in zip(widths[:-1], _STAGES, strict=True)
        )
        self.linear = nn.Linear(widths[-1], 6)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `(B, 3, H, W)` pixels in the network's contract (any H, W of 32 or more) to `(B, 3, 3)` rotations."""
        x = self.stem(pixels)
        for stage in self.stages:
            x = stage(x)
        return rotation_from_6d(self.linear(x.mean(dim=(2, 3))))

    def estimate(self, images: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB images in [-1, 1] to `(B, 3)` pitch, yaw, roll in degrees; differentiable.

        Faces are enlarged to the contract's size by bilinear interpolation. The network was trained on looser crops
        than the five-point alignment, so angles carry a bias; compare them with each other.

        Raises:
            ContractError: the batch is not of that shape.
        """
        require_image_batch(images.shape)
        size = self.contract.size
        if size != IMAGE_SIZE:
            images = functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
        if self.contract.color_order == "BGR":
            images = images.flip(1)
        mean = torch.tensor(self.contract.mean, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.contract.std, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
        return euler_degrees(self(((images + 1) / 2 - mean) / std))
