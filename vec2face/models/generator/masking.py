"""The mask rate's distribution, sampled by inverse CDF: no retry loop, one uniform number in, one rate out."""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.special import ndtr, ndtri

from vec2face.models.generator.feature_mae import TOKENS
from vec2face.seeding import rng_for


def truncated_normal(u: np.ndarray, *, min: float, max: float, mean: float, std: float) -> np.ndarray:
    """Map uniform numbers to a normal distribution truncated to [min, max].

    Args:
        u: `(B,)` uniform numbers in [0, 1).
        min, max: bounds of the result, within [0, 1] for a mask rate.
        mean, std: of the normal distribution before truncation; std must be positive.

    Returns:
        `(B,)` float64 in [min, max].

    Raises:
        ValueError: min is above max, or std is not positive.
    """
    if not min <= max or std <= 0:
        raise ValueError(f"a truncated normal needs min <= max and std > 0, not min {min}, max {max}, std {std}")
    low, high = ndtr((min - mean) / std), ndtr((max - mean) / std)
    return np.clip(mean + std * ndtri(low + np.asarray(u, np.float64) * (high - low)), min, max)


def draw_masks(
    run_seed: int, identity: int, images: Iterable[int], mask: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the masks of some images of one identity, each keyed by its own number.

    Args:
        run_seed: the run's seed.
        identity: index of the identity.
        images: indices of B images.
        mask: min, max, mean and std of the mask rate; see `truncated_normal`.

    Returns:
        noise float32 `(B, 49)` in [0, 1), and mask rate float32 `(B,)`.
    """
    numbers = list(images)
    uniform = np.array([rng_for(run_seed, "mask-rate", identity, image).random() for image in numbers])
    noise = [rng_for(run_seed, "mask-noise", identity, image).random(TOKENS, dtype=np.float32) for image in numbers]
    return np.stack(noise), truncated_normal(uniform, **mask).astype(np.float32)
