"""The masks of a training step, keyed by the step."""

import numpy as np
import torch
from torch import Tensor

from vec2face.models.generator.feature_mae import TOKENS
from vec2face.models.generator.masking import truncated_normal
from vec2face.seeding import rng_for


def draw_step_masks(seed: int, stage: str, step: int, count: int, mask: dict[str, float]) -> tuple[Tensor, Tensor]:
    """Draw mask noise `(count, 49)` in [0, 1) and mask rates `(count,)`; `mask` is a truncated normal's parameters."""
    rng = rng_for(seed, stage, step)
    noise = rng.random((count, TOKENS), dtype=np.float32)
    return torch.from_numpy(noise), torch.from_numpy(truncated_normal(rng.random(count), **mask).astype(np.float32))
