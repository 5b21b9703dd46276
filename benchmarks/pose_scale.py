"""What a degree of yaw is to each instrument: landmarks, mesh and the embedded estimator on the same photographs.

    vec2face landmarks measure lfw-crops/ --detector yunet.onnx --out five.csv
    mesh/bin/python benchmarks/mesh_landmarks.py lfw112_train.tar lfw-mesh.npz --count 1500
    python benchmarks/pose_scale.py --crops lfw112_train.tar --five five.csv --mesh lfw-mesh.npz

Photographs in all three files are taken evenly over the mean of the three readings, so that none of them chooses. For
every two instruments: the slope through 0 that explains both alike (the axis of their scatter), which is 1 where they
mean the same by a degree; correlation, and standard deviation of the difference. Prints one JSON line.
"""

import argparse
import csv
import json
import tarfile
from itertools import combinations
from pathlib import Path, PurePath

import numpy as np
import torch
from rigid_head import evenly_over, five_points, mesh_yaws

from vec2face.data.landmarks.head import measure_poses
from vec2face.fileio.images import decode_image
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.optimise import from_pixels


def five_yaws(table: Path) -> dict[str, float]:
    """Yaw by file stem, of the faces found."""
    with open(table, newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["x1"]]
    yaws = measure_poses(np.array([five_points(row) for row in rows]))[0][:, 0].tolist()
    return dict(zip((PurePath(row["file"]).stem for row in rows), yaws, strict=True))


def estimated_yaws(crops: Path, wanted: set[str]) -> dict[str, float]:
    (estimator,) = open_estimators(["yaw"])
    for network in estimator.networks:
        network.eval().requires_grad_(False)
    found = {}
    with tarfile.open(crops) as archive, torch.inference_mode():
        for member in archive:
            stream = archive.extractfile(member) if PurePath(member.name).stem in wanted else None
            if stream is not None:
                pixels = decode_image(stream.read(), where=member.name)
                found[PurePath(member.name).stem] = estimator.estimate(from_pixels(pixels[None])).item()
    return found


def related(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Slope of the main axis of two readings through 0, their correlation, and the spread of their difference."""
    axis = np.linalg.svd(np.stack([first, second], axis=1), full_matrices=False)[2][0]
    return {
        "slope": float(axis[1] / axis[0]),
        "correlation": float(np.corrcoef(first, second)[0, 1]),
        "spread": float((second - first).std()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--five", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, required=True)
    asked = parser.parse_args()
    five = five_yaws(asked.five)
    mesh = {PurePath(name).stem: yaw for name, yaw in mesh_yaws(asked.mesh).items() if yaw is not None}
    estimated = estimated_yaws(asked.crops, five.keys() & mesh.keys())
    names = sorted(estimated)
    readings = {
        name: np.array([of[key] for key in names])
        for name, of in (("landmarks", five), ("mesh", mesh), ("estimator", estimated))
    }
    kept = evenly_over(np.mean(list(readings.values()), axis=0))
    found = {
        f"{second} for a degree of {first}": related(readings[first][kept], readings[second][kept])
        for first, second in combinations(readings, 2)
    }
    print(json.dumps({"photographs": len(kept), **found}))


if __name__ == "__main__":
    main()
