"""Landmark pictures and the files of landmarks."""

import json
from pathlib import Path

import numpy as np
import pytest

from vec2face.config.pose import LandmarkStyle
from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.landmarks.files import read_picture, read_points
from vec2face.data.landmarks.picture import draw_landmarks, to_aligned
from vec2face.errors import InputError
from vec2face.fileio.images import encode_image

TEMPLATE = np.asarray(ARCFACE_TEMPLATE)


def test_dots_stand_where_the_landmarks_are() -> None:
    style = LandmarkStyle(radius=3, colour=(250, 10, 100), background=(0, 20, 40))
    picture = draw_landmarks(TEMPLATE, style)
    assert picture.shape == (112, 112, 3)
    assert picture.dtype == np.uint8
    assert tuple(picture[5, 5]) == (0, 20, 40)
    for x, y in TEMPLATE:
        assert tuple(picture[round(y), round(x)]) == (250, 10, 100)
    # Coverage of the disc: its area, and its centre of mass, to a fraction of a pixel.
    covered = draw_landmarks(np.array([[40.3, 60.7]]), LandmarkStyle(radius=3, colour=(255,) * 3))[..., 0] / 255
    rows, columns = np.mgrid[:112, :112]
    assert covered.sum() == pytest.approx(np.pi * 9, rel=0.02)
    assert (columns * covered).sum() / covered.sum() == pytest.approx(40.3, abs=0.05)
    assert (rows * covered).sum() / covered.sum() == pytest.approx(60.7, abs=0.05)


def test_landmarks_outside_are_not_seen_and_those_that_are_not_finite_are_refused() -> None:
    style = LandmarkStyle()
    assert draw_landmarks(np.array([[-50.0, 10.0]]), style).max() == 0
    with pytest.raises(InputError, match="not finite"):
        draw_landmarks(np.array([[np.nan, 10.0]]), style)


def test_points_of_any_picture_are_brought_to_the_crop(tmp_path: Path) -> None:
    turn = np.array([[0.0, 3.0], [-3.0, 0.0]])
    points = TEMPLATE @ turn + 200
    np.testing.assert_allclose(to_aligned(points), TEMPLATE, atol=1e-9)
    (tmp_path / "points.json").write_text(json.dumps(points.tolist()))
    (tmp_path / "points.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in points))
    for name in ("points.json", "points.csv"):
        np.testing.assert_allclose(read_points(tmp_path / name), points)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "x,y\n1,2\n", "must hold 5 points"),
        ("a.csv", "u,v\n1,2\n", "holds no landmarks; give CSV with the columns x,y"),
        ("a.json", "{", "holds no landmarks"),
        ("a.json", "[[1,2],[3,4],[5,6],[7,8],[9,NaN]]", "must hold 5 points"),
        ("a.json", '[["a",2]]', "holds no landmarks"),
    ],
)
def test_files_without_points_are_one_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as mistake:
        read_points(tmp_path / name)
    assert sentence in str(mistake.value)
    with pytest.raises(InputError, match="cannot read the landmarks"):
        read_points(tmp_path / "missing.csv")


def test_pictures_keep_their_pixels_and_must_fit(tmp_path: Path) -> None:
    picture = draw_landmarks(TEMPLATE, LandmarkStyle())
    (tmp_path / "p.png").write_bytes(encode_image(picture, format="png"))
    assert np.array_equal(read_picture(tmp_path / "p.png"), picture)
    (tmp_path / "small.png").write_bytes(encode_image(picture[:64], format="png"))
    with pytest.raises(InputError, match="has 112x64 pixels; a landmark picture has 112x112"):
        read_picture(tmp_path / "small.png")
    with pytest.raises(InputError, match="cannot read the landmark picture"):
        read_picture(tmp_path / "none.png")
