"""Faults of pictures: what makes a face hard to recognise, drawn at random.

Every fault takes uint8 `(112, 112, 3)` RGB pixels and a generator of random numbers, and gives such pixels. Strengths
are drawn evenly in their logarithm, so that slight faults are as common as strong ones.
"""

from collections.abc import Callable

import cv2
import numpy as np

Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]

# Odds of no fault at all, of one, two and three.
_ODDS = (0.12, 0.5, 0.28, 0.1)
_ENLARGEMENTS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)


def degrade(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of uint8 `(112, 112, 3)` pixels with none to three different faults, in random order."""
    count = rng.choice(len(_ODDS), p=_ODDS)
    damaged = pixels.copy()
    for index in rng.choice(len(FAULTS), count, replace=False):
        damaged = FAULTS[index](damaged, rng)
    return damaged


def blur(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian with a deviation of 0.6 to 5 pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), _between(rng, 0.6, 5.0)))


def shake(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A camera that moved 3 to 17 pixels along a line."""
    length, angle = _between(rng, 3.0, 17.0), rng.uniform(0, 180)
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2, :] = np.clip(length / 2 + 0.5 - np.abs(np.arange(side) - side // 2), 0, 1)
    turn = cv2.getRotationMatrix2D((side // 2, side // 2), angle, 1.0)
    turned = cv2.warpAffine(kernel, turn, (side, side))
    return np.asarray(cv2.filter2D(pixels, -1, turned / turned.sum(), borderType=cv2.BORDER_REFLECT_101))


def shrink(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small picture, enlarged: 9 to 70 pixels a side."""
    side, method = round(_between(rng, 9.0, 70.0)), _ENLARGEMENTS[rng.integers(len(_ENLARGEMENTS))]
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, pixels.shape[1::-1], interpolation=method))


def compress(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG at a quality of 2 to 40."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(_between(rng, 2.0, 40.0))]
    _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1]


def add_noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a deviation of 4 to 60 levels, alike in all colours or not."""
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.normal(size=(*pixels.shape[:2], channels)) * _between(rng, 4.0, 60.0)
    return _to_levels(pixels + noise)


def darken(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Too little light: 8 to 60 % of the levels, and a sensor's noise."""
    return _to_levels(pixels * _between(rng, 0.08, 0.6) + rng.normal(size=pixels.shape) * rng.uniform(0, 4))


def overexpose(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Too much light: 1.2 to 3 times the levels, clipped at white."""
    return _to_levels(pixels * _between(rng, 1.2, 3.0))


def cover(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Something before the face: an ellipse or a box of one colour, 16 to 80 pixels wide and high."""
    height, width = pixels.shape[:2]
    size = [round(_between(rng, 16.0, 80.0)) for _ in range(2)]
    x, y = rng.integers(width // 5, width - width // 5), rng.integers(height // 5, height)
    colour = [int(level) for level in rng.integers(0, 256, 3)]
    covered = np.ascontiguousarray(pixels)
    if rng.random() < 0.5:
        cv2.ellipse(covered, (int(x), int(y)), (size[0] // 2, size[1] // 2), rng.uniform(0, 180), 0, 360, colour, -1)
    else:
        corner = (int(x) - size[0] // 2, int(y) - size[1] // 2)
        cv2.rectangle(covered, corner, (corner[0] + size[0], corner[1] + size[1]), colour, -1)
    return covered


FAULTS: tuple[Fault, ...] = (blur, shake, shrink, compress, add_noise, darken, overexpose, cover)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _to_levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
