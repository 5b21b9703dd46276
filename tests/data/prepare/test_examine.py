"""What becomes of one image: aligned, measured, or left out with its reason."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.faces import jpeg
from vec2face.config.preparing import PrepareOptions
from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.detection import Detection
from vec2face.data.prepare.examine import REASONS, Aligner, DetectorAligner, Examined, Examiner, TableAligner
from vec2face.data.prepare.landmarks import COLUMNS, LandmarkTable
from vec2face.data.readers import open_reader
from vec2face.errors import InputError
from vec2face.fileio.images import encode_image

TEMPLATE = np.asarray(ARCFACE_TEMPLATE)


def photo(pixels: np.ndarray | None = None) -> bytes:
    """A 250x250 JPEG of noise, or of the pixels given."""
    noise = np.random.default_rng(0).integers(60, 200, (250, 250, 3)).astype(np.uint8)
    return encode_image(noise if pixels is None else pixels, format="jpeg", quality=95)


def face_at(shift: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    return (TEMPLATE * scale + shift).astype(np.float32)


def examine(tmp_path: Path, data: bytes, aligner: Aligner | None, **options: Any) -> Examined:
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    (folder / "a.jpg").write_bytes(data)
    alignment = "aligned" if aligner is None else "detector"
    return Examiner(open_reader(folder), PrepareOptions(alignment=alignment, **options), aligner).examine(0, 1)[0]


@pytest.fixture
def detecting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DetectorAligner]:
    """Build an aligner whose detector finds the faces given, as (landmarks, side of the box)."""

    def build(*faces: tuple[np.ndarray, float], **options: Any) -> DetectorAligner:
        class Fixed:
            def detect(self, rgb: np.ndarray) -> list[Detection]:
                found = []
                for points, side in faces:
                    centre = points.mean(axis=0)
                    found.append(Detection(np.concatenate([centre - side / 2, centre + side / 2]), 0.9, points))
                return found

        monkeypatch.setattr("vec2face.data.prepare.examine.open_detector", lambda path, score_threshold: Fixed())
        return DetectorAligner(Path("d.onnx"), PrepareOptions(alignment="detector", **options))

    return build


def test_a_face_is_aligned_and_measured(tmp_path: Path, detecting: Callable[..., DetectorAligner]) -> None:
    found = examine(tmp_path, photo(), detecting((face_at((60, 60)), 80)))
    assert (found.reason, found.faces, found.key) == ("", 1, "a.jpg")
    assert found.size == pytest.approx(112, rel=1e-4)
    assert found.crop is not None
    assert found.crop.shape == (112, 112, 3)
    assert found.sharpness is not None
    assert found.sharpness > 100


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("largest", (10, 10)), ("central", (70, 70)), ("drop", None)],
    ids=["largest", "central", "drop"],
)
def test_several_faces(
    tmp_path: Path,
    detecting: Callable[..., DetectorAligner],
    policy: str,
    expected: tuple[float, float] | None,
) -> None:
    aligner = detecting((face_at((70, 70)), 60), (face_at((10, 10)), 90), several_faces=policy)
    found = examine(tmp_path, photo(), aligner)
    assert found.faces == 2
    if expected is None:
        assert (found.reason, found.detail) == ("several faces", "2 faces")
    else:
        alone = examine(tmp_path, photo(), detecting((face_at(expected), 60)))
        assert np.array_equal(found.crop, alone.crop)


def test_reasons_of_the_photo(tmp_path: Path, detecting: Callable[..., DetectorAligner]) -> None:
    good = detecting((face_at((60, 60)), 80))
    cases: list[tuple[bytes, Aligner, dict[str, Any], str, str]] = [
        (b"text", good, {}, "not an image", "a.jpg is not an image"),
        (photo()[:3000], good, {}, "not an image", "damaged or truncated"),
        (photo(), good, {"min_size": 113}, "too small", "112 pixels, at least 113 wanted"),
        (photo(), good, {"min_brightness": 150, "max_brightness": 160}, "too dark", "brightness 1"),
        (photo(), good, {"max_brightness": 100}, "too bright", "at most 100 wanted"),
        (photo(np.full((250, 250, 3), 90, np.uint8)), good, {}, "too blurred", "sharpness 0.0, at least 12 wanted"),
        (photo(np.zeros((250, 250, 3), np.uint8)), good, {}, "too dark", "brightness 0, at least 20 wanted"),
    ]
    for data, aligner, options, reason, detail in cases:
        found = examine(tmp_path, data, aligner, **options)
        assert found.reason == reason
        assert detail in found.detail
    for faces, reason, detail in (
        ((), "no face", ""),
        (((face_at((190, 60)), 80),), "cut off", "46% of the crop lies outside the photo, at most 30% wanted"),
        (((face_at((60, 60), 0.0), 80),), "bad landmarks", "coincide"),
    ):
        found = examine(tmp_path, photo(), detecting(*faces))
        assert found.reason == reason
        assert detail in found.detail
        assert found.reason in REASONS


def test_a_cut_face_that_is_kept_carries_its_real_region(
    tmp_path: Path, detecting: Callable[..., DetectorAligner]
) -> None:
    found = examine(tmp_path, photo(), detecting((face_at((190, 60)), 80)), max_outside=0.5)
    assert found.reason == ""
    assert found.corners is not None
    assert found.corners[:, 0].max() == pytest.approx(60, abs=0.1)


def test_aligned_crops_keep_their_bytes(tmp_path: Path) -> None:
    found = examine(tmp_path, jpeg(0), None)
    assert (found.reason, found.encoded) == ("", jpeg(0))
    assert examine(tmp_path, jpeg(0), None, format="png").encoded is None
    grey = encode_image(np.full((112, 112, 3), 9, np.uint8), format="png")
    assert examine(tmp_path, grey, None, min_sharpness=0, min_brightness=0).encoded is None
    wrong = examine(tmp_path, jpeg(0, size=98), None)
    assert (wrong.reason, wrong.detail) == ("wrong size", "98x98 pixels")


def write_table(path: Path, rows: list[list[Any]], header: tuple[str, ...] = ("key", *COLUMNS)) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
    return path


def test_landmarks_from_a_table(tmp_path: Path) -> None:
    points = face_at((60, 60))
    table = write_table(tmp_path / "t.csv", [["b.jpg", *range(10)], ["a.jpg", *points.ravel()]])
    assert np.allclose(LandmarkTable(table).find("a.jpg"), points)
    found = examine(tmp_path, photo(), TableAligner(table))
    assert (found.reason, found.faces) == ("", None)
    missing = examine(tmp_path, photo(), TableAligner(write_table(tmp_path / "e.csv", [])))
    assert missing.reason == "no landmarks"


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], ("key", "x1"), "has no column 'y1'"),
        ([["a", *range(9), "x"]], ("key", *COLUMNS), "line 2: a landmark is not a number"),
        ([["a", *range(9)]], ("key", *COLUMNS), "line 2: a landmark is not a number"),
        ([["a", *range(9), "inf"]], ("key", *COLUMNS), "line 2: a landmark is not a number"),
        ([["a", *range(10)], ["b", *range(10)], ["a", *range(10)]], ("key", *COLUMNS), "twice, in rows 2 and 4"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, rows: list[list[Any]], header: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LandmarkTable(write_table(tmp_path / "t.csv", rows, header))


def test_an_examiner_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    examiner = Examiner(open_reader(tmp_path), PrepareOptions(alignment="aligned"), None)
    sent = pickle.loads(pickle.dumps(examiner))  # noqa: S301  our own bytes
    assert sent.examine(0, 1)[0].digest == examiner.examine(0, 1)[0].digest


@pytest.mark.development_data
def test_real_photos_are_found_and_aligned(shared: Path) -> None:
    options = PrepareOptions(alignment="detector")
    aligner = DetectorAligner(shared / "weights" / "yunet_n_dynamic.onnx", options)
    examiner = pickle.loads(pickle.dumps(Examiner(open_reader(shared / "data" / "photos"), options, aligner)))  # noqa: S301
    assert [face.reason for face in examiner.examine(0, 3)] == [""] * 3
