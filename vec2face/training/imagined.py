"""Identities without a picture: mixtures of two people's vectors, and draws like those a dataset is made of."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vec2face.data.facepack import FacePack
from vec2face.identities.statistics import fit
from vec2face.training.vectors import Vectors
from vec2face.training.whole_faces import rows_of_whole_faces


class VectorDistribution:
    """A Gaussian with the mean and covariance of identity vectors, as `identities.PcaSource` draws from.

    Args:
        vectors: `(N, D)` raw identity vectors, N >= 2.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        statistics = fit(vectors, feature_space="")
        self.mean = torch.from_numpy(statistics.mean)
        self.directions = torch.from_numpy(statistics.components * np.sqrt(statistics.variances)[:, None])

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """Return `(count, D)` float32 vectors."""
        z = rng.standard_normal((count, len(self.directions)), dtype=np.float32)
        return self.mean + torch.from_numpy(z) @ self.directions


def distribution_of(faces: FacePack, vectors: Vectors) -> VectorDistribution:
    """Fit the distribution of a pack's training faces: of the whole crops, where there are enough of them."""
    return VectorDistribution(
        np.ascontiguousarray(vectors.values[rows_of_whole_faces(faces)].reshape(-1, vectors.values.shape[2]))
    )


def imagine_last(
    features: Tensor, *, mixed_share: float, drawn_share: float, source: VectorDistribution, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Replace the last vectors of a batch: mixtures of two first, draws after them.

    A mixture is t a + (1 - t) b for a uniform t and two vectors of the batch, rescaled to the length
    t |a| + (1 - t) |b|.

    Args:
        features: `(B, D)` identity vectors.
        mixed_share: share of the batch that becomes mixtures.
        drawn_share: share of the batch that becomes draws from `source`.
        source: of the draws.
        rng: source of everything random.

    Returns:
        The vectors, and `(B, 1, 1, 1)`: 1 where a vector still has its picture, 0 where it is imagined.
    """
    total = len(features)
    mixed, drawn = round(mixed_share * total), round(drawn_share * total)
    kept = total - mixed - drawn
    has_picture = (torch.arange(total, device=features.device) < kept).float()[:, None, None, None]
    part = torch.from_numpy(rng.random((mixed, 1), dtype=np.float32)).to(features.device)
    a, b = (features[torch.from_numpy(rng.integers(0, total, mixed)).to(features.device)] for _ in range(2))
    length = part * a.norm(dim=1, keepdim=True) + (1 - part) * b.norm(dim=1, keepdim=True)
    mixtures = F.normalize(part * a + (1 - part) * b, dim=1) * length
    draws = source.draw(drawn, rng).to(features.device)
    return torch.cat([features[:kept], mixtures, draws]), has_picture
