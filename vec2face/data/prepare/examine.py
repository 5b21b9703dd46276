"""One image of a source: align its face, measure it, and say why it is of no use where it is not."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vec2face.config.preparing import PrepareOptions
from vec2face.contracts import ARCFACE_TEMPLATE, IMAGE_SIZE
from vec2face.data.alignment import align, enlargement, similarity_transform
from vec2face.data.detection import Detection, FaceDetector, largest, open_detector
from vec2face.data.prepare.landmarks import LandmarkTable
from vec2face.data.prepare.quality import brightness, coverage, sharpness, whole_crop
from vec2face.data.readers.base import FaceReader, FaceRecord, PerProcess
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image_with_notes

# Why an image is left out, in the order in which it is looked at.
REASONS = {
    "not an image": "the bytes are no image that can be read",
    "wrong size": "an aligned crop has another size than 112x112",
    "no landmarks": "the table has no landmarks for the image",
    "no face": "the detector finds no face",
    "several faces": "the detector finds several faces, and such images are to be dropped",
    "bad landmarks": "the landmarks define no alignment",
    "too small": "the face has too few pixels in the photo",
    "cut off": "too much of the crop lies outside the photo",
    "too dark": "the crop is too dark",
    "too bright": "the crop is too bright",
    "too blurred": "the crop has too little detail",
    "same file": "an image kept before has the same bytes",
    "near duplicate": "an image kept before, of the same person if people are known, has nearly the same embedding",
}

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"


@dataclass(frozen=True, eq=False)
class Examined:
    """What was found out about one image.

    Attributes:
        index: its position in the source.
        key, person, label: as in its record.
        digest: SHA-256 of its bytes.
        reason: one of `REASONS`, or "" while it is kept.
        detail: the measured value and the limit, or what else explains the reason.
        crop: uint8 `(112, 112, 3)` RGB where a face could be aligned.
        encoded: the source's own bytes, where they are the crop already and stored in the wanted format.
        corners: float32 `(4, 2)` region of the crop that is real.
        faces: number of faces found by a detector.
        size: side of the square that became the crop, pixels of the photo.
        sharpness, brightness: see `quality`.
    """

    index: int
    key: str
    person: str | None
    label: int | None
    digest: bytes
    reason: str = ""
    detail: str = ""
    crop: np.ndarray | None = None
    encoded: bytes | None = None
    corners: np.ndarray | None = None
    faces: int | None = None
    size: float | None = None
    sharpness: float | None = None
    brightness: float | None = None

    def dropped(self, reason: str, detail: str) -> "Examined":
        """Return the same with a reason to leave it out."""
        return replace(self, reason=reason, detail=detail)


class _Unusable(Exception):
    """The image has no face that can be aligned."""

    def __init__(self, reason: str, detail: str, faces: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.faces = reason, detail, faces


class Aligner(Protocol):
    """Finds the five landmarks of the face to be cut out."""

    def landmarks(self, record: FaceRecord, pixels: np.ndarray) -> tuple[np.ndarray, int | None]:
        """Return landmarks `(5, 2)` and the number of faces, where it is known. Raises `_Unusable`."""


class DetectorAligner:
    """Asks a face detector, which is opened anew in each process."""

    def __init__(self, path: Path, options: PrepareOptions) -> None:
        self._several = options.several_faces
        self._detector: PerProcess[FaceDetector] = PerProcess(_DetectorOpener(path, options.min_score))
        self._detector.get()

    def landmarks(self, record: FaceRecord, pixels: np.ndarray) -> tuple[np.ndarray, int | None]:
        faces = self._detector.get().detect(pixels)
        if not faces:
            raise _Unusable("no face", "", 0)
        if len(faces) > 1 and self._several == "drop":
            raise _Unusable("several faces", f"{len(faces)} faces", len(faces))
        chosen = largest(faces) if self._several == "largest" else _central(faces, pixels)
        return chosen.landmarks, len(faces)


class TableAligner:
    """Looks landmarks up in a table."""

    def __init__(self, path: Path) -> None:
        self._table = LandmarkTable(path)

    def landmarks(self, record: FaceRecord, pixels: np.ndarray) -> tuple[np.ndarray, int | None]:
        points = self._table.find(record.key)
        if points is None:
            raise _Unusable("no landmarks", "")
        return points, None


class Examiner:
    """Examines the images of a source; can be pickled for use in other processes."""

    def __init__(self, reader: FaceReader, options: PrepareOptions, aligner: Aligner | None) -> None:
        """Take the parts; `aligner` None means that the images are aligned crops."""
        self.reader, self.options, self.aligner = reader, options, aligner

    def examine(self, start: int, stop: int) -> list[Examined]:
        """Examine the images at positions `start` to `stop`. Raises `InputError` where the source itself is damaged."""
        return list(self._examined(start, stop))

    def _examined(self, start: int, stop: int) -> Iterator[Examined]:
        for index, record in enumerate(self.reader.records(start, stop), start=start):
            digest = hashlib.sha256(record.data).digest()
            face = Examined(index, record.key, record.person, record.label, digest)
            try:
                pixels, notes = decode_image_with_notes(record.data, where=record.key)
            except InputError as error:
                yield face.dropped("not an image", str(error))
                continue
            try:
                aligned = self._crop(face, record, pixels) if self.aligner else self._take(face, record, pixels, notes)
            except _Unusable as problem:
                yield replace(face.dropped(problem.reason, problem.detail), faces=problem.faces)
                continue
            yield self._judged(aligned)

    def _take(self, face: Examined, record: FaceRecord, pixels: np.ndarray, notes: list[str]) -> Examined:
        if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
            raise _Unusable("wrong size", f"{pixels.shape[1]}x{pixels.shape[0]} pixels")
        magic = _JPEG if self.options.format == "jpeg" else _PNG
        encoded = record.data if record.data.startswith(magic) and not notes else None
        return replace(face, crop=pixels, encoded=encoded, corners=whole_crop())

    def _crop(self, face: Examined, record: FaceRecord, pixels: np.ndarray) -> Examined:
        if self.aligner is None:
            raise TypeError("an aligner is needed here")
        points, faces = self.aligner.landmarks(record, pixels)
        try:
            matrix = similarity_transform(points, np.asarray(ARCFACE_TEMPLATE))
        except InputError as error:
            raise _Unusable("bad landmarks", str(error), faces) from None
        cover = coverage(matrix, width=pixels.shape[1], height=pixels.shape[0])
        size = IMAGE_SIZE / enlargement(points)
        aligned = replace(face, crop=align(pixels, points), corners=cover.corners, faces=faces, size=size)
        if size < self.options.min_size:
            return aligned.dropped("too small", f"{size:.0f} pixels, at least {self.options.min_size:g} wanted")
        if cover.outside > self.options.max_outside:
            limit = f"at most {self.options.max_outside:.0%} wanted"
            return aligned.dropped("cut off", f"{cover.outside:.0%} of the crop lies outside the photo, {limit}")
        return aligned

    def _judged(self, face: Examined) -> Examined:
        if face.crop is None:
            return face
        sharp, light, options = sharpness(face.crop), brightness(face.crop), self.options
        face = replace(face, sharpness=sharp, brightness=light)
        if face.reason:
            return face
        if light < options.min_brightness:
            return face.dropped("too dark", f"brightness {light:.0f}, at least {options.min_brightness:g} wanted")
        if light > options.max_brightness:
            return face.dropped("too bright", f"brightness {light:.0f}, at most {options.max_brightness:g} wanted")
        # Last, since a picture without light has no detail either.
        if sharp < options.min_sharpness:
            return face.dropped("too blurred", f"sharpness {sharp:.1f}, at least {options.min_sharpness:g} wanted")
        return face


class _DetectorOpener:
    """Opens the detector; a class, so that it can be pickled."""

    def __init__(self, path: Path, min_score: float | None) -> None:
        self._path, self._min_score = path, min_score

    def __call__(self) -> FaceDetector:
        return open_detector(self._path, score_threshold=self._min_score)


def _central(faces: list[Detection], pixels: np.ndarray) -> Detection:
    centre = np.array([pixels.shape[1], pixels.shape[0]]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre)))
