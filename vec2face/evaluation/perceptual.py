"""How different two pictures look to a network: the distance of their feature maps.

The form of LPIPS without learned weights (Zhang et al., arXiv 1801.03924, eq. 1 with w = 1): at each place of each map
the channels are scaled to length 1, and squared differences are averaged over places and summed over maps. The network
is the embedded recogniser's trunk, which is always there; figures of other networks cannot be compared with these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vec2face.contracts import require_same_width
from vec2face.evaluation.people import People
from vec2face.evaluation.row_cache import Pixels
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.seeding import rng_for

PAIRS = 128


@dataclass(frozen=True)
class PerceptualSpread:
    """Distances of pictures of one person, and of different people, for comparison."""

    same: NDArray[np.float64]
    different: NDArray[np.float64]

    def facts(self) -> dict[str, Any]:
        """The figures as JSON values; `same` is None where nobody has two pictures."""
        return {"same": _summary(self.same), "different": _summary(self.different)}


def draw_pairs(people: People, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of positions under the seed: (P, 2) of one person, each of another, and (P, 2) of different people."""
    rng = rng_for(seed, "audit-perceptual")
    able = np.flatnonzero(people.counts >= 2)
    chosen = np.sort(rng.choice(able, min(PAIRS, len(able)), replace=False))
    same = [people.starts[one] + rng.choice(people.counts[one], 2, replace=False) for one in chosen]
    different: NDArray[np.int64] = np.empty((0, 2), np.int64)
    if len(people) > 1:
        pairs = np.stack([rng.choice(len(people), 2, replace=False) for _ in range(min(PAIRS, len(people)))])
        different = people.starts[pairs] + rng.integers(people.counts[pairs])
    return np.array(same, np.int64).reshape(-1, 2), different


def perceptual_distances(network: CompactEmbedder, first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Distance of each picture of `first` (N, 112, 112, 3) to the same one of `second`."""
    require_same_width("the first pictures", len(first), "the second ones", len(second))
    found = []
    with torch.inference_mode():
        for start in range(0, len(first), 32):
            maps = [_maps(network, pictures[start : start + 32]) for pictures in (first, second)]
            levels = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(*maps, strict=True)]
            found.append(torch.stack(levels).sum(dim=0).double().numpy())
    return np.concatenate(found) if found else np.empty(0)


def _maps(network: CompactEmbedder, pictures: Pixels) -> Sequence[Tensor]:
    device = next(network.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
    _, maps = network.embed_with_features(images.to(device))
    return [functional.normalize(one, dim=1).cpu() for one in maps]


def _summary(values: NDArray[np.float64]) -> dict[str, Any] | None:
    if not len(values):
        return None
    return {"pairs": len(values), "mean": float(values.mean()), "std": float(values.std())}
