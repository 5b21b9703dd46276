"""The mask rate's distribution, sampled by inverse CDF: no retry loop, one uniform number in, one rate out."""

import numpy as np
from scipy.special import ndtr, ndtri


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
