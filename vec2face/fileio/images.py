"""Image files in memory: bytes to uint8 RGB and back. No torch here.

Decoding never changes pixels silently: whatever had to be converted comes back as a note. Embedded colour profiles are
not applied; the numbers in the file are taken as sRGB.
"""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageOps

from vec2face.errors import ContractError, InputError

READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 80_000_000

JPEG_SUBSAMPLING = "4:2:0"
_PNG_COMPRESSION = 6
_WEBP_EFFORT = 75
_WEBP_METHOD = 4

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH_BYTE = 24  # signature (8), IHDR length and name (8), width and height (8)
_TIFF_BITS_PER_SAMPLE = 258
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error)


def decode_image(data: bytes, *, where: str) -> np.ndarray:
    """Decode an image file; like `decode_image_with_notes` for callers that have no use for the notes.

    Args:
        data: the bytes of a JPEG, PNG, WebP, BMP, TIFF or GIF file.
        where: what the bytes are, for error messages, such as a file name.

    Returns:
        uint8 `(H, W, 3)` RGB, C-contiguous and writable.

    Raises:
        InputError: not an image, truncated, larger than `MAX_PIXELS`, or of a pixel type with no defined range.
    """
    return decode_image_with_notes(data, where=where)[0]


def decode_image_with_notes(data: bytes, *, where: str) -> tuple[np.ndarray, list[str]]:
    """Decode an image file and say what was converted on the way to 8-bit RGB.

    Converted, each with a note: 16 bits to 8 (value / 257, rounded, for grey; 16-bit colour loses its low byte),
    transparency composited on black, grey, palette, black-and-white, CMYK (without a colour profile) and other colour
    models to RGB, an EXIF orientation applied, the first of several frames taken.

    Args:
        data: the bytes of the file.
        where: what the bytes are, for error messages.

    Returns:
        uint8 `(H, W, 3)` RGB pixels, and the notes (an empty list for a plain 8-bit RGB file).

    Raises:
        InputError: as `decode_image`.
    """
    if not data:
        raise InputError(f"{where} is empty (0 bytes); it is not an image.")
    image = _open(data, where)
    notes: list[str] = []
    try:
        frames = getattr(image, "n_frames", 1)
        deep = _is_sixteen_bit(image, data)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (*_DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise InputError(f"{where} is damaged or truncated ({error}); get a complete copy of the file.") from None
    if frames > 1:
        notes.append(f"the first of {frames} frames taken")
    if orientation in range(2, 9):
        notes.append("turned upright by its EXIF orientation")
    if deep:
        notes.append("16-bit values reduced to 8 bits")
    rgb = _to_rgb(upright, deep, notes, where)
    return np.array(rgb, dtype=np.uint8), notes


def encode_image(pixels: np.ndarray, *, format: str, quality: int | None = None) -> bytes:
    """Encode pixels; equal pixels and settings give equal bytes (for the same Pillow and codec versions).

    JPEG is baseline with `JPEG_SUBSAMPLING` chroma and standard Huffman tables; PNG and WebP are lossless. No metadata
    is written.

    Args:
        pixels: uint8 `(H, W, 3)` RGB.
        format: "jpeg", "png" or "webp".
        quality: JPEG quality, 1 to 100; must be None for the lossless formats, which have none.

    Raises:
        InputError: an unknown format, or a quality that the format does not take.
        ContractError: `pixels` is not uint8 `(H, W, 3)`.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ContractError(f"pixels must be uint8 (H, W, 3) RGB, not {pixels.dtype} {pixels.shape}.")
    check_encoding(format, quality)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    stream = io.BytesIO()
    if format == "jpeg":
        image.save(stream, "JPEG", quality=quality, subsampling=JPEG_SUBSAMPLING, optimize=False, progressive=False)
    elif format == "png":
        image.save(stream, "PNG", compress_level=_PNG_COMPRESSION, optimize=False)
    else:
        image.save(stream, "WEBP", lossless=True, quality=_WEBP_EFFORT, method=_WEBP_METHOD)
    return stream.getvalue()


def check_encoding(format: str, quality: int | None) -> None:
    """Raise `InputError` unless `encode_image` takes this format and quality; for checks before long work."""
    if format not in ("jpeg", "png", "webp"):
        raise InputError(f"unknown image format {format!r}; use jpeg, png or webp.")
    if format != "jpeg":
        if quality is not None:
            raise InputError(f"{format} is written lossless and takes no quality; leave the quality out or use jpeg.")
        return
    if quality is None:
        raise InputError("jpeg needs a quality from 1 to 100.")
    if not 1 <= quality <= 100:
        raise InputError(f"the jpeg quality must be from 1 to 100, not {quality}.")


def _open(data: bytes, where: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images from a limit of its own on; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=READABLE_FORMATS)
    except Image.DecompressionBombError:
        raise InputError(_too_large(where, "far more")) from None
    except _DECODE_ERRORS:
        readable = ", ".join(READABLE_FORMATS)
        raise InputError(f"{where} is not an image that can be read (readable formats: {readable}).") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(where, f"{width}x{height} pixels, more"))
    return image


def _too_large(where: str, amount: str) -> str:
    return f"{where} has {amount} than the limit of {MAX_PIXELS // 1_000_000} million pixels; scale it down first."


def _is_sixteen_bit(image: Image.Image, data: bytes) -> bool:
    """Whether the file stores 16 bits a value. Pillow reads colour files of that depth as 8-bit without a word."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return True
    if data.startswith(_PNG_SIGNATURE):
        return data[_PNG_BIT_DEPTH_BYTE] == 16
    if image.format == "TIFF":
        return 16 in tuple(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, ()))  # type: ignore[attr-defined]
    return False


def _to_rgb(image: Image.Image, deep: bool, notes: list[str], where: str) -> Image.Image:
    mode = image.mode
    if mode in _SIXTEEN_BIT_MODES or (mode == "I" and deep):
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((np.minimum(values, 65535) + 128) // 257).astype(np.uint8))
        mode = image.mode
    if mode in ("I", "F"):
        kind = "32-bit integer" if mode == "I" else "floating-point"
        raise InputError(f"{where} holds {kind} pixels, whose range is not defined; save it with 8 or 16 bits a value.")
    if image.has_transparency_data:
        notes.append("transparency composited on black")
        cover = image.convert("RGBA")
        image = Image.new("RGBA", cover.size, (0, 0, 0, 255))
        image.alpha_composite(cover)
    kind_of = {"1": "black-and-white", "L": "grey", "LA": "grey", "La": "grey", "P": "palette", "PA": "palette"}
    if mode in kind_of:
        notes.append(f"{kind_of[mode]} converted to RGB")
    elif mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
        notes.append(f"{mode} colours converted to RGB without a colour profile")
    return image.convert("RGB")
