"""Landmark pictures: what a pose-conditioned generator (Vec2Face+, arXiv 2507.17192) sees of a pose. No torch here.

Known of the published network: it takes RGB pictures of 112x112 pixels in the frame of the aligned crop, scaled to
[-1, 1]. Not known: how many landmarks they show and how these are drawn; the published code reads ready pictures. So
the style is the user's to set, and the published weights are best given pictures of the kind they were trained with.
"""

import numpy as np

from vec2face.config.pose import LandmarkStyle
from vec2face.contracts import ARCFACE_TEMPLATE, IMAGE_SIZE
from vec2face.data.alignment import similarity_transform
from vec2face.errors import InputError


def draw_landmarks(landmarks: np.ndarray, style: LandmarkStyle) -> np.ndarray:
    """Draw landmarks as dots with smooth edges.

    Args:
        landmarks: `(K, 2)` pixels (x, y) of the aligned crop; what lies outside is not seen.
        style: colours, and the dots' radius.

    Returns:
        uint8 `(112, 112, 3)` RGB.

    Raises:
        InputError: a landmark is not finite.
    """
    if not np.isfinite(landmarks).all():
        raise InputError("landmarks that are not finite cannot be drawn.")
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    distance = np.hypot(columns - landmarks[:, 0, None, None], rows - landmarks[:, 1, None, None]).min(axis=0)
    covered = np.clip(style.radius + 0.5 - distance, 0, 1)[..., None]
    colour, background = np.array(style.colour, np.float64), np.array(style.background, np.float64)
    return np.rint(background + covered * (colour - background)).astype(np.uint8)


def to_aligned(landmarks: np.ndarray) -> np.ndarray:
    """Bring five landmarks of any picture, `(5, 2)` pixels, to the frame of the aligned crop.

    Raises:
        InputError: they coincide or are not finite.
    """
    matrix = similarity_transform(landmarks, np.asarray(ARCFACE_TEMPLATE))
    return landmarks @ matrix[:, :2].T + matrix[:, 2]
