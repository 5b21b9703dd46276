"""Poses measured through a detector: where it looks, and that its looks are brought together in the crop's frame."""

import csv
import tarfile
from pathlib import Path

import numpy as np
import pytest

from vec2face.config.pose import LandmarkStyle
from vec2face.data.detection import Detection, YuNetDetector
from vec2face.data.landmarks.head import HeadPose, aligned_landmarks
from vec2face.data.landmarks.measure import measure_face
from vec2face.data.landmarks.picture import draw_landmarks
from vec2face.fileio.images import decode_image

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))


class DotDetector:
    """Finds each landmark as the centre of the pixels of its colour; sees nothing in the looks numbered `blind`."""

    def __init__(self, blind: tuple[int, ...] = ()) -> None:
        self.blind, self.looks = blind, 0

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        self.looks += 1
        if self.looks - 1 in self.blind:
            return []
        rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
        found = []
        for colour in COLOURS:
            near = (np.abs(rgb.astype(int) - colour).max(axis=2) < 100).astype(float)
            found.append([(columns * near).sum() / near.sum(), (rows * near).sum() / near.sum()])
        # A mirrored face has its left eye left again.
        points = np.array(found, np.float32)
        if points[0, 0] > points[1, 0]:
            points = points[[1, 0, 2, 4, 3]]
        box = np.array([0, 0, *rgb.shape[1::-1]], np.float32)
        return [Detection(box, 0.9, points)]


def crop(pose: HeadPose) -> np.ndarray:
    layers = [
        draw_landmarks(point[None], LandmarkStyle(radius=3, colour=colour))
        for point, colour in zip(aligned_landmarks(pose), COLOURS, strict=True)
    ]
    return np.max(layers, axis=0)


@pytest.mark.parametrize("pose", [HeadPose(), HeadPose(yaw=35), HeadPose(yaw=-30, pitch=10)])
def test_looks_are_brought_together_in_the_crop(pose: HeadPose) -> None:
    found = measure_face(crop(pose), DotDetector())
    assert found is not None
    assert found.looks == 4
    assert np.abs(found.landmarks - aligned_landmarks(pose)).max() < 0.1
    assert found.pose.yaw == pytest.approx(pose.yaw, abs=1)
    assert found.pose.pitch == pytest.approx(pose.pitch, abs=1)


def test_looks_without_a_face_are_left_out() -> None:
    pose = HeadPose(yaw=20)
    found = measure_face(crop(pose), DotDetector(blind=(0, 3)))
    assert found is not None
    assert found.looks == 2
    assert found.pose.yaw == pytest.approx(20, abs=1)
    assert measure_face(crop(pose), DotDetector(blind=(0, 1, 2, 3))) is None


@pytest.mark.development_data
def test_real_crops_agree_with_landmarks_found_before(shared: Path) -> None:
    """YuNet in the aligned crop against angles from MTCNN's landmarks in the source picture."""
    table, crops = shared / "data" / "utkface112.csv", shared / "data" / "utkface112.tar"
    network = shared / "weights" / "yunet_n_dynamic.onnx"
    if not (table.is_file() and crops.is_file() and network.is_file()):
        pytest.skip("no labelled crops or no detector beside the project")
    with open(table, newline="") as stream:
        rows = [row for _, row in zip(range(400), csv.DictReader(stream), strict=False)]
    yaws = {row["key"]: float(row["yaw"]) for row in rows}
    chosen = {f"{key}.jpg": yaw for key, yaw in sorted(yaws.items(), key=lambda item: item[1])[::50]}
    detector, pairs = YuNetDetector(network), []
    with tarfile.open(crops) as archive:
        for member in archive:
            if member.name in chosen:
                stream = archive.extractfile(member)
                assert stream is not None
                found = measure_face(decode_image(stream.read(), where=member.name), detector)
                assert found is not None
                pairs.append((found.pose.yaw, chosen[member.name]))
            if len(pairs) == len(chosen):
                break
    measured, labelled = np.array(pairs).T
    assert np.corrcoef(measured, labelled)[0, 1] > 0.9
