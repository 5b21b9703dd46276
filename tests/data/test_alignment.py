"""The transform is the least-squares one, and aligned pixels come from where it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vec2face.contracts import ARCFACE_TEMPLATE
from vec2face.data.alignment import align, enlargement, similarity_transform
from vec2face.errors import InputError

TEMPLATE = np.asarray(ARCFACE_TEMPLATE)


def similarity(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


@given(st.floats(0.05, 20), st.floats(-np.pi, np.pi), st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)))
def test_a_known_transform_is_recovered(scale: float, angle: float, shift: tuple[float, float]) -> None:
    matrix = similarity(scale, angle, shift)
    np.testing.assert_allclose(similarity_transform(TEMPLATE, applied(matrix, TEMPLATE)), matrix, atol=1e-6)


@given(st.integers(0, 2**32))
def test_noisy_points_get_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 100, (5, 2)), rng.uniform(0, 100, (5, 2))
    # The slow way: x' = a x - b y + c, y' = b x + a y + d as ten linear equations in four unknowns.
    zero, one = np.zeros(5), np.ones(5)
    x, y = source.T
    equations = np.vstack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])
    a, b, c, d = np.linalg.lstsq(equations, np.concatenate([target[:, 0], target[:, 1]]), rcond=None)[0]
    np.testing.assert_allclose(similarity_transform(source, target), [[a, -b, c], [b, a, d]], atol=1e-6)


@pytest.mark.parametrize("points", [np.full((5, 2), 3.0), np.full((5, 2), np.nan)])
def test_points_that_define_no_transform_are_refused(points: np.ndarray) -> None:
    with pytest.raises(InputError, match="landmarks coincide or are not finite"):
        similarity_transform(points, TEMPLATE)


def test_a_face_in_position_is_returned_as_it_is() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align(crop, TEMPLATE), crop)


def smooth_photo(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
def test_pixels_come_from_where_the_landmarks_are(scale: float, angle: float) -> None:
    photo = smooth_photo(1300, 1400)
    centre = applied(similarity(scale, angle, (0, 0)), np.array([[56.0, 56.0]]))[0]
    matrix = similarity(scale, angle, (700 - centre[0], 650 - centre[1]))
    crop = align(photo, applied(matrix, TEMPLATE))
    for point in [*TEMPLATE.round().astype(int), np.array([20, 100])]:
        x, y = applied(matrix, point[None])[0].round().astype(int)
        assert np.abs(crop[point[1], point[0]].astype(int) - photo[y, x]).max() <= 2
    assert enlargement(applied(matrix, TEMPLATE)) == pytest.approx(1 / scale, rel=1e-9)


def test_outside_the_photo_is_black() -> None:
    crop = align(np.full((112, 112, 3), 200, np.uint8), TEMPLATE - 56)
    assert (crop[:50, :50] == 0).all()
    assert (crop[60:, 60:] == 200).all()


def test_a_large_photo_is_averaged_not_sampled() -> None:
    y, x = np.mgrid[:1120, :1120]
    chequered = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = align(chequered, TEMPLATE * 10)
    assert np.abs(crop[5:-5, 5:-5].astype(int) - 127).max() <= 2
