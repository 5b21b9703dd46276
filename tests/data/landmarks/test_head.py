"""The generic head: angles against rotations made one factor at a time, signs, and fits of landmarks."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.landmarks.head import FIVE_POINTS, HeadPose, aligned_landmarks, angles, measure_poses, rotations
from vec2face.errors import ConfigError, InputError

ANGLES = st.floats(-80, 80)


def rotation_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (yaw, -pitch, roll))
    x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return z @ y @ x


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(ANGLES, ANGLES, ANGLES)
def test_rotations_and_back(yaw: float, pitch: float, roll: float) -> None:
    made = rotations(np.array([yaw]), np.array([pitch]), np.array([roll]))
    np.testing.assert_allclose(made[0], rotation_of(yaw, pitch, roll), atol=1e-12)
    np.testing.assert_allclose(angles(made)[0], [yaw, pitch, roll], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-40, 40), st.floats(0.2, 20), st.floats(-50, 50))
def test_the_pose_of_a_projected_head_comes_back(
    yaw: float, pitch: float, roll: float, scale: float, shift: float
) -> None:
    points = scale * (FIVE_POINTS @ rotation_of(yaw, pitch, roll).T)[:, :2] + shift
    found, misfit = measure_poses(points[None])
    np.testing.assert_allclose(found[0], [yaw, pitch, roll], atol=0.01)
    assert misfit[0] < 1e-5


def test_signs_are_those_of_the_picture() -> None:
    front = aligned_landmarks(HeadPose())
    nose, middle = 2, lambda points: points[:2].mean(axis=0)
    assert (aligned_landmarks(HeadPose(yaw=30)) - middle(aligned_landmarks(HeadPose(yaw=30))))[nose, 0] < 0
    assert (aligned_landmarks(HeadPose(yaw=-30)) - middle(aligned_landmarks(HeadPose(yaw=-30))))[nose, 0] > 0
    assert (
        aligned_landmarks(HeadPose(pitch=20))[nose, 1]
        < front[nose, 1]
        < aligned_landmarks(HeadPose(pitch=-20))[nose, 1]
    )
    turned = aligned_landmarks(HeadPose(roll=15))
    assert turned[1, 1] > turned[0, 1]  # clockwise: the right eye lower
    step = turned[1] - turned[0]
    assert math.degrees(math.atan2(step[1], step[0])) == pytest.approx(15, abs=0.5)


def test_a_frontal_head_lies_near_the_template_and_poses_come_back_from_the_crop() -> None:
    assert np.abs(aligned_landmarks(HeadPose()) - np.asarray(ARCFACE_TEMPLATE)).max() < 4
    poses = [HeadPose(yaw, pitch) for yaw in (-60, -20, 0, 45) for pitch in (-15, 0, 25)]
    found, _ = measure_poses(np.stack([aligned_landmarks(pose) for pose in poses]))
    np.testing.assert_allclose(found[:, 0], [pose.yaw for pose in poses], atol=1e-3)
    np.testing.assert_allclose(found[:, 1], [pose.pitch for pose in poses], atol=1e-3)


def test_a_head_that_is_not_the_generic_one_is_fitted_with_misfit() -> None:
    points = aligned_landmarks(HeadPose(20))
    moved = points + np.array([[0, 0], [0, 0], [0, 0], [0, 4], [0, -4]])
    found, misfit = measure_poses(np.stack([points, moved]))
    assert misfit[0] < 1e-6 < 0.01 < misfit[1]

    # No other pose fits better: the slow search agrees.
    def off(yaw: float, pitch: float, roll: float) -> float:
        seen = moved - moved.mean(axis=0)
        head = (FIVE_POINTS - FIVE_POINTS.mean(axis=0)) @ rotation_of(yaw, pitch, roll).T
        flat, shown = head[:, :2].ravel(), seen.ravel()
        return float(np.square(shown - flat * (flat @ shown) / (flat @ flat)).sum())

    best = off(*found[1])
    for step in np.vstack([np.eye(3), -np.eye(3)]):
        assert best <= off(*(found[1] + 0.5 * step))


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"yaw must be from -90 to 90 degrees, not 120\."):
        HeadPose(yaw=120)
    with pytest.raises(ConfigError, match="pitch must be"):
        HeadPose(pitch=math.nan)
    for bad in (np.zeros((1, 5, 2)), np.full((1, 5, 2), np.nan)):
        with pytest.raises(InputError, match="have no pose"):
            measure_poses(bad)


@pytest.mark.development_data
def test_real_landmarks_agree_with_another_fit(shared: Path) -> None:
    """The table's rough angles come from another head and another fit; they have an offset, but order faces alike."""
    table = shared / "data" / "utkface112.csv"
    if not table.is_file():
        pytest.skip("no labelled landmarks beside the project")
    with open(table, newline="") as stream:
        rows = [row for number, row in enumerate(csv.DictReader(stream)) if number % 20 == 0]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = np.array([[[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in names] for row in rows])
    found, _ = measure_poses(points)
    assert np.corrcoef(found[:, 0], [float(row["yaw"]) for row in rows])[0, 1] > 0.98
    # The table's pitch grows as the nose goes down.
    assert np.corrcoef(found[:, 1], [float(row["pitch"]) for row in rows])[0, 1] < -0.97
    assert np.abs(np.median(found, axis=0)).max() < 4  # pitch: 0 is the median photograph of another set
