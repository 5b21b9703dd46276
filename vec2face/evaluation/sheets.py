"""Contact sheets: pictures in labelled rows under a title line.

Rows are drawn as they are given; who chooses them is the audit. Every image is (H, W, 3) uint8 RGB and is drawn at its
own size, so a sheet shows the pixels that are in the dataset.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vec2face.errors import ContractError
from vec2face.fileio.atomic import write_bytes

Pixels = NDArray[np.uint8]

MARGIN = 16
GAP = 2
ROW_GAP = 8
SPLIT_GAP = 18
TITLE_SIZE = 20
LABEL_SIZE = 12
LINE = 15
BACKGROUND = (255, 255, 255)
INK = (28, 30, 34)
QUIET = (104, 110, 120)
JPEG_QUALITY = 90

DEFECTS, LEAKS = "defects", "leaks"
SHEET_KINDS = ("people", "person", "worst", "closest", DEFECTS, LEAKS)
"""Kinds of the sheets of faces in a report."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetRow:
    """One row: its label (the first line is drawn dark, the others grey) and its images, at least one.

    Attributes:
        captions: a short text under each image, or none for the whole row.
        split: a wider gap stands before the image of this index; 0 for none.
    """

    label: str
    images: Sequence[Pixels]
    captions: Sequence[str] = ()
    split: int = 0


def draw_sheet(rows: Sequence[SheetRow], *, title: str, note: str = "") -> Image.Image:
    """Draw rows of images, labels to the left, a title line above and a grey note under it.

    Raises:
        ContractError: there are no rows, a row has no images, images differ in size, or captions do not fit the images.
    """
    _check(rows)
    height, width = rows[0].images[0].shape[:2]
    columns = max(len(row.images) for row in rows)
    title_font, label_font = _font(TITLE_SIZE), _font(LABEL_SIZE)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    label_width = max(int(_width(ruler, line, label_font)) for row in rows for line in row.label.split("\n"))
    left = MARGIN + (label_width + 12 if label_width else 0)
    row_height = height + (LINE + 2 if any(row.captions for row in rows) else 0)
    header = MARGIN + TITLE_SIZE + 6 + (LINE + 4 if note else 0) + 6
    needed = [_width(ruler, title, title_font), _width(ruler, note, label_font)]
    split_gap = SPLIT_GAP if any(row.split for row in rows) else 0
    total_width = max(left + columns * (width + GAP) - GAP + split_gap, MARGIN + int(max(needed))) + MARGIN
    total_height = header + len(rows) * (row_height + ROW_GAP) - ROW_GAP + MARGIN

    sheet = Image.new("RGB", (total_width, total_height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 2), title, fill=INK, font=title_font)
    if note:
        draw.text((MARGIN, MARGIN + TITLE_SIZE + 6), note, fill=QUIET, font=label_font)
    for number, row in enumerate(rows):
        top = header + number * (row_height + ROW_GAP)
        lines = row.label.split("\n")
        middle = top + (height - LINE * len(lines)) // 2
        for index, line in enumerate(lines):
            draw.text((MARGIN, middle + index * LINE), line, fill=QUIET if index else INK, font=label_font)
        for column, pixels in enumerate(row.images):
            x = left + column * (width + GAP) + (SPLIT_GAP if row.split and column >= row.split else 0)
            sheet.paste(Image.fromarray(pixels), (x, top))
            if row.captions:
                text = row.captions[column]
                centre = x + (width - _width(ruler, text, label_font)) / 2
                draw.text((centre, top + height + 1), text, fill=QUIET, font=label_font)
    return sheet


def person_sheet(images: Sequence[Pixels], captions: Sequence[str], *, title: str, columns: int = 10) -> Image.Image:
    """All images of one person, wrapped into rows."""
    rows = [
        SheetRow("", images[start : start + columns], captions[start : start + columns])
        for start in range(0, len(images), columns)
    ]
    return draw_sheet(rows, title=title)


def reconstruction_sheet(
    real: Pixels, rebuilt: Pixels, *, title: str, captions: Sequence[str] = (), columns: int = 10
) -> Image.Image:
    """Real faces (N, H, W, 3) above what a generator made of them, in bands of `columns`.

    Raises:
        ContractError: the two arrays differ in shape.
    """
    if real.shape != rebuilt.shape:
        raise ContractError(f"{len(real)} real images {real.shape} cannot stand above rebuilt ones {rebuilt.shape}.")
    rows = []
    for start in range(0, len(real), columns):
        band = slice(start, start + columns)
        rows.append(SheetRow("real", list(real[band])))
        rows.append(SheetRow("rebuilt", list(rebuilt[band]), captions[band]))
    return draw_sheet(rows, title=title)


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet atomically, as PNG or JPEG by the path's ending. Raises `StorageError`, `ContractError`."""
    formats = {".png": "PNG", ".jpg": "JPEG"}
    if path.suffix not in formats:
        raise ContractError(f"a sheet is saved as .png or .jpg, not as {path.name}.")
    stream = io.BytesIO()
    # 4:4:4: faces are small here, and halved chroma would blur what the sheet is there to show.
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if path.suffix == ".jpg" else {}
    sheet.save(stream, formats[path.suffix], **options)
    write_bytes(path, stream.getvalue())


def _check(rows: Sequence[SheetRow]) -> None:
    if not rows or not all(len(row.images) for row in rows):
        raise ContractError("a contact sheet needs at least one row, and each row at least one image.")
    shapes = {image.shape for row in rows for image in row.images}
    if len(shapes) != 1:
        raise ContractError(f"the images of a contact sheet must be of one size, not {sorted(shapes)}.")
    for row in rows:
        if row.captions and len(row.captions) != len(row.images):
            raise ContractError(f"a row of {len(row.images)} images has {len(row.captions)} captions.")


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _width(draw: ImageDraw.ImageDraw, text: str, font: Font) -> float:
    return draw.textlength(text, font=font) if text else 0.0
