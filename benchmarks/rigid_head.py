"""Make the rigid head that landmarks of photographs come from, so that what they read as a degree is one.

    vec2face landmarks measure lfw-crops/ --detector yunet.onnx --out five.csv
    python benchmarks/rigid_head.py five.csv

    mesh/bin/python benchmarks/mesh_landmarks.py lfw112_train.tar lfw-mesh.npz --count 1500
    python benchmarks/rigid_head.py lfw-mesh.npz --eyes-apart 90 --out benchmarks/mesh_head.json

The head is that which explains the points of photographs and of their mirror images best under a scaled orthographic
projection (Tomasi & Kanade, 1992). Photographs are taken evenly over yaw, as a first head of all of them measures it.
Two things are left open and set by convention: how far the first two points (the eyes, or their outer corners) are
apart, and that the median photograph has a pitch of 0. The scale of yaw is a result, not a convention.

Such a head belongs to the detector of its points: one that finds the far eye too near, say, has a deeper head, and
reads the same degrees by it. `vec2face.data.landmarks.head` holds the one of YuNet's five points, `mesh_head.json` that
of the mesh's. Prints the head, and how far the nose stands out from the plane of eyes and mouth.
"""

import argparse
import csv
import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from vec2face.data.landmarks.head import measure_poses
from vec2face.errors import InputError

MESH_HEAD = Path(__file__).with_name("mesh_head.json")
_FIVE_MIRRORED = np.array([1, 0, 2, 4, 3])
_BIN_DEGREES = 5
_MOST_IN_A_BIN = 24
_SMALLEST = 1e-9


def five_points(row: dict[str, str]) -> list[list[float]]:
    """Return x and y of the five points in a line of the table of `vec2face landmarks measure`."""
    return [[float(row[f"{axis}{number}"]) for axis in "xy"] for number in range(1, 6)]


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 `(N, P, 2)` points of the faces found, and for each point the place of its mirror image.

    The file is a table of `vec2face landmarks measure`, or what `mesh_landmarks.py` writes.
    """
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if row["x1"]]
        return np.array([five_points(row) for row in rows]), _FIVE_MIRRORED
    stored = np.load(path)
    points = stored["points"].astype(np.float64)
    return points[np.isfinite(points).all(axis=(1, 2))], stored["mirrored"]


def mesh_yaws(file: Path, *, required: Collection[str] = ()) -> dict[str, float | None]:
    """Return, by picture, the yaw of the mesh's head fitted to what `mesh_landmarks.py` wrote; None: no face found.

    Raises `InputError` where the file lacks one of the pictures that are `required`.
    """
    stored = np.load(file)
    if missing := set(required).difference(stored["names"].tolist()):
        raise InputError(f"{file} lacks {len(missing)} of the pictures; run mesh_landmarks.py again.")
    points = stored["points"].astype(np.float64)
    seen = np.isfinite(points).all(axis=(1, 2))
    head = np.array(json.loads(MESH_HEAD.read_text())["head"])
    yaws = iter(measure_poses(points[seen], head=head)[0][:, 0].tolist() if seen.any() else ())
    return {name: next(yaws) if found else None for name, found in zip(stored["names"].tolist(), seen, strict=True)}


def factorise(points: np.ndarray) -> np.ndarray:
    """Return the rigid head `(P, 3)` that explains `(N, P, 2)` points best, in a frame and mirror of its own.

    Rank-3 factorisation of the centred points, each picture brought to one size; then the metric upgrade under which
    the two rows of every picture's projection are orthogonal and equally long.
    """
    centred = points - points.mean(axis=1, keepdims=True)
    centred /= np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True))
    measured = centred.transpose(0, 2, 1).reshape(-1, points.shape[1])
    left, values, right = np.linalg.svd(measured, full_matrices=False)
    motion, shape = left[:, :3] * np.sqrt(values[:3]), np.sqrt(values[:3])[:, None] * right[:3]
    across, down = motion[0::2], motion[1::2]
    equations = np.concatenate([_quadratic(across, across) - _quadratic(down, down), _quadratic(across, down)])
    xx, xy, xz, yy, yz, zz = np.linalg.svd(equations)[2][-1]
    metric = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    strengths, axes = np.linalg.eigh(metric * np.sign(np.trace(metric)))
    upgrade = axes * np.sqrt(np.maximum(strengths, _SMALLEST))
    return (np.linalg.inv(upgrade) @ shape).T


def _quadratic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Coefficients of a^T Q b in the six entries of a symmetric Q, for each row."""
    return np.stack(
        [
            a[:, 0] * b[:, 0],
            a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0],
            a[:, 0] * b[:, 2] + a[:, 2] * b[:, 0],
            a[:, 1] * b[:, 1],
            a[:, 1] * b[:, 2] + a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 2],
        ],
        axis=1,
    )


