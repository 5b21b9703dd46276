"""Measures of a crop, against cases whose answer is known."""

import cv2
import numpy as np
import pytest

from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.alignment import align, similarity_transform
from vec2face.data.prepare.quality import brightness, coverage, sharpness, whole_crop


def test_blur_lowers_sharpness_and_leaves_brightness() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (112, 112, 3)).astype(np.uint8)
    values = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
    assert brightness(np.full((112, 112, 3), 90, np.uint8)) == 90


def test_the_surround_plays_no_part() -> None:
    crop = np.full((112, 112, 3), 100, np.uint8)
    crop[:20], crop[:, :15], crop[108:] = 255, 0, 255
    assert (brightness(crop), sharpness(crop)) == (100, 0)


def test_coverage_agrees_with_the_black_that_alignment_leaves() -> None:
    template = np.asarray(ARCFACE_TEMPLATE)
    photo = np.full((150, 180, 3), 255, np.uint8)
    for shift, scale in (((40, 20), 1.0), ((-30, 10), 1.0), ((120, 90), 0.8), ((-20, -40), 1.3)):
        points = template * scale + shift
        found = coverage(similarity_transform(points, template), width=180, height=150)
        black = float((align(photo, points) < 128).all(axis=2).mean())
        assert found.outside == pytest.approx(black, abs=0.03)


def test_corners_are_those_of_the_photo() -> None:
    inside = coverage(np.array([[1.0, 0, -10], [0, 1, -10]]), width=200, height=200)
    assert inside.outside == 0
    assert np.array_equal(inside.corners, whole_crop())
    half = coverage(np.array([[1.0, 0, 56], [0, 1, 0]]), width=112, height=112)
    assert half.outside == pytest.approx(0.5)
    assert half.corners.tolist() == [[56, 0], [168, 0], [168, 112], [56, 112]]
