"""What the landmarks' yaw owes to what lies around a face: crops as they are, and with their surround painted over.

    python benchmarks/landmark_surround.py --crops lfw112_train.tar --detector yunet.onnx --count 96
    python benchmarks/landmark_surround.py --crops turned/images --detector yunet.onnx --count 96

CROPS is a tar or folder of aligned 112x112 crops. Of `--look-at` of them, `--count` are drawn evenly over the yaw that
the embedded estimator reads: it sees a disc on the face, so the surround moves none of its values. The landmark yaw is
measured twice, the second time with everything outside a square of 87 pixels on the face replaced by that square's
blurred extension, as it lies around the faces of tightly cut sets.

Prints one JSON line: slopes and offsets of the landmarks' yaw for a degree of the estimator, both ways, and of the
second for a degree of the first.
"""

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from vec2face.data.detection import FaceDetector, open_detector
from vec2face.data.landmarks.measure import measure_face
from vec2face.fileio.images import decode_image
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.optimise import from_pixels

BINS = np.arange(-40, 41, 10)
LEFT, RIGHT, TOP, BOTTOM = 12, 99, 21, 108
BLUR = 6.0
BATCH = 64


def crops(path: Path) -> Iterator[np.ndarray]:
    """Yield uint8 `(112, 112, 3)` pictures of a folder or a tar, in the order of their names or of the tar."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            yield decode_image(file.read_bytes(), where=str(file))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield decode_image(stream.read(), where=member.name)


def painted_over(pixels: np.ndarray) -> np.ndarray:
    """Replace everything outside the square by its blurred extension."""
    middle = pixels[TOP:BOTTOM, LEFT:RIGHT]
    height, width = pixels.shape[:2]
    border = (TOP, height - BOTTOM, LEFT, width - RIGHT)
    around = cv2.GaussianBlur(cv2.copyMakeBorder(middle, *border, cv2.BORDER_REPLICATE), (0, 0), BLUR)
    around[TOP:BOTTOM, LEFT:RIGHT] = middle
    return np.asarray(around)


def landmark_yaw(pixels: np.ndarray, detector: FaceDetector) -> float:
    face = measure_face(pixels, detector)
    return float("nan") if face is None else face.pose.yaw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--look-at", type=int, default=1200)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    rng = np.random.default_rng(asked.seed)
    pictures = np.stack(list(crops(asked.crops)))
    pictures = pictures[rng.permutation(len(pictures))[: asked.look_at]]
    (estimator,) = open_estimators(["yaw"])
    for network in estimator.networks:
        network.eval()
    with torch.inference_mode():
        parts = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
        estimated = np.concatenate([estimator.estimate(from_pixels(part)).numpy() for part in parts])
    places = np.digitize(estimated, BINS)
    each = -(-asked.count // len(np.unique(places)))
    drawn = np.concatenate([np.flatnonzero(places == place)[:each] for place in np.unique(places)])
    detector = open_detector(asked.detector)
    yaws = np.array(
        [(landmark_yaw(one, detector), landmark_yaw(painted_over(one), detector)) for one in pictures[drawn]]
    )
    found = np.isfinite(yaws).all(axis=1)
    plain, painted = yaws[found].T
    own = estimated[drawn][found]

    def line(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        slope, offset = np.polyfit(x, y, 1)
        return {"slope": float(slope), "offset": float(offset), "correlation": float(np.corrcoef(x, y)[0, 1])}

    result = {
        "crops": len(drawn),
        "found_both_ways": int(found.sum()),
        "as_is_for_estimator": line(own, plain),
        "painted_over_for_estimator": line(own, painted),
        "painted_over_for_as_is": line(plain, painted),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
