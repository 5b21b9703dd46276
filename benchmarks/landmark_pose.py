"""How well poses are measured in aligned crops: a detector's landmarks against landmarks known before.

    python benchmarks/landmark_pose.py --labels utkface112.csv --crops utkface112.tar --detector yunet.onnx --count 120

LABELS is a CSV file with the columns key and, for left_eye, right_eye, nose, mouth_left and mouth_right, `_x` and `_y`
in pixels of any picture of the face; CROPS a tar of aligned crops KEY.jpg. Both are measured by the same generic head,
so what differs is where the landmarks were found: the figures hold the noise of both detectors. Faces are drawn evenly
over yaw.

Prints one JSON line.
"""

import argparse
import csv
import json
import tarfile
from pathlib import Path

import numpy as np

from vec2face.data.detection import open_detector
from vec2face.data.landmarks.head import measure_poses
from vec2face.data.landmarks.measure import measure_face
from vec2face.fileio.images import decode_image

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
BINS = np.arange(-40, 41, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    with open(asked.labels, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    points = np.array([[[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in POINTS] for row in rows])
    known, _ = measure_poses(points)
    rng = np.random.default_rng(asked.seed)
    places = np.digitize(known[:, 0], BINS)
    each = -(-asked.count // len(np.unique(places)))
    drawn = [rng.permutation(np.flatnonzero(places == place))[:each] for place in np.unique(places)]
    wanted = {f"{rows[index]['key']}.jpg": index for index in np.concatenate(drawn)}
    detector = open_detector(asked.detector)
    pairs = []
    with tarfile.open(asked.crops) as archive:
        for member in archive:
            if member.name not in wanted:
                continue
            stream = archive.extractfile(member)
            face = measure_face(decode_image(stream.read(), where=member.name), detector) if stream else None
            if face is not None:
                pose = face.pose
                pairs.append([*known[wanted[member.name], :2], pose.yaw, pose.pitch])
    known_yaw, known_pitch, yaw, pitch = np.array(pairs).T

    def compare(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
        slope, offset = np.polyfit(true, found, 1)
        off = np.abs(found - true)
        return {
            "correlation": float(np.corrcoef(found, true)[0, 1]),
            "slope": float(slope),
            "offset": float(offset),
            "mean_absolute_error": float(off.mean()),
            "within_5_degrees": float((off <= 5).mean()),
        }

    print(
        json.dumps(
            {
                "faces": len(wanted),
                "found": len(pairs),
                "yaw": compare(yaw, known_yaw),
                "pitch": compare(pitch, known_pitch),
            }
        )
    )


if __name__ == "__main__":
    main()
