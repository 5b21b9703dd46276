"""Labels of head pose for estimators to learn from: a table of landmarks becomes a table of angles.

Both are CSV files with the column `key`. The landmarks' columns are `left_eye_x`, `left_eye_y` and so on, of `POINTS`,
in pixels of any picture of the face; left is the picture's left.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.alignment import similarity_transform
from vec2face.data.landmarks.head import measure_poses
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_text

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
ANGLES = ("yaw", "pitch", "roll")

# Landmarks this far from any view of the generic head, as a share of the distance of the eyes, are mistakes.
LARGEST_RESIDUAL = 0.15


@dataclass(frozen=True)
class PoseLabels:
    """What a table of labels holds: how many faces, and of how many of them the landmarks fit no head."""

    faces: int
    misfits: int


def write_pose_labels(table: Path, out: Path, *, keep: Sequence[str]) -> PoseLabels:
    """Write the yaw, pitch and roll of every face of a landmarks table, in degrees.

    Signs are those of `vec2face.data.landmarks.head`. Angles are those that the aligned crop shows: roll is what
    the alignment has left of it. They stay blank where the landmarks fit no head.

    Args:
        table: CSV file of landmarks.
        out: CSV file to write: `key`, the three angles, then the columns kept.
        keep: columns of the table to take over as they are, such as age.

    Raises:
        InputError: the table cannot be read, lacks a column, has no rows, or has landmarks that are no numbers.
        StorageError: `out` cannot be written.
    """
    columns = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    try:
        with open(table, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in ("key", *columns, *keep) if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{table} has no column {', '.join(missing)}.")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the landmarks {table} ({error}).") from None
    if not rows:
        raise InputError(f"{table} holds no faces.")
    landmarks = np.array([_landmarks(row, columns, f"{table}, line {n}") for n, row in enumerate(rows, start=2)])
    angles, residuals = measure_poses(np.array([_aligned(points) for points in landmarks]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["key", *ANGLES, *keep])
    misfit = residuals > LARGEST_RESIDUAL
    for row, pose, bad in zip(rows, angles, misfit, strict=True):
        cells = [""] * len(ANGLES) if bad else [f"{angle:.2f}" for angle in pose]
        writer.writerow([row["key"], *cells, *(row[name] for name in keep)])
    write_text(out, text.getvalue())
    return PoseLabels(len(rows), int(misfit.sum()))


def _aligned(points: np.ndarray) -> np.ndarray:
    matrix = similarity_transform(points, np.asarray(ARCFACE_TEMPLATE))
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _landmarks(row: dict[str, str], columns: Sequence[str], where: str) -> np.ndarray:
    try:
        points = np.array([float(row[column]) for column in columns]).reshape(len(POINTS), 2)
    except (TypeError, ValueError):
        points = np.full((len(POINTS), 2), np.nan)
    if not np.isfinite(points).all():
        raise InputError(f"{where}: the landmarks of {row['key']} are no numbers; take the row out.")
    return points
