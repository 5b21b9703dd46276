"""Variation within an identity: how strongly each image's vector is perturbed, and the perturbation itself.

The perturbation is that of the paper (arXiv 2409.02979, section 3): v' = (v + N(0, s^2 I)) rescaled to |v|. Here the
mix of strengths is exact inside every identity, and every image's noise has its own key.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vec2face.errors import InputError
from vec2face.seeding import rng_for


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` things in proportion to `weights` by the largest-remainder method.

    Whole quotas first, then one more to each of the largest remainders; of equal remainders the earlier wins. Weights
    are taken as the decimal numbers they print as, so 0.4 : 0.4 : 0.2 of 50 is exactly 20 : 20 : 10.

    Raises:
        InputError: `total` is negative, or the weights are none, negative, not finite, or all zero.
    """
    if total < 0:
        raise InputError(f"cannot divide {total} images; the number must be 0 or more.")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InputError(f"shares must be 0 or more and not all 0, not {list(weights)}.")
    shares = [Fraction(repr(float(weight))) for weight in weights]
    quotas = [total * share / sum(shares) for share in shares]
    parts = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(parts)), key=lambda index: parts[index] - quotas[index])
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def sigma_schedule(images: int, mixture: Sequence[tuple[float, float]], seed: int, identity: int) -> np.ndarray:
    """Return the noise strength of each image of one identity: an exact mix, in an order shuffled by key.

    Args:
        images: number of images of the identity, 0 or more.
        mixture: pairs (sigma, weight): sigma in units of the generator's `sigma_unit`, 0 or more; weights in
            proportion.
        seed: the run's seed.
        identity: index of the identity.

    Returns:
        float32 `(images,)`.

    Raises:
        InputError: a sigma is negative or not finite, or the weights are unusable (see `apportion`).
    """
    sigmas = [float(sigma) for sigma, _ in mixture]
    if not all(math.isfinite(sigma) and sigma >= 0 for sigma in sigmas):
        raise InputError(f"noise strengths must be finite and 0 or more, not {sigmas}.")
    parts = apportion(images, [weight for _, weight in mixture])
    ordered = np.repeat(np.asarray(sigmas, dtype=np.float32), parts)
    shuffled: np.ndarray = rng_for(seed, "sigma-schedule", identity).permutation(ordered)
    return shuffled


def perturb(vector: np.ndarray, sigma: float, sigma_unit: float, rng: np.random.Generator) -> np.ndarray:
    """Return (v + N(0, (sigma * sigma_unit)^2 I)) rescaled to |v|, float32 `(D,)`.

    Args:
        vector: `(D,)`, raw feature units.
        sigma: noise strength, 0 or more; 0 returns the vector as it is.
        sigma_unit: standard deviation per feature, in raw feature units, that a sigma of 1 means.
        rng: the stream of this image alone.
    """
    noise = rng.standard_normal(len(vector))
    return _rescaled(vector, noise[None], np.asarray([sigma]), sigma_unit)[0]


def perturb_identity(
    vector: np.ndarray, sigmas: np.ndarray, *, sigma_unit: float, run_seed: int, identity: int, first_image: int = 0
) -> np.ndarray:
    """Perturb one identity's vector once for each image; the same as `perturb` image by image, only faster.

    Image m draws from `rng_for(run_seed, "variation", identity, first_image + m)`, so a slice of an identity's images
    is the same as in the whole.

    Args:
        vector: `(D,)`, raw feature units.
        sigmas: `(M,)` noise strength of each image.
        sigma_unit: as in `perturb`.
        run_seed: the run's seed.
        identity: index of the identity.
        first_image: index of the image that `sigmas[0]` is for.

    Returns:
        float32 `(M, D)`.
    """
    noise = np.empty((len(sigmas), len(vector)))
    for row in range(len(sigmas)):
        rng_for(run_seed, "variation", identity, first_image + row).standard_normal(out=noise[row])
    return _rescaled(vector, noise, sigmas, sigma_unit)


def _rescaled(vector: np.ndarray, noise: np.ndarray, sigmas: np.ndarray, sigma_unit: float) -> np.ndarray:
    # In float64 and rounded once, so that the result does not depend on the order of the sums.
    original = vector.astype(np.float64)
    strengths = np.asarray(sigmas, dtype=np.float32).astype(np.float64) * sigma_unit
    moved = original + strengths[:, None] * noise
    length = np.sqrt(np.square(original[None]).sum(axis=1))
    factor = length / np.sqrt(np.square(moved).sum(axis=1))
    scaled: np.ndarray = (moved * factor[:, None]).astype(np.float32)
    return scaled
