"""Rotations of the head: from six numbers to a matrix, from a matrix to angles."""

import torch
from torch import Tensor
from torch.nn import functional

# Below this cosine of the yaw, pitch and roll turn about the same axis and only their sum is defined.
_GIMBAL_LOCK = 1e-6


def rotation_from_6d(values: Tensor) -> Tensor:
    """Map `(B, 6)` real numbers to `(B, 3, 3)` rotations by Gram-Schmidt.

    The first three numbers point along the first column; the last three span the plane of the first two columns.
    Source: "On the Continuity of Rotation Representations" (arXiv 1812.07035), column order as in 6DRepNet.
    """
    first = functional.normalize(values[:, :3], dim=1)
    third = functional.normalize(torch.linalg.cross(first, values[:, 3:]), dim=1)
    second = torch.linalg.cross(third, first)
    return torch.stack((first, second, third), dim=2)


def euler_degrees(rotation: Tensor) -> Tensor:
    """Map `(B, 3, 3)` rotations to `(B, 3)` pitch, yaw, roll in degrees.

    The rotation is Rz(roll) Ry(yaw) Rx(pitch). Yaw lies in [-90, 90], the others in [-180, 180]. At a yaw of +-90
    degrees the roll is reported as 0.
    """
    cos_yaw = torch.sqrt(rotation[:, 0, 0] ** 2 + rotation[:, 1, 0] ** 2)
    locked = cos_yaw < _GIMBAL_LOCK
    pitch = torch.where(
        locked,
        torch.atan2(-rotation[:, 1, 2], rotation[:, 1, 1]),
        torch.atan2(rotation[:, 2, 1], rotation[:, 2, 2]),
    )
    yaw = torch.atan2(-rotation[:, 2, 0], cos_yaw)
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    roll = torch.where(locked, torch.zeros_like(roll), roll)
    return torch.rad2deg(torch.stack((pitch, yaw, roll), dim=1))
