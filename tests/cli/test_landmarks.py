"""`vec2face landmarks` and the pose options of `vec2face generate`."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.commands import mistake, run
from tests.networks import tiny_generator
from vec2face.config.pose import LandmarkStyle
from vec2face.data import detection
from vec2face.data.detection import Detection
from vec2face.data.landmarks.head import HeadPose, aligned_landmarks, measure_poses
from vec2face.data.landmarks.picture import draw_landmarks
from vec2face.fileio.images import decode_image, encode_image


class Nearby:
    """Finds one face whose landmarks are those of a head turned by 25 degrees, wherever it looks."""

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        if not rgb.any():
            return []
        points = aligned_landmarks(HeadPose(25)).astype(np.float32) * 4 + 3
        return [Detection(np.array([0, 0, 9, 9], np.float32), 0.9, points)]


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    network = tmp_path / "any.onnx"
    network.write_bytes(b"a network")
    monkeypatch.setattr(detection, "open_detector", lambda path: Nearby())
    return network


def test_landmarks_are_drawn_from_angles_points_and_photos(tmp_path: Path, detector: Path) -> None:
    out = tmp_path / "l.png"
    assert run("landmarks", "draw", "--yaw", 25, "--radius", 3, "--colour", 255, 0, 0, "--out", out).exit_code == 0
    style = LandmarkStyle(radius=3, colour=(255, 0, 0))
    expected = draw_landmarks(aligned_landmarks(HeadPose(25)), style)
    assert np.array_equal(decode_image(out.read_bytes(), where="l"), expected)
    points = tmp_path / "points.json"
    points.write_text(json.dumps((aligned_landmarks(HeadPose(25)) * 2).tolist()))
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode_image(np.full((40, 40, 3), 99, np.uint8), format="png"))
    more = ("--radius", 3, "--colour", 255, 0, 0, "--out", out)
    for given in (("--points", points), ("--photo", photo, "--detector", "any.onnx")):
        assert "exists already" in mistake("landmarks", "draw", *given, *more)
        assert run("landmarks", "draw", *given, *more, "--overwrite").exit_code == 0
        assert np.abs(decode_image(out.read_bytes(), where="l").astype(int) - expected).max() <= 2
    assert "one of them" in mistake("landmarks", "draw", "--yaw", 3, "--points", points, "--out", tmp_path / "n.png")
    assert "belong together" in mistake("landmarks", "draw", "--photo", photo, "--out", tmp_path / "n.png")


def test_poses_are_measured_and_faces_not_found_are_left_blank(tmp_path: Path, detector: Path) -> None:
    for name, value in (("a.png", 120), ("b.png", 0)):
        (tmp_path / name).write_bytes(encode_image(np.full((112, 112, 3), value, np.uint8), format="png"))
    out = tmp_path / "poses.csv"
    done = run("landmarks", "measure", tmp_path / "a.png", tmp_path / "b.png", "--detector", detector, "--out", out)
    assert done.stdout == f"{out}: 1 of 2 faces found\n"
    first, second = csv.DictReader(out.read_text().splitlines())
    assert (first["looks"], second["looks"], second["yaw"]) == ("4", "0", "")
    shown = run("landmarks", "measure", tmp_path / "a.png", "--detector", detector)
    assert shown.stdout.startswith("file,yaw,pitch,roll,misfit,looks,x1,y1,x2,y2,")
    points = np.array([[float(first[f"{axis}{number}"]) for axis in "xy"] for number in range(1, 6)])
    assert measure_poses(points[None])[0][0, 0] == pytest.approx(float(first["yaw"]), abs=0.01)
    assert second["x1"] == ""
    nowhere = tmp_path / "nobody.csv"
    nobody = mistake("landmarks", "measure", tmp_path / "b.png", "--detector", detector, "--out", nowhere)
    assert not list(tmp_path.glob("nobody.csv*"))
    assert "no face in any of the 1 pictures" in nobody
    assert "PICTURES, or a pack with --data" in mistake("landmarks", "measure", "--detector", detector)


def test_a_stopped_measurement_goes_on_where_it_was(
    tmp_path: Path, detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    (folder / "table.json").write_text("{}")
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encode_image(np.full((112, 112, 3), 120, np.uint8), format="png"))
    asked = ("landmarks", "measure", folder, "--detector", detector, "--out")
    assert run(*asked, tmp_path / "quiet.csv").exit_code == 0
    (folder / "2.png").write_bytes(b"no picture")
    out, unfinished = tmp_path / "poses.csv", tmp_path / "poses.csv.partial"
    assert "2.png" in mistake(*asked, out)
    assert unfinished.exists()
    assert not out.exists()
    (folder / "2.png").write_bytes((folder / "3.png").read_bytes())
    detector.write_bytes(b"another network")
    assert "asked for with another detector" in mistake(*asked, out)
    detector.write_bytes(b"a network")
    looks: list[int] = []
    detect = Nearby.detect
    monkeypatch.setattr(Nearby, "detect", lambda self, rgb: looks.append(1) or detect(self, rgb))
    assert run(*asked, out).exit_code == 0
    assert len(looks) == 2 * 4  # the two crops that were left, four looks at each
    assert out.read_bytes() == (tmp_path / "quiet.csv").read_bytes()
    assert not unfinished.exists()


def test_the_poses_of_a_pack_are_labels_by_the_names_of_its_faces(tmp_path: Path, detector: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode_image(np.full((112, 112, 3), 120, np.uint8), format="png"))
    assert run("data", "pack", "--from", tmp_path, "--out", tmp_path / "pack").exit_code == 0
    out = tmp_path / "labels.csv"
    done = run("landmarks", "measure", "--data", tmp_path / "pack", "--detector", detector, "--out", out)
    assert done.stdout == f"{out}: 2 of 2 faces found\n"
    assert [row["key"] for row in csv.DictReader(out.read_text().splitlines())] == ["a.png", "b.png"]
    (tmp_path / "known.csv").write_text("key,age\na.png,30\n")
    asked = ("landmarks", "measure", "--data", tmp_path / "pack", "--detector", detector, "--skip")
    shown = run(*asked, tmp_path / "known.csv").stdout.splitlines()
    assert [line.partition(",")[0] for line in shown] == ["key", "b.png"]
    (tmp_path / "known.csv").write_text("key\na.png\nb.png\n")
    assert "names every face of" in mistake(*asked, tmp_path / "known.csv")
    assert "cannot read the labels" in mistake(*asked, tmp_path / "a.png")
    (tmp_path / "known.csv").write_text("name\na.png\n")
    assert "has no column key" in mistake(*asked, tmp_path / "known.csv")
    alone = (
        "landmarks",
        "measure",
        tmp_path / "a.png",
        "--detector",
        tmp_path / "any",
        "--skip",
        tmp_path / "known.csv",
    )
    assert "name it with --data" in mistake(*alone)


def test_generate_takes_views_and_landmarks(tmp_path: Path, tiny_generator_dir: Path) -> None:
    tiny_generator(lora_rank=2, pose_condition=True).save_pretrained(tmp_path / "plus")
    (tmp_path / "marks").mkdir()
    for yaw in (-30, 30):
        run("landmarks", "draw", "--yaw", yaw, "--out", tmp_path / "marks" / f"{yaw}.png")
    common = ["generate", "--source", "gaussian", "--identities", 2, "--images-per-identity", 4, "--audit", "none"]
    common += ["--workers", 1, "--batch-size", 4, "--weights"]
    asked = ["--view", "yaw=-60..-20,pitch=5,share=2", "--landmarks", tmp_path / "marks", "--adapter-strength", 0.5]
    done = run(*common, tmp_path / "plus", *asked, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    table = pq.read_table(tmp_path / "out" / "metadata.parquet").to_pylist()
    assert Counter(row["view"] for row in table) == {0: 4, 1: 2, 2: 2}
    for row in table:
        assert (row["view_yaw"] is None) == (row["view"] > 0)
        assert row["view"] > 0 or (-60 <= row["view_yaw"] <= -20 and row["view_pitch"] == 5)
    refused = tmp_path / "refused"
    assert "no pose condition" in mistake(*common, tiny_generator_dir, *asked, "--out", refused)
    assert "say which by pose.views" in mistake(*common, tmp_path / "plus", "--out", refused)
    assert "is not NAME=DEGREES" in mistake(*common, tmp_path / "plus", "--view", "yaw:3", "--out", refused)
    assert "gives yaw twice" in mistake(*common, tmp_path / "plus", "--view", "yaw=3,yaw=4", "--out", refused)
    assert "less than or equal to 90" in mistake(*common, tmp_path / "plus", "--view", "yaw=120", "--out", refused)
    assert not refused.exists()
