"""Contact sheets of kept and of dropped faces, for people to look at; a caption tells why one was dropped."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vec2face.contracts import IMAGE_SIZE
from vec2face.data.prepare.examine import REASONS, Examiner
from vec2face.data.prepare.folder import PreparedFolder
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_bytes
from vec2face.fileio.images import decode_image
from vec2face.seeding import seed_for

KEPT_SHOWN = 80
DROPPED_SHOWN = 80
_COLUMNS = 10
_GAP, _MARGIN, _LINE, _CAPTION_LINES = 8, 16, 12, 3
_INK, _QUIET, _NO_PICTURE = (28, 30, 34), (104, 110, 120), (225, 228, 232)


class Sample:
    """A sample of a stream of known or unknown length: the rows with the smallest keyed hashes, so many of a kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Consider a row of a shard's table; its kind is its reason."""
        rows = self._rows.setdefault(row["reason"], [])
        rows.append((seed_for(0, "prepare-sheet", row["index"]), row))
        if len(rows) > 4 * self._most:
            self._rows[row["reason"]] = self._smallest(rows, self._most)

    def of(self, kinds: Iterable[str]) -> list[dict[str, Any]]:
        """Return the sample of these kinds, at most as many as asked for, shared evenly, in the kinds' order."""
        present = [kind for kind in kinds if kind in self._rows]
        counts = dict.fromkeys(present, 0)
        left = self._most
        while left and (open_kinds := [kind for kind in present if counts[kind] < len(self._rows[kind])]):
            for kind in open_kinds[:left]:
                counts[kind] += 1
                left -= 1
        chosen = []
        for kind in present:
            rows = [row for _, row in self._smallest(self._rows[kind], counts[kind])]
            chosen += sorted(rows, key=lambda row: int(row["index"]))
        return chosen

    @staticmethod
    def _smallest(rows: list[tuple[int, dict[str, Any]]], count: int) -> list[tuple[int, dict[str, Any]]]:
        return sorted(rows, key=lambda pair: pair[0])[:count]


def write_sheets(folder: PreparedFolder, examiner: Examiner, shards: int) -> None:
    """Write `kept.jpg` and, where anything was dropped, `dropped.jpg`.

    Kept faces are shown as they are stored; dropped ones are read from the source again, as crops where they could be
    aligned, else as photos scaled down.

    Raises:
        DatasetError: a shard's table is damaged.
        StorageError: a sheet cannot be written.
    """
    kept, dropped = Sample(KEPT_SHOWN), Sample(DROPPED_SHOWN)
    counts = {"kept": 0, "dropped": 0}
    for shard in range(shards):
        for row in folder.read_table(shard):
            (dropped if row["reason"] else kept).add(row)
            counts["dropped" if row["reason"] else "kept"] += 1
    for name, rows in (("kept", kept.of([""])), ("dropped", dropped.of(REASONS))):
        path = folder.sheet(name)
        if not rows:
            path.unlink(missing_ok=True)
            continue
        title = f"{name}: {len(rows)} of {counts[name]:,}"
        tiles = [(_picture(row, examiner), _caption(row)) for row in rows]
        _save(_draw(tiles, title), path)


def _picture(row: dict[str, Any], examiner: Examiner) -> Image.Image:
    found = examiner.examine(row["index"], row["index"] + 1)[0]
    if found.crop is not None and found.crop.shape == (IMAGE_SIZE, IMAGE_SIZE, 3):
        return Image.fromarray(found.crop)
    try:
        pixels = decode_image(examiner.reader.record(row["index"]).data, where=row["source"])
    except InputError:
        return Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), _NO_PICTURE)
    photo = Image.fromarray(pixels)
    photo.thumbnail((IMAGE_SIZE, IMAGE_SIZE))
    tile = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), _NO_PICTURE)
    tile.paste(photo, ((IMAGE_SIZE - photo.width) // 2, (IMAGE_SIZE - photo.height) // 2))
    return tile


def _caption(row: dict[str, Any]) -> list[str]:
    name = row["source"].rsplit("/", 1)[-1]
    if not row["reason"]:
        shown = (
            [f"{row['sharpness']:.0f} sharp, {row['brightness']:.0f} bright"] if row["sharpness"] is not None else []
        )
        return [name, *shown]
    detail = "" if row["reason"] == "not an image" else row["detail"].split(", at ")[0]
    return [row["reason"], detail, name]


def _draw(tiles: list[tuple[Image.Image, list[str]]], title: str) -> Image.Image:
    width, height = IMAGE_SIZE + _GAP, IMAGE_SIZE + _CAPTION_LINES * _LINE + _GAP
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (2 * _MARGIN + _COLUMNS * width - _GAP, 2 * _MARGIN + 28 + rows * height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 4), title, fill=_INK, font=ImageFont.load_default(18))
    font = ImageFont.load_default(10)
    for number, (picture, lines) in enumerate(tiles):
        left, top = _MARGIN + number % _COLUMNS * width, _MARGIN + 28 + number // _COLUMNS * height
        sheet.paste(picture, (left, top))
        for place, line in enumerate(_fit(lines, draw, font)):
            colour = _QUIET if place else _INK
            draw.text((left, top + IMAGE_SIZE + 1 + place * _LINE), line, fill=colour, font=font)
    return sheet


def _fit(lines: list[str], draw: ImageDraw.ImageDraw, font: Any) -> Iterator[str]:
    for line in [line for line in lines if line][:_CAPTION_LINES]:
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)
        while shown and draw.textlength(shown, font=font) > IMAGE_SIZE:
            shown = shown[:-4] + "..." if len(shown) > 4 else ""
        yield shown


def _save(sheet: Image.Image, path: Path) -> None:
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=90, subsampling=0)
    write_bytes(path, stream.getvalue())
