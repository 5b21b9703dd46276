"""Instruments for poses: a rigid head comes back from its projections, and readings are counted."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vec2face.data.landmarks.head import FIVE_POINTS, measure_poses, rotations
from vec2face.errors import InputError

# Three pairs, the picture's left first, eyes before mouth, and a middle line with the nose first.
HEAD = np.array(
    [
        [-45, 0, 0], [45, 0, 0], [-20, 10, -8], [20, 10, -8], [-28, 65, 5], [28, 65, 5],
        [0, 40, -30], [0, -30, -5], [0, 5, -15], [0, 60, -12],
    ],
    np.float64,
)  # fmt: skip
MIRRORED = np.array([1, 0, 3, 2, 5, 4, 6, 7, 8, 9])


def photographs(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Points `(N, 10, 2)` of the head in random poses, and their yaw."""
    random = np.random.default_rng(0)
    yaw, pitch, roll = random.uniform(-45, 45, count), random.normal(0, 8, count), random.normal(0, 4, count)
    turned = np.einsum("nij,pj->npi", rotations(yaw, pitch - np.median(pitch), roll), HEAD)[..., :2]
    return 0.5 * turned + 56 + random.normal(0, noise, turned.shape), yaw


@pytest.fixture
def rigid_head(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("rigid_head")


def test_the_head_comes_back_from_its_projections(rigid_head: ModuleType) -> None:
    points, yaw = photographs(200, noise=0)
    head, kept = rigid_head.make_head(points, MIRRORED, eyes_apart=90)
    assert len(kept) == 200
    np.testing.assert_allclose(head, HEAD, atol=0.1)
    poses, misfit = measure_poses(points, head=head)
    np.testing.assert_allclose(poses[:, 0], yaw, atol=0.1)
    assert misfit.max() < 1e-3


def test_a_head_of_noisy_photographs_measures_yaw_in_degrees(rigid_head: ModuleType) -> None:
    points, yaw = photographs(300, noise=0.5)
    head, _ = rigid_head.make_head(points, MIRRORED, eyes_apart=90)
    found = measure_poses(points, head=head)[0][:, 0]
    assert np.polyfit(yaw, found, 1)[0] == pytest.approx(1, abs=0.03)
    assert np.abs(found - yaw).mean() < 2


def test_the_five_points_are_a_head_made_so(rigid_head: ModuleType, tmp_path: Path) -> None:
    """Landmarks in a table of `landmarks measure` bring back the head of five points, faces not found left out."""
    random = np.random.default_rng(1)
    yaw, pitch = random.uniform(-45, 45, 200), random.normal(0, 8, 200)
    turned = np.einsum("nij,pj->npi", rotations(yaw, pitch - np.median(pitch), np.zeros(200)), FIVE_POINTS)[..., :2]
    columns = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]
    lines = [",".join(map(repr, row)) for row in (turned + 56).reshape(200, 10).tolist()]
    (tmp_path / "five.csv").write_text("\n".join([",".join(columns), *lines, "," * 9]) + "\n")
    points, mirrored = rigid_head.read_points(tmp_path / "five.csv")
    head, kept = rigid_head.make_head(points, mirrored, eyes_apart=63)
    assert len(points) == len(kept) == 200
    np.testing.assert_allclose(head, FIVE_POINTS, atol=0.2)
    assert rigid_head.nose_stands_out(head, mirrored) == pytest.approx(34.1, abs=0.2)


def test_photographs_are_taken_evenly(rigid_head: ModuleType) -> None:
    kept = rigid_head.evenly_over(np.array([0.0] * 30 + [20.0] * 3))
    assert kept.tolist() == [*range(24), 30, 31, 32]


def test_the_documented_head_is_symmetric_and_faces_the_viewer(load_benchmark: Callable[[str], ModuleType]) -> None:
    head = np.array(json.loads(load_benchmark("rigid_head").MESH_HEAD.read_text())["head"])
    assert head.shape == (38, 3)
    mirrored = [place ^ 1 for place in range(24)] + list(range(24, 38))
    np.testing.assert_allclose(head, head[mirrored] * (-1, 1, 1), atol=0.02)
    assert head[24:26, 2].min() == head[:, 2].min()  # the tip of the nose, two points of the mesh
    assert np.linalg.norm(head[1] - head[0]) == pytest.approx(90, abs=0.1)


def test_two_instruments_are_brought_together(load_benchmark: Callable[[str], ModuleType]) -> None:
    pose = load_benchmark("steering_pose")
    mean = pose.both({0: 10.0, 1: None, 2: 4.0}, {0: 14.0, 1: 3.0, 2: None})
    assert mean == {0: 12.0, 1: None, 2: None}
    facts = pose.compared([(12.0, 10.0), (None, 10.0), (-16.0, -10.0), (-8.0, -10.0)], 5)
    assert facts == pytest.approx(
        {"within": 0.5, "mean_error": -2 / 3, "spread": np.std([2, -6, 2]), "not_found": 1, "slope": 1.2}
    )


def test_points_of_other_pictures_are_refused(load_benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    pose = load_benchmark("steering_pose")
    samples = pose.Samples(tmp_path / "out", {})
    samples.rows = {0: {}, 7: {}}
    np.savez(tmp_path / "mesh.npz", names=np.array(["000000.png"]), points=np.zeros((1, 38, 2)))
    with pytest.raises(InputError, match="lacks 1 of the pictures"):
        pose.mesh_yaws(samples, tmp_path / "mesh.npz")
