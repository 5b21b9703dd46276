"""Bring a face to the five-point ArcFace position by a similarity transform (rotation, one scale, shift)."""

import cv2
import numpy as np

from vec2face.contracts import ARCFACE_TEMPLATE, IMAGE_SIZE
from vec2face.errors import InputError

# Below this scale a bilinear warp would skip source pixels, so the photo is first reduced by averaging areas.
_ALIASING_SCALE = 0.5


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarity that maps `source` to `target` with the least squared error.

    In the plane, rotation and scale are one complex factor a, and with both point sets centred the least-squares
    solution is a = sum(conj(p) q) / sum(|p|^2); Umeyama (1991) in closed form for two dimensions, never a reflection.

    Args:
        source, target: `(K, 2)` points (x, y), K >= 2.

    Returns:
        float64 `(2, 3)` matrix M with target = M @ (x, y, 1).

    Raises:
        InputError: the source points coincide or are not finite, so that no transform is defined.
    """
    p = source[:, 0].astype(np.float64) + 1j * source[:, 1].astype(np.float64)
    q = target[:, 0].astype(np.float64) + 1j * target[:, 1].astype(np.float64)
    centred_p, centred_q = p - p.mean(), q - q.mean()
    spread = float(np.sum(np.abs(centred_p) ** 2))
    factor = np.sum(np.conj(centred_p) * centred_q) / spread if spread > 0 else 0
    if not np.isfinite(factor) or factor == 0:
        raise InputError("the facial landmarks coincide or are not finite; the face cannot be aligned by them.")
    shift = q.mean() - factor * p.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def align(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Cut out a face in the ArcFace position; what lies outside the photo is black.

    Args:
        rgb: uint8 `(H, W, 3)` photo.
        landmarks: `(5, 2)` pixels (x, y): eyes, nose, mouth corners, the image's left first.

    Returns:
        uint8 `(112, 112, 3)`.

    Raises:
        InputError: see `similarity_transform`.
    """
    matrix = similarity_transform(landmarks, np.asarray(ARCFACE_TEMPLATE))
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < _ALIASING_SCALE:
        height, width = rgb.shape[:2]
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        # Pixel centres: x of the photo is (x' + 0.5) / fx - 0.5 of the reduced one.
        fx, fy = size[0] / width, size[1] / height
        matrix = matrix @ np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    crop: np.ndarray = cv2.warpAffine(rgb, matrix, (IMAGE_SIZE, IMAGE_SIZE), flags=cv2.INTER_LINEAR, borderValue=0)
    return crop


def enlargement(landmarks: np.ndarray) -> float:
    """Return by what factor `align` scales a face with these landmarks; above 1 it is enlarged."""
    matrix = similarity_transform(landmarks, np.asarray(ARCFACE_TEMPLATE))
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))
