"""Find 38 points of MediaPipe's face mesh in aligned crops: a second eye on poses, denser than five landmarks.

    python -m venv mesh && mesh/bin/pip install mediapipe==0.10.14
    mesh/bin/python benchmarks/mesh_landmarks.py turned/images turned/mesh.npz
    mesh/bin/python benchmarks/mesh_landmarks.py lfw112_train.tar lfw-mesh.npz --count 1500

It needs nothing of this project, whose environment MediaPipe does not share. A crop is looked at as `measure_face`
does: enlarged three and four times with a border around it, as it is and mirrored; points are means over the looks.

Writes OUT: `names` (N), and `points` float32 (N, 38, 2), pixels of the crop, NaN where no face was found.
`mesh_head.py` makes a rigid head of such points, and `steering_pose.py --mesh` measures with it.
"""

import argparse
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np

# Indices of the mesh: pairs that mirror each other, the picture's left first, outer eye corners before all others; then
# points of the middle line. Neither lips nor chin, which move, nor the outline of the face, which is another part of
# the head for every turn: with twelve points of it the rigid head has too long a nose, and reads a tenth fewer degrees.
PAIRS = [
    (33, 263), (133, 362), (61, 291), (159, 386), (145, 374), (70, 300), (105, 334), (46, 276), (50, 280), (205, 425),
    (129, 358), (98, 327),
]  # fmt: skip
MIDDLE = [1, 4, 5, 6, 168, 8, 9, 10, 151, 2, 94, 164, 197, 195]
POINTS = [point for pair in PAIRS for point in pair] + MIDDLE
MIRRORED = [place ^ 1 for place in range(2 * len(PAIRS))] + list(range(2 * len(PAIRS), len(POINTS)))
ENLARGEMENTS = (3, 4)
BORDER = 0.25
SUFFIXES = (".jpg", ".jpeg", ".png")


def pictures(faces: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every picture in a folder or a tar, by name."""
    if faces.is_dir():
        for path in sorted(path for path in faces.rglob("*") if path.suffix.lower() in SUFFIXES):
            yield str(path.relative_to(faces)), path.read_bytes()
        return
    with tarfile.open(faces) as archive:
        members = (one for one in archive.getmembers() if one.isfile() and one.name.lower().endswith(SUFFIXES))
        for member in sorted(members, key=lambda one: one.name):
            stream = archive.extractfile(member)
            if stream is not None:
                yield member.name, stream.read()


def find_points(crop: np.ndarray, mesh: Any) -> np.ndarray | None:
    """Return `(38, 2)` pixels of an RGB crop, means over the looks that found a face, or None."""
    border = round(BORDER * max(crop.shape[:2]))
    framed = cv2.copyMakeBorder(crop, border, border, border, border, cv2.BORDER_REPLICATE)
    found = []
    for factor in ENLARGEMENTS:
        size = (framed.shape[1] * factor, framed.shape[0] * factor)
        enlarged = cv2.resize(framed, size, interpolation=cv2.INTER_CUBIC)
        for mirrored in (False, True):
            seen = mesh.process(np.ascontiguousarray(enlarged[:, ::-1]) if mirrored else enlarged)
            if not seen.multi_face_landmarks:
                continue
            landmarks = seen.multi_face_landmarks[0].landmark
            points = np.array([(landmarks[place].x, landmarks[place].y) for place in POINTS]) * size
            points = (points + 0.5) / factor - 0.5 - border
            if mirrored:
                points = points[MIRRORED] * (-1, 1) + (crop.shape[1] - 1, 0)
            found.append(points)
    return np.mean(found, axis=0) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, help="so many pictures at random")
    asked = parser.parse_args()
    chosen = list(pictures(asked.faces))
    if asked.count is not None:
        chosen = sorted(random.Random(0).sample(chosen, min(asked.count, len(chosen))))
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, min_detection_confidence=0.1)
    points = np.full((len(chosen), len(POINTS), 2), np.nan, np.float32)
    for row, (_, data) in enumerate(chosen):
        crop = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        found = find_points(crop, mesh)
        if found is not None:
            points[row] = found
    np.savez(asked.out, names=np.array([name for name, _ in chosen]), points=points, mirrored=np.array(MIRRORED))
    print(f"{int(np.isfinite(points).all(axis=(1, 2)).sum())} faces in {len(chosen)} pictures: {asked.out}")


if __name__ == "__main__":
    main()
