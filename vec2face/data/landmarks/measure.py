"""Measure head poses in aligned crops by landmarks that a detector finds. Nothing here passes gradients.

What steering pushes towards it may fool, so what it has done is measured by something that took no part in it: a face
detector (YuNet, SCRFD) finds five landmarks in the picture, and the generic head is fitted to them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from vec2face.config.pose import LARGEST_ANGLE
from vec2face.data.detection import FaceDetector, largest
from vec2face.data.landmarks.head import HeadPose, measure_poses

# In 112 pixels a nose that is found one pixel off is a yaw of four degrees, so a crop is looked at several times: each
# enlargement, as it is and mirrored. YuNet takes turned heads for less turned in smaller pictures. Detectors see
# profiles better with room around: this share of the side is added.
_ENLARGEMENTS = (3, 4)
_BORDER = 0.25
_MIRRORED = (1, 0, 2, 4, 3)


@dataclass(frozen=True, eq=False)
class MeasuredFace:
    """A face found in a crop.

    Attributes:
        pose: of the generic head fitted to it.
        landmarks: float64 `(5, 2)` pixels of the crop, means over all looks at it.
        misfit: root mean square distance of the fitted head's points, as a share of the distance between the eyes.
        looks: in how many of the four the face was found.
    """

    pose: HeadPose
    landmarks: np.ndarray
    misfit: float
    looks: int


def measure_face(pixels: np.ndarray, detector: FaceDetector) -> MeasuredFace | None:
    """Return the largest face of a crop, or None where the detector finds none.

    Args:
        pixels: uint8 `(H, W, 3)` RGB aligned crop.
        detector: finds faces.
    """
    found = list(_look(pixels, detector))
    if not found:
        return None
    landmarks = np.mean(found, axis=0)
    measured, misfit = measure_poses(landmarks[None])
    yaw, pitch, roll = np.clip(measured[0], -LARGEST_ANGLE, LARGEST_ANGLE).tolist()
    return MeasuredFace(HeadPose(yaw, pitch, roll), landmarks, float(misfit[0]), len(found))


def _look(pixels: np.ndarray, detector: FaceDetector) -> Iterable[np.ndarray]:
    border = round(_BORDER * max(pixels.shape[:2]))
    framed = cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_REPLICATE)
    for factor in _ENLARGEMENTS:
        size = (framed.shape[1] * factor, framed.shape[0] * factor)
        enlarged = cv2.resize(framed, size, interpolation=cv2.INTER_CUBIC)
        for mirrored in (False, True):
            faces = detector.detect(np.ascontiguousarray(enlarged[:, ::-1]) if mirrored else enlarged)
            if not faces:
                continue
            # Pixel centres: x of the enlarged picture is (x' + 0.5) * factor - 0.5 of the framed one.
            points = (largest(faces).landmarks.astype(np.float64) + 0.5) / factor - 0.5 - border
            if mirrored:
                points = points[list(_MIRRORED)] * (-1, 1) + (pixels.shape[1] - 1, 0)
            yield points
