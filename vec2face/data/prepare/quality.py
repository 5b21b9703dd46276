"""What is measured of an aligned crop, and of the photo's part in it."""

from dataclasses import dataclass

import cv2
import numpy as np

from vec2face.contracts import IMAGE_SIZE

# The face without hair and background: rows and columns of the aligned crop.
_CENTRE = (slice(28, 100), slice(24, 88))


@dataclass(frozen=True)
class Coverage:
    """How much of a crop is a real picture.

    Attributes:
        outside: share of the crop's pixels whose centre lies outside the photo, 0 to 1.
        corners: float32 `(4, 2)` corners (x, y) of the photo in the crop, clockwise from the photo's top left, where a
            pixel's edges are whole numbers; the crop's own corners where nothing lies outside.
    """

    outside: float
    corners: np.ndarray


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of a crop's centre, grey levels squared; uint8 `(112, 112, 3)` in."""
    return float(cv2.Laplacian(_centre(crop), cv2.CV_64F).var())


def brightness(crop: np.ndarray) -> float:
    """Mean of a crop's centre, grey levels from 0 to 255; uint8 `(112, 112, 3)` in."""
    return float(_centre(crop).mean())


def coverage(matrix: np.ndarray, *, width: int, height: int) -> Coverage:
    """Say which part of a crop shows the photo.

    Args:
        matrix: `(2, 3)` similarity that maps pixel centres of the photo to those of the crop.
        width, height: of the photo, pixels.
    """
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    x, y, _ = np.tensordot(inverse, np.stack([columns, rows, np.ones_like(rows)]), axes=1)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    if inside.all():
        return Coverage(0.0, whole_crop())
    edges = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    corners = edges @ matrix[:, :2].T + matrix[:, 2] + 0.5
    return Coverage(float(1 - inside.mean()), corners.astype(np.float32))


def whole_crop() -> np.ndarray:
    """The corners of a crop that is real to its edges, float32 `(4, 2)`."""
    return np.array([[0, 0], [IMAGE_SIZE, 0], [IMAGE_SIZE, IMAGE_SIZE], [0, IMAGE_SIZE]], np.float32)


def _centre(crop: np.ndarray) -> np.ndarray:
    grey: np.ndarray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return grey[_CENTRE]
