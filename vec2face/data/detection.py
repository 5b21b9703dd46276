"""Find faces and their five landmarks in photos, with a detector file that the user supplies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from vec2face.errors import InputError

if TYPE_CHECKING:
    import onnxruntime

_YUNET_OUTPUTS = frozenset(f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32))
# Scores, boxes and landmarks on 3 or 5 levels; without landmarks there would be 6 or 10 outputs.
_SCRFD_OUTPUTS = (9, 15)
_SCRFD_OUTPUTS_WITHOUT_LANDMARKS = (6, 10)
_TOP_K = 5000


@dataclass(frozen=True, eq=False)
class Detection:
    """A face found in a photo.

    Attributes:
        box: float32 `(4,)` left, top, right, bottom in pixels; may reach beyond the photo.
        score: the detector's confidence, 0 to 1.
        landmarks: float32 `(5, 2)` pixels (x, y): eyes, nose, mouth corners, the image's left first.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class FaceDetector(Protocol):
    """Anything that finds faces."""

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the faces in a uint8 `(H, W, 3)` RGB photo, the most confident first."""


class YuNetDetector:
    """YuNet (Wu, Peng, Yu, 2023) through OpenCV's own reader."""

    def __init__(
        self, path: Path, *, score_threshold: float = 0.6, nms_threshold: float = 0.3, longest_side: int = 640
    ) -> None:
        """Read the network.

        Args:
            path: the ONNX file.
            score_threshold: least confidence of a face, 0 to 1.
            nms_threshold: overlap (intersection over union) above which the less confident box goes.
            longest_side: photos are reduced to this many pixels first, since YuNet misses faces above about 300 pixels.

        Raises:
            InputError: OpenCV cannot read the file.
        """
        self._longest_side = longest_side
        try:
            with _quiet_opencv():
                self._network = cv2.FaceDetectorYN.create(
                    str(path), "", (longest_side, longest_side), score_threshold, nms_threshold, _TOP_K
                )
        except cv2.error as error:
            raise InputError(f"OpenCV cannot read the face detector {path} ({error.err}).") from None

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        height, width = rgb.shape[:2]
        factor = min(1.0, self._longest_side / max(height, width))
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        if factor < 1.0:
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize(size)
        _, rows = self._network.detect(bgr)
        if rows is None:
            return []
        back = np.array([width / size[0], height / size[1]], dtype=np.float32)
        return _by_confidence([_from_yunet(row, back) for row in rows])


class ScrfdDetector:
    """SCRFD (Guo et al., 2021) through insightface, from a file on this disk; nothing is downloaded."""

    def __init__(
        self,
        path: Path,
        *,
        session: "onnxruntime.InferenceSession | None" = None,
        score_threshold: float = 0.5,
        nms_threshold: float = 0.4,
        input_size: tuple[int, int] = (640, 640),
    ) -> None:
        """Read the network.

        Args:
            path: the ONNX file; it must give landmarks (9 or 15 outputs).
            session: the file's session where one is open already.
            score_threshold: least confidence of a face, 0 to 1.
            nms_threshold: overlap (intersection over union) above which the less confident box goes.
            input_size: width and height that a photo is scaled into; a network of fixed size keeps its own.

        Raises:
            InputError: the file is not readable ONNX.
        """
        from insightface.model_zoo.scrfd import SCRFD

        self._network = SCRFD(model_file=str(path), session=session or _open_session(path))
        self._network.prepare(-1, nms_thresh=nms_threshold, det_thresh=score_threshold, input_size=input_size)

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        boxes, landmarks = self._network.detect(np.ascontiguousarray(rgb[..., ::-1]))
        return _by_confidence(
            [
                Detection(box[:4].astype(np.float32), float(box[4]), points.astype(np.float32))
                for box, points in zip(boxes, landmarks, strict=True)
            ]
        )


def open_detector(path: Path, *, score_threshold: float | None = None) -> FaceDetector:
    """Open a detector file, told apart by the outputs of its network.

    Args:
        path: the ONNX file.
        score_threshold: least confidence of a face, 0 to 1; None takes what the kind of detector has by default.

    Raises:
        InputError: the file is missing, is not ONNX, or is neither YuNet (2023) nor SCRFD with landmarks.
    """
    session = _open_session(path)
    names = [output.name for output in session.get_outputs()]
    if frozenset(names) == _YUNET_OUTPUTS:
        return YuNetDetector(path) if score_threshold is None else YuNetDetector(path, score_threshold=score_threshold)
    if len(names) in _SCRFD_OUTPUTS:
        if score_threshold is None:
            return ScrfdDetector(path, session=session)
        return ScrfdDetector(path, session=session, score_threshold=score_threshold)
    if len(names) in _SCRFD_OUTPUTS_WITHOUT_LANDMARKS:
        raise InputError(
            f"{path} is an SCRFD detector without landmarks, which alignment needs; "
            "give one of the variants with landmarks ('kps')."
        )
    raise InputError(
        f"{path} is no face detector known here: it has {len(names)} outputs ({', '.join(names[:4])}); "
        "give YuNet (2023) or SCRFD with landmarks as ONNX."
    )


def largest(detections: list[Detection]) -> Detection:
    """Return the detection with the largest box; of equal ones the most confident."""
    return max(detections, key=lambda detection: (detection.area, detection.score))


def _from_yunet(row: np.ndarray, back: np.ndarray) -> Detection:
    corner, extent = row[0:2] * back, row[2:4] * back
    return Detection(np.concatenate([corner, corner + extent]), float(row[14]), row[4:14].reshape(5, 2) * back)


def _by_confidence(detections: list[Detection]) -> list[Detection]:
    return sorted(detections, key=lambda detection: -detection.score)


def _open_session(path: Path) -> "onnxruntime.InferenceSession":
    import onnxruntime

    if not Path(path).is_file():
        raise InputError(f"there is no face detector file {path}.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no other base
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a face detector in readable ONNX form ({reason}).") from None


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV 5 warns on every YuNet that its new engine has no targets, which a user can do nothing about."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
