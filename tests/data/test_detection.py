"""Detectors are told apart by their outputs, speak RGB, and give boxes and landmarks in the photo's own pixels."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vec2face.data.detection import Detection, ScrfdDetector, YuNetDetector, largest, open_detector
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image

SIDE = 64
STRIDES = (8, 16, 32)
ANCHORS = 2


def network(path: Path, outputs: dict[str, np.ndarray], *, reds: frozenset[str] = frozenset()) -> Path:
    """An ONNX file with constant outputs; those in `reds` times the mean of the first channel."""
    nodes, results = [], []
    constants = [numpy_helper.from_array(np.array(0, np.int64), "first")]
    nodes.append(helper.make_node("Gather", ["input", "first"], ["channel"], axis=1))
    nodes.append(helper.make_node("ReduceMean", ["channel"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Relu", ["mean"], ["redness"]))
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        if name in reds:
            nodes.append(helper.make_node("Mul", [f"{name}_value", "redness"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{name}_value"], [name]))
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "detector", [image], results, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def scrfd_outputs() -> dict[str, np.ndarray]:
    """One face on the stride-8 level at the cell (row 3, column 4): distances and offsets are in strides."""
    outputs = {}
    for part, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in STRIDES:
            outputs[f"{part}_{stride}"] = np.zeros(((SIDE // stride) ** 2 * ANCHORS, width), np.float32)
    anchor = (3 * (SIDE // 8) + 4) * ANCHORS
    outputs["score_8"][anchor] = 0.95
    outputs["bbox_8"][anchor] = [1, 2, 3, 2.5]
    outputs["kps_8"][anchor] = [-0.5, -1, 0.5, -1, 0, 0, -0.5, 1, 0.5, 1.5]
    return outputs


CENTRE = np.array([32.0, 24.0])
LANDMARKS = CENTRE + 8 * np.array([[-0.5, -1], [0.5, -1], [0, 0], [-0.5, 1], [0.5, 1.5]])


def coloured(height: int, width: int, channel: int) -> np.ndarray:
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., channel] = 255
    return photo


def test_scrfd_is_recognised_and_its_face_comes_in_photo_pixels(tmp_path: Path) -> None:
    detector = open_detector(network(tmp_path / "detector.onnx", scrfd_outputs()))
    assert isinstance(detector, ScrfdDetector)
    for factor in (1, 3):
        (face,) = detector.detect(np.zeros((SIDE * factor, SIDE * factor, 3), np.uint8))
        np.testing.assert_allclose(face.box, factor * np.array([24, 8, 56, 44]), atol=1e-4)
        np.testing.assert_allclose(face.landmarks, factor * LANDMARKS, atol=1e-4)
        assert face.score == pytest.approx(0.95)
        assert face.area == pytest.approx(32 * 36 * factor**2, rel=1e-5)


def test_scrfd_is_given_red_as_red(tmp_path: Path) -> None:
    detector = open_detector(network(tmp_path / "d.onnx", scrfd_outputs(), reds=frozenset({"score_8"})))
    assert len(detector.detect(coloured(SIDE, SIDE, 0))) == 1
    assert detector.detect(coloured(SIDE, SIDE, 2)) == []


def outputs_named(*names: str) -> dict[str, np.ndarray]:
    return {name: np.zeros((1, 1), np.float32) for name in names}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("embedding",), r"no face detector known here: it has 1 outputs \(embedding\)"),
        (tuple("abcdef"), "SCRFD detector without landmarks"),
        (tuple("abcdefghijkl"), "no face detector known here: it has 12 outputs"),
    ],
)
def test_other_networks_are_refused_with_the_file_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    path = network(tmp_path / "yunet_scrfd.onnx", outputs_named(*names))
    with pytest.raises(InputError, match=message) as caught:
        open_detector(path)
    assert "yunet_scrfd.onnx" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not ONNX", b"\x08\x07" * 40])
def test_a_file_that_is_not_onnx_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.onnx is not a face detector in readable ONNX form"):
        open_detector(tmp_path / "odd.onnx")
    with pytest.raises(InputError, match=r"OpenCV cannot read the face detector .*odd\.onnx"):
        YuNetDetector(tmp_path / "odd.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no face detector file .*missing\.onnx"):
        open_detector(tmp_path / "missing.onnx")


def test_the_largest_face_wins_and_of_equal_ones_the_most_confident() -> None:
    def face(side: float, score: float) -> Detection:
        return Detection(np.array([10, 10, 10 + side, 10 + side]), score, np.zeros((5, 2)))

    faces = [face(5, 0.99), face(20, 0.7), face(20, 0.8)]
    assert largest(faces) is faces[2]


@pytest.fixture(scope="module")
def yunet(shared: Path) -> YuNetDetector:
    detector = open_detector(shared / "weights" / "yunet_n_dynamic.onnx")
    assert isinstance(detector, YuNetDetector)
    return detector


@pytest.fixture(scope="module")
def photo(shared: Path) -> np.ndarray:
    path = shared / "data" / "photos" / "Colin_Powell_0001.jpg"
    return decode_image(path.read_bytes(), where=path.name)


@pytest.mark.development_data
def test_yunet_scales_its_answer_back_to_a_large_photo(yunet: YuNetDetector, photo: np.ndarray) -> None:
    small = largest(yunet.detect(photo))
    # 8 times as large, in the corner of a wide frame: without reduction YuNet would miss a face of 1000 pixels.
    large = np.zeros((2100, 3000, 3), np.uint8)
    large[100:, 500:2500] = cv2.resize(photo, (2000, 2000), interpolation=cv2.INTER_CUBIC)
    found = largest(yunet.detect(large))
    np.testing.assert_allclose((found.landmarks - [500, 100]) / 8, small.landmarks, atol=10)
    np.testing.assert_allclose((found.box - [500, 100, 500, 100]) / 8, small.box, atol=15)


@pytest.mark.development_data
def test_yunet_landmarks_are_in_the_template_order(yunet: YuNetDetector, photo: np.ndarray) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = largest(yunet.detect(photo)).landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.development_data
def test_yunet_finds_nothing_where_nothing_is(yunet: YuNetDetector) -> None:
    assert yunet.detect(np.full((200, 300, 3), 90, np.uint8)) == []
    assert yunet.detect(np.zeros((1, 1, 3), np.uint8)) == []
