"""From a table of landmarks to a table of angles."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vec2face.data.landmarks.head import HeadPose, aligned_landmarks
from vec2face.data.landmarks.pose_labels import POINTS, PoseLabels, write_pose_labels
from vec2face.errors import InputError
from vec2face_cli.main import cli

COLUMNS = [f"{point}_{axis}" for point in POINTS for axis in "xy"]


def write_table(path: Path, faces: dict[str, np.ndarray]) -> Path:
    with open(path, "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["key", "age", *COLUMNS])
        for number, (key, points) in enumerate(faces.items()):
            table.writerow([key, 20 + number if number else "", *points.ravel()])
    return path


def test_angles_are_those_of_the_aligned_crop(tmp_path: Path) -> None:
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    turned = aligned_landmarks(HeadPose(yaw=25, pitch=-10))
    odd = turned.copy()
    odd[2] = (0, 0)
    # A photo of the same head, larger, elsewhere and on its side: its crop is the same.
    faces = {"a": turned, "b": turned @ quarter * 3.1 + 400, "c": odd}
    written = write_pose_labels(write_table(tmp_path / "in.csv", faces), tmp_path / "out.csv", keep=["age"])
    assert written == PoseLabels(faces=3, misfits=1)
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["key"] for row in rows] == ["a", "b", "c"]
    assert [row["age"] for row in rows] == ["", "21", "22"]
    for row in rows[:2]:
        assert float(row["yaw"]) == pytest.approx(25, abs=0.1)
        assert float(row["pitch"]) == pytest.approx(-10, abs=0.1)
    assert rows[0]["roll"] == rows[1]["roll"]
    assert rows[2]["yaw"] == rows[2]["pitch"] == rows[2]["roll"] == ""


def test_tables_that_cannot_be_used_are_one_sentence(tmp_path: Path) -> None:
    good = write_table(tmp_path / "in.csv", {"a": aligned_landmarks(HeadPose())})
    with pytest.raises(InputError, match="has no column sex"):
        write_pose_labels(good, tmp_path / "out.csv", keep=["sex"])
    bad = write_table(tmp_path / "bad.csv", {"a": np.full((5, 2), np.nan)})
    with pytest.raises(InputError, match="line 2: the landmarks of a are no numbers"):
        write_pose_labels(bad, tmp_path / "out.csv", keep=[])
    with pytest.raises(InputError, match="holds no faces"):
        write_pose_labels(write_table(tmp_path / "empty.csv", {}), tmp_path / "out.csv", keep=[])
    with pytest.raises(InputError, match="cannot read the landmarks"):
        write_pose_labels(tmp_path / "none.csv", tmp_path / "out.csv", keep=[])
    assert not (tmp_path / "out.csv").exists()


def test_the_command_says_how_many_faces_it_labelled(tmp_path: Path) -> None:
    table = write_table(tmp_path / "in.csv", {"a": aligned_landmarks(HeadPose())})
    result = CliRunner().invoke(
        cli, ["attributes", "label-pose", str(table), "--out", str(tmp_path / "out.csv")], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "angles of 1 faces; the landmarks of 0 fit no head" in result.stdout
    again = CliRunner().invoke(cli, ["attributes", "label-pose", str(table), "--out", str(tmp_path / "out.csv")])
    assert again.exit_code != 0
