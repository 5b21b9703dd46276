"""Tables of faces that were measured by landmarks, and how a long measurement goes on where it was stopped."""

import csv
import io
from collections.abc import Callable, Sequence

import numpy as np

from vec2face.data.detection import FaceDetector
from vec2face.data.landmarks.head import FIVE_POINTS
from vec2face.data.landmarks.measure import measure_face
from vec2face.fileio.atomic import fingerprint
from vec2face.fileio.partial import PartialWork
from vec2face.progress import ProgressReporter

NamedFace = tuple[str, Callable[[], np.ndarray]]  # its name, and how to read its pixels

_POINTS = [f"{axis}{number}" for number in range(1, len(FIVE_POINTS) + 1) for axis in "xy"]
_COLUMNS = ("yaw", "pitch", "roll", "misfit", "looks", *_POINTS)
_DECIMALS = (2, 2, 2, 3, 0, *[3] * len(_POINTS))
_LOOKS = _COLUMNS.index("looks")


def measure_faces(
    faces: Sequence[NamedFace],
    detector: FaceDetector,
    *,
    detector_digest: str,
    partial: PartialWork | None = None,
    progress: ProgressReporter,
) -> np.ndarray:
    """Measure aligned crops.

    Args:
        faces: what is measured.
        detector: finds faces.
        detector_digest: tells detectors apart in unfinished work.
        partial: where unfinished work is kept, every minute and when the work ends early; work found there is gone on
            with. Remove it once the table is written.
        progress: receives the stage "measuring".

    Returns:
        float64 `(N, 15)`: yaw, pitch and roll in degrees, the fitted head's misfit, in how many looks the face was
        found, and the landmarks x1, y1 to x5, y5 in pixels of the crop. Of faces not found all but the looks are NaN.

    Raises:
        InputError: a crop cannot be read, or the unfinished work is of other faces or of another detector.
        StorageError: unfinished work cannot be written.
    """
    values = np.full((len(faces), len(_COLUMNS)), np.nan)
    request = {"faces": fingerprint([name for name, _ in faces]), "detector": detector_digest}
    found = None if partial is None else partial.load(request)
    done = 0 if found is None else len(found[0]["values"])
    if found is not None:
        values[:done] = found[0]["values"]
    progress.begin("measuring", total=len(faces), unit="pictures", done=done)
    saved = done
    try:
        for row in range(done, len(faces)):
            values[row] = _values(faces[row][1](), detector)
            done = row + 1
            progress.advance(1)
            if partial is not None and partial.due():
                partial.save(request, {"values": values[:done]}, {})
                saved = done
    finally:
        if partial is not None and done > saved:
            partial.save(request, {"values": values[:done]}, {})
    return values


def table_text(name_column: str, names: Sequence[str], values: np.ndarray) -> str:
    """Return measured faces as CSV text; what is not known is blank.

    Args:
        name_column: title of the first column.
        names: of the faces.
        values: of `measure_faces`, `(N, 15)`.
    """
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([name_column, *_COLUMNS])
    for name, row in zip(names, values, strict=True):
        cells = zip(row.tolist(), _DECIMALS, strict=True)
        table.writerow([name, *("" if np.isnan(value) else f"{value:.{decimals}f}" for value, decimals in cells)])
    return stream.getvalue()


def number_found(values: np.ndarray) -> int:
    """Return in how many crops a face was found, of what `measure_faces` returned."""
    return int((values[:, _LOOKS] > 0).sum())


def _values(pixels: np.ndarray, detector: FaceDetector) -> np.ndarray:
    row = np.full(len(_COLUMNS), np.nan)
    face = measure_face(pixels, detector)
    row[_LOOKS] = 0 if face is None else face.looks
    if face is not None:
        row[:_LOOKS] = face.pose.yaw, face.pose.pitch, face.pose.roll, face.misfit
        row[_LOOKS + 1 :] = face.landmarks.ravel()
    return row
