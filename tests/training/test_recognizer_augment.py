"""The random changes of recognition training: their boxes, their odds, and what they do to pixels."""

import numpy as np
import pytest

from vec2face.config.recognition import RecognitionAugmentation
from vec2face.training.recognition_augment import INTERPOLATIONS, AugmentPlan, augment_image, plan_augmentation

SIZE, COUNT = 112, 600
NOTHING = RecognitionAugmentation(flip=0, crop=0, low_resolution=0, photometric=0, erase=0)


def plan(options: RecognitionAugmentation, *, step: int = 0) -> AugmentPlan:
    return plan_augmentation(options, seed=3, step=step, count=COUNT, size=SIZE)


def faces(count: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)


def only(**changes) -> RecognitionAugmentation:
    return NOTHING.model_copy(update=changes)


def test_without_chances_nothing_changes() -> None:
    pixels = faces()[0]
    assert (augment_image(pixels, plan(NOTHING), 5) == pixels).all()
    assert (plan(NOTHING).erase == 0).all()


def test_chances_are_met() -> None:
    drawn = plan(RecognitionAugmentation())
    whole = (drawn.crop == [0, 0, SIZE, SIZE]).all(axis=1)
    erased = (drawn.erase[:, 2] > drawn.erase[:, 0]).mean()
    for share, chance in (
        (drawn.flip.mean(), 0.5),
        (1 - whole.mean(), 0.3),
        ((drawn.side > 0).mean(), 0.3),
        (drawn.photometric.mean(), 0.3),
        (erased, 0.5),
    ):
        assert share == pytest.approx(chance, abs=0.07)


def test_boxes_lie_inside_and_have_the_areas_and_aspects_asked_for() -> None:
    drawn = plan(only(crop=1.0, erase=1.0))
    for boxes, low, high, aspect in ((drawn.crop, 0.2, 1.0, 4 / 3), (drawn.erase, 0.02, 0.33, 3.4)):
        heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        assert boxes.min() >= 0
        assert boxes.max() <= SIZE
        shares = heights * widths / SIZE**2
        assert low * 0.93 <= shares.min() < low * 1.5
        assert high * 0.8 < shares.max() <= high * 1.02
        ratios = np.maximum(heights / widths, widths / heights)[(heights < SIZE) & (widths < SIZE)]
        assert ratios.max() < aspect * 1.08
    # Places are spread over all that is possible.
    assert drawn.erase[:, 0].min() < 5
    assert drawn.erase[:, 2].max() > SIZE - 5


def test_a_crop_stays_in_place_on_black() -> None:
    pixels, drawn = np.full((SIZE, SIZE, 3), 200, np.uint8), plan(only(crop=1.0))
    top, left, bottom, right = drawn.crop[7]
    changed = augment_image(pixels, drawn, 7)
    assert (changed[top:bottom, left:right] == 200).all()
    assert int((changed == 200).sum()) == 3 * (bottom - top) * (right - left)
    assert int(changed.sum()) == 200 * int((changed == 200).sum())


def test_a_flip_mirrors() -> None:
    pixels = faces()[0]
    assert (augment_image(pixels, plan(only(flip=1.0)), 0) == pixels[:, ::-1]).all()


def test_low_resolution_uses_every_interpolation_and_loses_detail() -> None:
    drawn = plan(only(low_resolution=1.0))
    assert set(drawn.interpolations.ravel().tolist()) == set(range(len(INTERPOLATIONS)))
    assert drawn.side.min() >= int(0.2 * SIZE)
    assert drawn.side.max() <= SIZE
    pixels = faces()[0]
    index = int(drawn.side.argmin())
    changed = augment_image(pixels, drawn, index)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    detail = np.abs(np.diff(pixels.astype(int), axis=0)).mean()
    assert np.abs(np.diff(changed.astype(int), axis=0)).mean() < 0.8 * detail


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_colours_change_as_written_out_for_each_pixel(order: tuple[int, int, int]) -> None:
    pixels = faces()[0][:6, :6]
    factors = np.array([1.3, 0.6, 0.5], np.float32)
    zeros, box = np.zeros(1, np.int64), np.array([[0, 0, 6, 6]])
    drawn = AugmentPlan(
        flip=np.zeros(1, bool),
        crop=box,
        side=zeros,
        interpolations=np.zeros((1, 2), np.int64),
        photometric=np.ones(1, bool),
        factors=factors[None],
        order=np.array([order]),
        erase=np.zeros((1, 4), np.int64),
    )

    def grey(pixel: list[float]) -> float:
        return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]

    expected = [[float(v) for v in pixel] for row in pixels for pixel in row]
    for kind in order:
        mean = sum(grey(pixel) for pixel in expected) / len(expected)
        for n, pixel in enumerate(expected):
            to = {0: 0.0, 1: mean, 2: grey(pixel)}[kind]
            factor = float(factors[kind])
            expected[n] = [min(255.0, max(0.0, factor * v + (1 - factor) * to)) for v in pixel]
    found = augment_image(pixels, drawn, 0).reshape(-1, 3).astype(float)
    assert np.abs(found - np.array(expected)).max() <= 0.51


def test_draws_depend_on_the_step_and_the_place_alone() -> None:
    options = RecognitionAugmentation()
    first, again, other = plan(options), plan(options), plan(options, step=1)
    pixels = faces(8)
    for index in range(8):
        assert (augment_image(pixels[index], first, index) == augment_image(pixels[index], again, index)).all()
    assert (first.crop != other.crop).any()
    assert (first.factors[0] != first.factors[1]).all()
