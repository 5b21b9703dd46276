"""Read landmarks: five points from CSV or JSON, or a ready landmark picture."""

import csv
import json
from pathlib import Path

import numpy as np

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image

POINT_FILES = (".csv", ".json")
_POINTS = 5
_FORMS = "CSV with the columns x,y, or JSON [[x, y], ...]"


def read_points(path: Path) -> np.ndarray:
    """Return five landmarks, float64 `(5, 2)` pixels: eyes, nose, mouth corners, the picture's left first.

    A `.csv` file has the columns `x` and `y` and five rows; a `.json` file is a list of five pairs.

    Raises:
        InputError: the file cannot be read, or does not hold five points.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the landmarks {path} ({error}).") from None
    try:
        if path.suffix.lower() == ".json":
            points = np.array(json.loads(text), np.float64)
        else:
            points = np.array([[float(row["x"]), float(row["y"])] for row in csv.DictReader(text.splitlines())])
    except (ValueError, KeyError, TypeError, csv.Error):
        raise InputError(f"{path} holds no landmarks; give {_FORMS}.") from None
    if points.shape != (_POINTS, 2) or not np.isfinite(points).all():
        raise InputError(f"{path} must hold {_POINTS} points (eyes, nose, mouth corners); give {_FORMS}.")
    return points


def read_picture(path: Path) -> np.ndarray:
    """Return a landmark picture as uint8 `(112, 112, 3)` RGB.

    Raises:
        InputError: the file cannot be read, is no image, or has another size.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the landmark picture {path}: {error.strerror}.") from None
    pixels = decode_image(data, where=str(path))
    if pixels.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        raise InputError(
            f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; a landmark picture has {IMAGE_SIZE}x{IMAGE_SIZE}, "
            "in the frame of the aligned crop."
        )
    return pixels
