"""Make a rigid head of mesh points in real photographs, for `steering_pose.py --mesh`.

    python benchmarks/mesh_head.py lfw-mesh.npz --out benchmarks/mesh_head.json

As the generic head of five points was made (`vec2face.data.landmarks.head`): the rigid head that explains the points of
photographs and of their mirror images best under a scaled orthographic projection (Tomasi & Kanade, 1992). Photographs
are taken evenly over yaw, as a first head of all of them measures it. Two things are left open and set by convention:
the first two points (the outer corners of the eyes) are 90 mm apart, and the median photograph has a pitch of 0. The
scale of yaw is a result, not a convention.

`mesh_head.json` is the one that the documented figures were measured with.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from vec2face.data.landmarks.head import measure_poses

_EYES_APART = 90.0
_BIN_DEGREES = 5
_MOST_IN_A_BIN = 24
_SMALLEST = 1e-9


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


def upright(head: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return the head in the frame of `vec2face.data.landmarks.head`: x right, y down, z away; symmetric, in mm."""
    centred = head - head.mean(axis=0)
    pairs = np.flatnonzero(mirrored > np.arange(len(mirrored)))
    middle = np.flatnonzero(mirrored == np.arange(len(mirrored)))
    right = (centred[mirrored[pairs]] - centred[pairs]).sum(axis=0)
    right /= np.linalg.norm(right)
    # Along the middle line, the spread is longest from forehead to upper lip.
    line = centred[middle] - centred[middle].mean(axis=0)
    down = np.linalg.svd(line - np.outer(line @ right, right), full_matrices=False)[2][0]
    down -= right * (down @ right)
    down /= np.linalg.norm(down)
    # The mouth's corners, the third pair, lie below the eyes.
    if (centred[4] - centred[0]) @ down < 0:
        down = -down
    away = np.cross(right, down)
    turned = centred @ np.stack([right, down, away], axis=1)
    # A factorisation cannot tell a head from its mirror image in depth: the nose, first of the middle, is nearest.
    if turned[middle[0], 2] > 0:
        turned[:, 2] *= -1
    turned = (turned + turned[mirrored] * (-1, 1, 1)) / 2
    return turned * (_EYES_APART / np.linalg.norm(turned[1] - turned[0]))


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


def make_head(points: np.ndarray, mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the head `(P, 3)`, and the indices of the photographs it was made from."""
    first = upright(factorise(with_mirror_images(points, mirrored)), mirrored)
    kept = evenly_over(measure_poses(points, head=first)[0][:, 0])
    head = upright(factorise(with_mirror_images(points[kept], mirrored)), mirrored)
    for _ in range(2):
        head = pitched(head, float(np.median(measure_poses(points[kept], head=head)[0][:, 1])))
    return head, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    stored = np.load(asked.points)
    points, mirrored = stored["points"].astype(np.float64), stored["mirrored"]
    points = points[np.isfinite(points).all(axis=(1, 2))]
    head, kept = make_head(points, mirrored)
    poses, misfit = measure_poses(points[kept], head=head)
    asked.out.write_text(json.dumps({"head": np.round(head, 2).tolist()}, indent=None) + "\n")
    low, high = np.percentile(poses[:, 0], [1, 99])
    print(
        f"{len(kept)} of {len(points)} photographs, yaw {low:.0f} to {high:.0f} degrees, median pitch "
        f"{np.median(poses[:, 1]):.1f}, misfit {100 * misfit.mean():.1f} % of the distance between the eyes' corners: "
        f"{asked.out}"
    )


if __name__ == "__main__":
    main()
