"""What an image is by its first bytes: its kind and its size, without decoding it."""

import io
from dataclasses import dataclass

from PIL import Image

from vec2face.errors import InputError

# The kinds that a dataset holds -> ending of their files.
SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True)
class ImageKind:
    """Ending of the file's name, and width and height in pixels."""

    suffix: str
    width: int
    height: int


def kind_of(data: bytes, *, where: str) -> ImageKind:
    """Look at the header of an image.

    Raises:
        InputError: it is no JPEG, PNG or WebP.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, (width, height) = str(image.format), image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{where} is no image: it begins with {data[:8]!r}.") from None
    if kind not in SUFFIXES:
        raise InputError(f"{where} is of the kind {kind}; datasets hold JPEG, PNG and WebP, so convert it first.")
    return ImageKind(SUFFIXES[kind], width, height)