def upright(head: np.ndarray, mirrored: np.ndarray, eyes_apart: float) -> np.ndarray:
    """Return the head in the frame of `vec2face.data.landmarks.head`: x right, y down, z away; symmetric, in mm.

    How it nods is not decided here; `pitched` does that.
    """
    centred = head - head.mean(axis=0)
    pairs = np.flatnonzero(mirrored > np.arange(len(mirrored)))
    right = (centred[mirrored[pairs]] - centred[pairs]).sum(axis=0)
    right /= np.linalg.norm(right)
    # The eyes lie above the mean of the pairs.
    down = (centred[pairs] + centred[mirrored[pairs]]).mean(axis=0) / 2 - (centred[0] + centred[1]) / 2
    down -= right * (down @ right)
    down /= np.linalg.norm(down)
    turned = centred @ np.stack([right, down, np.cross(right, down)], axis=1)
    # A factorisation cannot tell a head from its mirror image in depth: the nose, first of the middle, is nearest.
    nose = np.flatnonzero(mirrored == np.arange(len(mirrored)))[0]
    if turned[nose, 2] > turned[pairs, 2].mean():
        turned[:, 2] *= -1
    turned = (turned + turned[mirrored] * (-1, 1, 1)) / 2
    return turned * (eyes_apart / np.linalg.norm(turned[1] - turned[0]))


def evenly_over(yaw: np.ndarray) -> np.ndarray:
    """Return indices with at most so many in each bin of yaw, the first of each."""
    taken: dict[int, int] = {}
    kept = []
    for index, place in enumerate(np.round(yaw / _BIN_DEGREES).astype(int).tolist()):
        if taken.get(place, 0) < _MOST_IN_A_BIN:
            taken[place] = taken.get(place, 0) + 1
            kept.append(index)
    return np.array(kept)


def with_mirror_images(points: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    return np.concatenate([points, points[:, mirrored] * (-1, 1)])


def pitched(head: np.ndarray, degrees: float) -> np.ndarray:
    """Turn the head about its x axis, so that what measured `degrees` of pitch measures 0."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return head @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]]).T


def make_head(points: np.ndarray, mirrored: np.ndarray, *, eyes_apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the head `(P, 3)` from the middle between its first two points, and which photographs made it."""
    first = upright(factorise(with_mirror_images(points, mirrored)), mirrored, eyes_apart)
    kept = evenly_over(measure_poses(points, head=first)[0][:, 0])
    head = upright(factorise(with_mirror_images(points[kept], mirrored)), mirrored, eyes_apart)
    for _ in range(3):
        head = pitched(head, float(np.median(measure_poses(points[kept], head=head)[0][:, 1])))
    return head - head[:2].mean(axis=0), kept


def nose_stands_out(head: np.ndarray, mirrored: np.ndarray) -> float:
    """Return how far the nose's tip is from the line between the middle of the eyes and the middle of the mouth."""
    mouth = 3 if len(head) == len(_FIVE_MIRRORED) else 4
    eyes, lips = head[:2].mean(axis=0), head[[mouth, mirrored[mouth]]].mean(axis=0)
    along = (lips - eyes) / np.linalg.norm(lips - eyes)
    nose = head[np.flatnonzero(mirrored == np.arange(len(mirrored)))[0]] - eyes
    return float(np.linalg.norm(nose - along * (nose @ along)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=Path)
    parser.add_argument("--eyes-apart", type=float, default=63.0, help="millimetres between the first two points")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    points, mirrored = read_points(asked.points)
    head, kept = make_head(points, mirrored, eyes_apart=asked.eyes_apart)
    poses, misfit = measure_poses(points[kept], head=head)
    stated = np.round(head, 2 if len(head) > len(_FIVE_MIRRORED) else 1).tolist()
    if asked.out is not None:
        asked.out.write_text(json.dumps({"head": stated}) + "\n")
    else:
        print(stated)
    low, high = np.percentile(poses[:, 0], [1, 99])
    print(
        f"{len(kept)} of {len(points)} photographs, yaw {low:.0f} to {high:.0f} degrees, median pitch "
        f"{np.median(poses[:, 1]):.1f}, misfit {100 * misfit.mean():.1f} % of the distance between the first two "
        f"points, nose {nose_stands_out(head, mirrored):.1f} mm from the line of eyes and mouth"
    )


if __name__ == "__main__":
    main()
