"""A generic head: from five landmarks to its pose, and from a pose to landmarks in the aligned crop. No torch here.

Angles are those of `vec2face.models.pose`: R = Rz(roll) Ry(yaw) Rx(-pitch), in a frame with x to the right of the
picture, y down and z away from the viewer.

- yaw > 0: the nose points to the left of the picture;
- pitch > 0: the nose points up;
- roll > 0: the head is turned clockwise in the picture.

Heads are small beside their distance from the camera, so a scaled orthographic projection is assumed.

The five points are the rigid head that explains the landmarks of real photographs best: a factorisation under that
projection (Tomasi & Kanade, 1992) of the five points that YuNet finds in 417 photographs of LFW, spread evenly over
yaw, and in their mirror images (`benchmarks/rigid_head.py`). It leaves two things open, which are set by convention:
the eyes are 63 mm apart, and the median photograph has a pitch of 0. Eyes, nose and mouth of a person differ from the
generic head's, and an open mouth moves its corners: an angle is good to some degrees for one person, and better in the
mean.
"""

from dataclasses import dataclass

import numpy as np

from vec2face.config.pose import LARGEST_ANGLE
from vec2face.contracts import ARCFACE_TEMPLATE, IMAGE_SIZE
from vec2face.data.alignment import similarity_transform
from vec2face.errors import ConfigError, InputError

# Eyes, nose tip, mouth corners, the picture's left first: millimetres from the middle between the eyes.
FIVE_POINTS = np.array([[-31.5, 0.0, 0.0], [31.5, 0.0, 0.0], [0.0, 34.9, -30.5], [-27.1, 63.9, 7.0], [27.1, 63.9, 7.0]])


_ITERATIONS = 20
# Turning further in one step leaves the region where the linear picture holds.
_LARGEST_STEP = 0.3
_DAMPING = 1e-9


@dataclass(frozen=True)
class HeadPose:
    """Angles of a head in degrees, each from -90 to 90; see the module's head for their signs.

    Raises:
        ConfigError: an angle is not a number in that range.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("yaw", self.yaw), ("pitch", self.pitch), ("roll", self.roll)):
            if not -LARGEST_ANGLE <= value <= LARGEST_ANGLE:  # NaN fails too
                raise ConfigError(
                    f"{name} must be from -{LARGEST_ANGLE:g} to {LARGEST_ANGLE:g} degrees, not {value:g}."
                )


def rotations(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Return float64 `(N, 3, 3)` rotations of `(N,)` angles in degrees."""
    cy, sy, cp, sp, cr, sr = (
        part for angle in np.radians([yaw, pitch, roll]) for part in (np.cos(angle), np.sin(angle))
    )
    rows = [
        [cr * cy, -cr * sy * sp - sr * cp, cr * sy * cp - sr * sp],
        [sr * cy, -sr * sy * sp + cr * cp, sr * sy * cp + cr * sp],
        [-sy, -cy * sp, cy * cp],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def angles(rotation: np.ndarray) -> np.ndarray:
    """Return float64 `(N, 3)` yaw, pitch, roll in degrees of `(N, 3, 3)` rotations."""
    yaw = np.arcsin(np.clip(-rotation[:, 2, 0], -1, 1))
    pitch = np.arctan2(-rotation[:, 2, 1], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


def aligned_landmarks(pose: HeadPose) -> np.ndarray:
    """Return float64 `(5, 2)` pixels where the generic head shows its landmarks in the aligned crop.

    As of a real face: the head is turned and projected, then its five points are brought to the ArcFace template by a
    similarity transform, which would take roll away. So roll turns the result about the middle of the crop.
    """
    turned = FIVE_POINTS @ rotations(np.array([pose.yaw]), np.array([pose.pitch]), np.zeros(1))[0].T
    matrix = similarity_transform(turned[:, :2], np.asarray(ARCFACE_TEMPLATE))
    aligned = turned[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    cosine, sine = np.cos(np.radians(pose.roll)), np.sin(np.radians(pose.roll))
    middle = (IMAGE_SIZE - 1) / 2
    return (aligned - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle


def measure_poses(landmarks: np.ndarray, *, head: np.ndarray = FIVE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Fit a rigid head to landmarks, by least squares over rotation, scale and shift.

    The start is the best affine map, brought to the nearest scaled rotation; Gauss-Newton steps follow.

    Args:
        landmarks: `(N, P, 2)` pixels in any picture, in the order of the head's points.
        head: `(P, 3)` points in the module's frame, of which the first two are the eyes' or their corners; the generic
            head of five points by default.

    Returns:
        float64 `(N, 3)` yaw, pitch, roll in degrees, and `(N,)` root mean square distance of the fitted points from the
        landmarks, as a share of the fitted distance between the head's first two points seen from the front.

    Raises:
        InputError: landmarks of a face coincide or are not finite.
    """
    points = np.asarray(landmarks, np.float64)
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(centred).sum(axis=(1, 2)))
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise InputError("the facial landmarks coincide or are not finite; they have no pose.")
    seen = centred / size[:, None, None]
    rigid = head - head.mean(axis=0)
    rotation, scale = _start(seen, rigid)
    for _ in range(_ITERATIONS):
        rotation, scale = _step(seen, rigid, rotation, scale)
    off = seen - scale[:, None, None] * np.einsum("nij,pj->npi", rotation[:, :2], rigid)
    eyes = scale * np.linalg.norm(head[1] - head[0])
    return angles(rotation), np.sqrt(np.square(off).sum(axis=2).mean(axis=1)) / eyes


def _start(seen: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    affine = np.einsum("kp,npd->ndk", np.linalg.pinv(head), seen)
    left, values, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    return rotation, values.mean(axis=1)


def _step(seen: np.ndarray, head: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step over a small rotation w (d(RX) = w x RX) and the scale."""
    turned = np.einsum("nij,pj->npi", rotation, head)
    slopes = np.zeros((*seen.shape, 4))
    slopes[..., 0, 1], slopes[..., 0, 2] = turned[..., 2], -turned[..., 1]
    slopes[..., 1, 0], slopes[..., 1, 2] = -turned[..., 2], turned[..., 0]
    slopes[..., :3] *= scale[:, None, None, None]
    slopes[..., 3] = turned[..., :2]
    off = (seen - scale[:, None, None] * turned[..., :2]).reshape(len(seen), -1)
    flat = slopes.reshape(len(seen), -1, 4)
    normal = np.einsum("nij,nik->njk", flat, flat) + _DAMPING * np.eye(4)
    move = np.linalg.solve(normal, np.einsum("nij,ni->nj", flat, off)[..., None])[..., 0]
    length = np.linalg.norm(move[:, :3], axis=1)
    turn = move[:, :3] * np.minimum(1, _LARGEST_STEP / np.maximum(length, _DAMPING))[:, None]
    return _exponential(turn) @ rotation, scale + move[:, 3]


def _exponential(turn: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotations of `(N, 3)` axis times angle in radians."""
    angle = np.maximum(np.linalg.norm(turn, axis=1), np.finfo(np.float64).tiny)[:, None, None]
    x, y, z = (turn / angle[:, 0]).T
    zero = np.zeros_like(x)
    axis = np.stack([np.stack(row, axis=-1) for row in ([zero, -z, y], [z, zero, -x], [-y, x, zero])], axis=-2)
    return np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis
