"""Rotations and angles against slow, obvious versions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ContractError
from vec2face.models.pose.rotation import euler_degrees, rotation_from_6d
from vec2face.models.pose.sixdrepnet import SixDRepNet


def rotation_of(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Rz(roll) Ry(yaw) Rx(pitch), angles in degrees, one factor at a time."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (pitch, yaw, roll))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179))
def test_angles_come_back(pitch: float, yaw: float, roll: float) -> None:
    rotation = torch.from_numpy(rotation_of(pitch, yaw, roll))[None]
    np.testing.assert_allclose(euler_degrees(rotation)[0], [pitch, yaw, roll], atol=1e-6)


@pytest.mark.parametrize("yaw", [90.0, -90.0])
def test_at_a_right_angle_the_rotation_still_comes_back(yaw: float) -> None:
    rotation = rotation_of(20.0, yaw, 0.0)
    pitch, found_yaw, roll = euler_degrees(torch.from_numpy(rotation)[None])[0].tolist()
    assert roll == 0.0
    np.testing.assert_allclose(rotation_of(pitch, found_yaw, roll), rotation, atol=1e-6)


def test_six_numbers_give_a_rotation() -> None:
    values = torch.randn(64, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation = rotation_from_6d(values)
    identity = torch.eye(3, dtype=torch.float64).expand(64, 3, 3)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(64, dtype=torch.float64))
    # The first column keeps its direction; the second lies in the plane of the two, on the side of the second three.
    for row, matrix in zip(values.numpy(), rotation.numpy(), strict=True):
        first = row[:3] / np.linalg.norm(row[:3])
        second = row[3:] - (row[3:] @ first) * first
        np.testing.assert_allclose(matrix[:, 0], first)
        np.testing.assert_allclose(matrix[:, 1], second / np.linalg.norm(second))


def test_estimate_resizes_normalises_and_passes_gradients() -> None:
    torch.manual_seed(0)
    network = SixDRepNet(size=64).eval()
    images = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    angles = network.estimate(images)
    resized = torch.nn.functional.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (network.contract.mean, network.contract.std))
    torch.testing.assert_close(angles, euler_degrees(network(((resized + 1) / 2 - mean) / std)))
    angles.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    with pytest.raises(ContractError, match="align the faces first"):
        network.estimate(torch.zeros(1, 3, 64, 64))


def test_estimate_in_other_pixels() -> None:
    torch.manual_seed(0)
    network = SixDRepNet(size=112, color_order="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)).eval()
    images = torch.rand(1, 3, 112, 112) * 2 - 1
    with torch.inference_mode():
        expected = euler_degrees(network(((images + 1) / 2)[:, [2, 1, 0]]))
        torch.testing.assert_close(network.estimate(images), expected)
