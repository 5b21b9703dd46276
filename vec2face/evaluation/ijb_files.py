"""Read the files of IJB-B and IJB-C as insightface distributes them.

```
ROOT/
  loose_crop/                             images, loosely cropped
  meta/ijbc_face_tid_mid.txt              IMAGE TEMPLATE MEDIUM, a line for each face
  meta/ijbc_template_pair_label.txt       TEMPLATE TEMPLATE 0|1, a line for each pair
  meta/ijbc_name_5pts_score.txt           IMAGE, ten landmark coordinates, the detector's score, in the same order
```
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vec2face.data.alignment import align
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image

IMAGES_FOLDER = "loose_crop"
_LANDMARK_FIELDS = 12


@dataclass(frozen=True)
class TemplateProtocol:
    """Which faces make which template, and which templates are compared.

    Attributes:
        images: (N,) name of each face's image.
        template, medium: (N,) numbers of each face's template and medium (a photograph or a video).
        first, second: (P,) template numbers of each pair.
        same: (P,) bool, whether a pair is of one person.
    """

    images: list[str]
    template: NDArray[np.int64]
    medium: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]


@dataclass(frozen=True)
class Landmarks:
    """Where the face is in each image, and how sure the detector was.

    Attributes:
        images: (N,) names.
        points: (N, 5, 2) pixels (x, y).
        score: (N,) the detector's score.
    """

    images: list[str]
    points: NDArray[np.float64]
    score: NDArray[np.float64]


def read_protocol(faces: Path, pairs: Path) -> TemplateProtocol:
    """Read `..._face_tid_mid.txt` and `..._template_pair_label.txt`.

    Raises:
        InputError: a file is missing or damaged, a pair names a template without faces, or pairs are of one kind only.
    """
    rows = [line.split() for line in _text(faces).splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != 3 or not (row[1].lstrip("-").isdigit() and row[2].lstrip("-").isdigit()):
            raise InputError(f'{faces}, line {number}: a line is "IMAGE TEMPLATE MEDIUM", not {" ".join(row)!r}.')
    table = _table(pairs)
    known = np.array([int(row[1]) for row in rows], np.int64)
    strangers = ~np.isin(table[:, :2], known)
    if strangers.any():
        raise InputError(
            f"{pairs} names {len(np.unique(table[:, :2][strangers])):,} templates that {faces} gives no face, the "
            f"first is {int(table[:, :2][strangers][0])}."
        )
    same = table[:, 2] == 1
    if same.all() or not same.any():
        raise InputError(f"{pairs} holds pairs of one kind only; error rates need same and different people.")
    medium = np.array([int(row[2]) for row in rows], np.int64)
    return TemplateProtocol([row[0] for row in rows], known, medium, table[:, 0], table[:, 1], same)


def read_landmarks(path: Path, protocol: TemplateProtocol) -> Landmarks:
    """Read `..._name_5pts_score.txt`. Raises `InputError` if it is damaged or in another order than the faces."""
    rows = [line.split() for line in _text(path).splitlines() if line.strip()]
    if len(rows) != len(protocol.images):
        raise InputError(f"{path} has {len(rows):,} lines for {len(protocol.images):,} faces; get a whole copy.")
    values = np.empty((len(rows), _LANDMARK_FIELDS - 1))
    for number, (row, image) in enumerate(zip(rows, protocol.images, strict=True)):
        if len(row) != _LANDMARK_FIELDS or row[0] != image:
            raise InputError(
                f'{path}, line {number + 1}: a line is "IMAGE", ten coordinates and a score, and the image here is '
                f"{image}, not {' '.join(row[:3])!r}."
            )
        try:
            values[number] = [float(field) for field in row[1:]]
        except ValueError:
            raise InputError(f"{path}, line {number + 1}: {' '.join(row[1:])!r} are not all numbers.") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds coordinates or scores that are not finite.")
    return Landmarks([row[0] for row in rows], values[:, :10].reshape(-1, 5, 2), values[:, 10])


class AlignedCrops:
    """The faces of the loose crops, aligned by their landmarks when asked for; an `ImageList`."""

    def __init__(self, folder: Path, landmarks: Landmarks) -> None:
        """Look for every image. Raises `InputError` if some are missing; how many, and the first."""
        self._folder, self._landmarks = folder, landmarks
        if not folder.is_dir():
            raise InputError(f"there is no image folder {folder}.")
        missing = [name for name in dict.fromkeys(landmarks.images) if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{len(missing):,} of the {len(set(landmarks.images)):,} images are missing in {folder}, the first is "
                f"{missing[0]}."
            )

    def __len__(self) -> int:
        return len(self._landmarks.images)

    def key(self, index: int) -> int:
        return index

    def pixels(self, index: int) -> NDArray[np.uint8]:
        path = self._folder / self._landmarks.images[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
        return align(decode_image(data, where=str(path)), self._landmarks.points[index])


def _table(path: Path) -> NDArray[np.int64]:
    """Read millions of lines of three whole numbers."""
    try:
        table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise InputError(f"{path} is not lines of TEMPLATE TEMPLATE 0|1 ({str(error).splitlines()[0]}).") from None
    if table.ndim != 2 or table.shape[1:] != (3,) or not len(table):
        raise InputError(f"{path} must hold lines of TEMPLATE TEMPLATE 0|1, but its shape is {table.shape}.")
    if not np.isin(table[:, 2], (0, 1)).all():
        raise InputError(f"{path}: the third number of a line says whether the pair is of one person, 0 or 1.")
    return table


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read {path}: {reason}.") from None
