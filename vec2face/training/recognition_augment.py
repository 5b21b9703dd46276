"""Random changes of training faces for recognition: AdaFace's three, a flip, and random erasing.

What happens to an image depends on the seed, the step and the image's place in the step's batch, never on threads,
processes or passes: the numbers of a whole batch are drawn at once, and each image uses its row of them.

Sources: AdaFace's published augmenter (arXiv 2204.00964, section 4.1); random resized cropping's boxes (arXiv
1409.4842); random erasing (arXiv 1708.04896).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vec2face.config.recognition import RecognitionAugmentation
from vec2face.seeding import rng_for

CROP_ASPECT = (3 / 4, 4 / 3)
ERASE_ASPECT = (0.3, 3.3)
TRIES = 10  # boxes drawn before an image is left without one
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class AugmentPlan:
    """What will happen to each of B images. A box is top, left, bottom, right in pixels, the last two excluded.

    Attributes:
        flip: `(B,)` bool.
        crop: `(B, 4)` int64 box that stays; the whole image where nothing is cropped.
        side: `(B,)` int64 side of the small image, 0 where resolution stays.
        interpolations: `(B, 2)` int64 positions in `INTERPOLATIONS`, for the way down and the way up.
        photometric: `(B,)` bool.
        factors: `(B, 3)` float32 of brightness, contrast and saturation.
        order: `(B, 3)` int64 order in which these are applied.
        erase: `(B, 4)` int64 box that becomes grey; empty where nothing is erased.
    """

    flip: NDArray[np.bool_]
    crop: NDArray[np.int64]
    side: NDArray[np.int64]
    interpolations: NDArray[np.int64]
    photometric: NDArray[np.bool_]
    factors: NDArray[np.float32]
    order: NDArray[np.int64]
    erase: NDArray[np.int64]


def plan_augmentation(options: RecognitionAugmentation, *, seed: int, step: int, count: int, size: int) -> AugmentPlan:
    """Draw what happens to the `count` images of a step's whole batch, of `size` x `size` pixels."""
    rng = rng_for(seed, "recognition-augment", step)
    chance = rng.random((count, 5))
    whole, empty = np.array([0, 0, size, size]), np.zeros(4, np.int64)
    crop, fits = _boxes(rng, count, size, area=options.crop_area, aspect=CROP_ASPECT, largest=size)
    keep = (chance[:, 1] < options.crop) & fits
    low, high = options.low_resolution_side
    side = np.maximum(1, (rng.uniform(low, high, count) * size).astype(np.int64))
    interpolations = rng.integers(0, len(INTERPOLATIONS), (count, 2))
    strength = options.photometric_strength
    factors = rng.uniform(1 - strength, 1 + strength, (count, 3)).astype(np.float32)
    order = np.argsort(rng.random((count, 3)), axis=1)
    # Random erasing's box is smaller than the image in both directions.
    erase, fits_inside = _boxes(rng, count, size, area=options.erase_area, aspect=ERASE_ASPECT, largest=size - 1)
    return AugmentPlan(
        flip=chance[:, 0] < options.flip,
        crop=np.where(keep[:, None], crop, whole),
        side=np.where(chance[:, 2] < options.low_resolution, side, 0),
        interpolations=interpolations,
        photometric=chance[:, 3] < options.photometric,
        factors=factors,
        order=order,
        erase=np.where(((chance[:, 4] < options.erase) & fits_inside)[:, None], erase, empty),
    )


def augment_image(pixels: NDArray[np.uint8], plan: AugmentPlan, index: int) -> NDArray[np.uint8]:
    """Return image `index` of the plan's batch, changed in every way but erasing, which follows normalisation.

    Args:
        pixels: uint8 `(S, S, 3)` RGB; left as it is.
        plan: of the whole batch.
        index: place of the image in it.
    """
    size = len(pixels)
    top, left, bottom, right = plan.crop[index]
    changed = pixels
    if bottom - top < size or right - left < size:
        changed = np.zeros_like(pixels)
        changed[top:bottom, left:right] = pixels[top:bottom, left:right]
    if plan.side[index]:
        side = int(plan.side[index])
        down, up = (INTERPOLATIONS[n] for n in plan.interpolations[index])
        small = cv2.resize(changed, (side, side), interpolation=down)
        changed = cv2.resize(small, (size, size), interpolation=up).astype(np.uint8, copy=False)
    if plan.photometric[index]:
        changed = _change_colours(changed, plan.factors[index], plan.order[index])
    return np.ascontiguousarray(changed[:, ::-1]) if plan.flip[index] else changed


def _change_colours(
    pixels: NDArray[np.uint8], factors: NDArray[np.float32], order: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Scale brightness, contrast and saturation one after another, each bounded to 0 to 255."""
    values = pixels.astype(np.float32)
    for kind in order:
        factor = float(factors[kind])
        if kind == 0:
            values *= factor
        elif kind == 1:
            values = values * factor + (1 - factor) * float((values @ GREY_WEIGHTS).mean())
        else:
            values = values * factor + (1 - factor) * (values @ GREY_WEIGHTS)[:, :, None]
        np.clip(values, 0, 255, out=values)
    return np.rint(values).astype(np.uint8)


def _boxes(
    rng: np.random.Generator,
    count: int,
    size: int,
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
    largest: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw a box for each image: area and log aspect (width / height) uniform, then the place.

    Returns:
        `(count, 4)` boxes, and whether one of the tries gave a box of at most `largest` pixels in both directions.
    """
    areas = rng.uniform(*area, (count, TRIES)) * size**2
    aspects = np.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1]), (count, TRIES)))
    places = rng.random((count, 2))
    widths, heights = np.rint(np.sqrt(areas * aspects)), np.rint(np.sqrt(areas / aspects))
    fits = (np.minimum(widths, heights) >= 1) & (np.maximum(widths, heights) <= largest)
    first = (np.arange(count), fits.argmax(axis=1))
    height, width = heights[first].astype(np.int64), widths[first].astype(np.int64)
    top = (places[:, 0] * (size - height + 1)).astype(np.int64)
    left = (places[:, 1] * (size - width + 1)).astype(np.int64)
    return np.stack([top, left, top + height, left + width], axis=1), np.asarray(fits.any(axis=1))
