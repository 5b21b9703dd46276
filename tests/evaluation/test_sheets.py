"""A sheet shows the very pixels it is given, where its layout says."""

import numpy as np
import pytest
from PIL import Image

from vec2face.errors import ContractError, StorageError
from vec2face.evaluation import sheets
from vec2face.evaluation.sheets import SheetRow, draw_sheet, person_sheet, reconstruction_sheet, save_sheet

RNG = np.random.default_rng(0)


def faces(count, size=24):
    return [RNG.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def places(sheet, image):
    """Top-left corners at which the sheet shows an image."""
    pixels = np.asarray(sheet)
    height, width, _ = image.shape
    hits = np.argwhere((pixels[: -height + 1, : -width + 1] == image[0, 0]).all(axis=2))
    return [(x, y) for y, x in hits.tolist() if (pixels[y : y + height, x : x + width] == image).all()]


def test_every_image_stands_in_its_row_and_column():
    images = faces(5)
    sheet = draw_sheet([SheetRow("one", images[:3]), SheetRow("two\nlines", images[3:])], title="Title", note="note")
    (first,), (second,), (third,), (fourth,), (fifth,) = (places(sheet, image) for image in images)
    step = 24 + sheets.GAP
    assert second == (first[0] + step, first[1])
    assert third == (first[0] + 2 * step, first[1])
    assert fourth[0] == first[0]
    assert fourth[1] == first[1] + 24 + sheets.ROW_GAP
    assert fifth == (fourth[0] + step, fourth[1])


def test_labels_captions_and_titles_leave_ink():
    def ink(**changes):
        row = SheetRow(**{"label": "", "images": [np.full((24, 24, 3), 255, np.uint8)] * 2, **changes})
        return int((np.asarray(draw_sheet([row], title="")) < 128).any(axis=2).sum())

    assert ink() == 0
    assert ink(label="identity 7") > 20
    assert ink(captions=("0.31", "0.52")) > 20


def test_a_split_row_has_a_wider_gap():
    images = faces(4)
    sheet = draw_sheet([SheetRow("", images, split=2)], title="")
    left = [places(sheet, image)[0][0] for image in images]
    assert np.diff(left).tolist() == [26, 26 + sheets.SPLIT_GAP, 26]
    assert sheet.width == left[-1] + 24 + sheets.MARGIN


def test_a_long_title_widens_the_sheet():
    narrow = draw_sheet([SheetRow("", faces(1))], title="a")
    wide = draw_sheet([SheetRow("", faces(1))], title="a long title " * 5)
    assert wide.width > narrow.width + 200


def test_a_persons_images_wrap():
    images = faces(7)
    sheet = person_sheet(images, [str(n) for n in range(7)], title="person", columns=3)
    tops = [places(sheet, image)[0][1] for image in images]
    assert len(set(tops)) == 3
    assert tops[0] == tops[2] < tops[3]


def test_rebuilt_faces_stand_under_the_real_ones():
    real, rebuilt = np.stack(faces(5)), np.stack(faces(5))
    sheet = reconstruction_sheet(real, rebuilt, title="rebuilt", columns=3)
    for above, below in zip(real, rebuilt, strict=True):
        ((x, y),), ((x_below, y_below),) = places(sheet, above), places(sheet, below)
        assert (x_below, y_below - y) == (x, 24 + sheets.ROW_GAP)
    with pytest.raises(ContractError, match="cannot stand above"):
        reconstruction_sheet(real, rebuilt[:3], title="")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([SheetRow("a", [])], "at least one image"),
        ([SheetRow("a", faces(1)), SheetRow("b", faces(1, size=10))], "one size"),
        ([SheetRow("a", faces(2), captions=("x",))], "2 images has 1 captions"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ContractError, match=message):
        draw_sheet(rows, title="")


def test_sheets_are_saved_as_png_without_loss_and_as_jpeg(tmp_path):
    sheet = draw_sheet([SheetRow("x", faces(2))], title="t")
    save_sheet(sheet, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(sheet))
    save_sheet(sheet, tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").size == sheet.size
    with pytest.raises(ContractError, match=r"as \.png or \.jpg"):
        save_sheet(sheet, tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        save_sheet(sheet, tmp_path / "file" / "a.png")
