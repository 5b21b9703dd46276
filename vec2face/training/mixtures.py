"""Mixtures of two people's vectors: identities without a picture."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def mix_last(features: Tensor, *, share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Turn the last vectors of a batch into mixtures of two.

    A mixture is t a + (1 - t) b for a uniform t, rescaled to the length t |a| + (1 - t) |b|.

    Args:
        features: `(B, D)` identity vectors.
        share: share of the batch to replace.
        rng: source of the partners and of t.

    Returns:
        The vectors, and `(B, 1, 1, 1)`: 1 where a vector still has its picture, 0 for a mixture.
    """
    count = round(share * len(features))
    has_picture = (torch.arange(len(features), device=features.device) < len(features) - count).float()
    has_picture = has_picture[:, None, None, None]
    if not count:
        return features, has_picture
    part = torch.from_numpy(rng.random((count, 1), dtype=np.float32)).to(features.device)
    other = features[torch.from_numpy(rng.integers(0, len(features), count)).to(features.device)]
    own = features[-count:]
    mixture = part * own + (1 - part) * other
    norm = part * own.norm(dim=1, keepdim=True) + (1 - part) * other.norm(dim=1, keepdim=True)
    mixture = F.normalize(mixture, dim=1) * norm
    return torch.cat([features[:-count], mixture]), has_picture
