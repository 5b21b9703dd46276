"""Decoding says what it converted; encoding is deterministic; every unusable file gives one sentence naming it."""

import contextlib
import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vec2face.errors import ContractError, InputError
from vec2face.fileio import images
from vec2face.fileio.images import decode_image, decode_image_with_notes, encode_image

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def test_plain_rgb_has_no_notes() -> None:
    pixels, notes = decode_image_with_notes(encode_image(PIXELS, format="png"), where="a.png")
    assert notes == []
    assert pixels.flags["WRITEABLE"]
    assert pixels.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize("format", ["png", "webp"])
def test_lossless_formats_return_the_same_pixels(format: str) -> None:
    np.testing.assert_array_equal(decode_image(encode_image(PIXELS, format=format), where="x"), PIXELS)


def test_jpeg_is_baseline_with_the_stated_subsampling_and_follows_its_quality() -> None:
    smooth = np.asarray(Image.fromarray(PIXELS[:4, :4]).resize((112, 112), Image.Resampling.BICUBIC))
    coded = {quality: encode_image(smooth, format="jpeg", quality=quality) for quality in (30, 95)}
    errors = {q: np.abs(decode_image(b, where="x").astype(int) - smooth).mean() for q, b in coded.items()}
    assert len(coded[30]) < len(coded[95])
    assert errors[95] < errors[30]
    image = Image.open(io.BytesIO(coded[95]))
    assert "progressive" not in image.info
    assert [component[1:3] for component in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("format", "quality"), [("jpeg", 92), ("png", None), ("webp", None)])
def test_equal_pixels_give_equal_bytes_whatever_their_memory_layout(format: str, quality: int | None) -> None:
    first = encode_image(PIXELS, format=format, quality=quality)
    second = encode_image(np.asfortranarray(PIXELS), format=format, quality=quality)
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


@pytest.mark.parametrize(
    ("format", "quality", "message"),
    [
        ("png", 90, "takes no quality"),
        ("webp", 90, "takes no quality"),
        ("jpeg", None, "needs a quality"),
        ("jpeg", 0, "from 1 to 100"),
        ("jpeg", 101, "from 1 to 100"),
        ("gif", None, "unknown image format"),
    ],
)
def test_a_quality_that_would_be_ignored_or_is_missing_is_refused(
    format: str, quality: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        encode_image(PIXELS, format=format, quality=quality)


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS[..., 0], PIXELS[..., :2], PIXELS[:0]])
def test_pixels_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ContractError, match="uint8"):
        encode_image(pixels, format="png")


def test_grey_palette_bilevel_and_cmyk_are_converted_with_a_note() -> None:
    rgb = Image.fromarray(PIXELS)
    grey, notes = decode_image_with_notes(saved(rgb.convert("L"), "PNG"), where="x")
    assert notes == ["grey converted to RGB"]
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == np.asarray(rgb.convert("L"))).all()

    palette = rgb.quantize(8)
    pixels, notes = decode_image_with_notes(saved(palette, "PNG"), where="x")
    assert notes == ["palette converted to RGB"]
    np.testing.assert_array_equal(pixels, np.asarray(palette.convert("RGB")))

    assert decode_image_with_notes(saved(rgb.convert("1"), "PNG"), where="x")[1] == ["black-and-white converted to RGB"]
    cmyk = decode_image_with_notes(saved(rgb.convert("CMYK"), "JPEG"), where="x")[1]
    assert cmyk == ["CMYK colours converted to RGB without a colour profile"]


def test_transparency_is_composited_on_black() -> None:
    alpha = np.full((24, 16, 1), 255, np.uint8)
    alpha[:12] = 0
    pixels, notes = decode_image_with_notes(saved(Image.fromarray(np.dstack([PIXELS, alpha])), "PNG"), where="x")
    assert notes == ["transparency composited on black"]
    assert (pixels[:12] == 0).all()
    np.testing.assert_array_equal(pixels[12:], PIXELS[12:])


def test_transparent_palette_and_grey_keep_both_notes() -> None:
    palette = Image.fromarray(PIXELS).quantize(8)
    _, notes = decode_image_with_notes(saved(palette, "PNG", transparency=0), where="x")
    assert notes == ["transparency composited on black", "palette converted to RGB"]
    _, notes = decode_image_with_notes(saved(Image.fromarray(PIXELS).convert("LA"), "PNG"), where="x")
    assert notes == ["transparency composited on black", "grey converted to RGB"]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format: str) -> None:
    values = np.linspace(0, 65535, 24 * 16).astype(np.uint16).reshape(24, 16)
    pixels, notes = decode_image_with_notes(saved(Image.fromarray(values), format), where="x")
    assert notes == ["16-bit values reduced to 8 bits", "grey converted to RGB"]
    np.testing.assert_array_equal(pixels[..., 1], np.round(values / 257.0).astype(np.uint8))


def test_16_bit_colour_png_carries_a_note() -> None:
    pixels, notes = decode_image_with_notes(sixteen_bit_rgb_png(PIXELS), where="x")
    assert notes == ["16-bit values reduced to 8 bits"]
    np.testing.assert_array_equal(pixels, PIXELS)


def sixteen_bit_rgb_png(pixels: np.ndarray) -> bytes:
    """A PNG written by hand: Pillow cannot write 16-bit colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    height, width, _ = pixels.shape
    rows = (pixels.astype(">u2") * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    pixels, notes = decode_image_with_notes(saved(Image.fromarray(PIXELS), "PNG", exif=exif), where="x")
    assert notes == ["turned upright by its EXIF orientation"]
    np.testing.assert_array_equal(pixels, np.rot90(PIXELS, -1))


def test_the_first_of_several_frames_is_taken_with_a_note() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    pixels, notes = decode_image_with_notes(data, where="x")
    assert notes == ["the first of 2 frames taken"]
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize("data", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_not_an_image_names_the_file(data: bytes) -> None:
    with pytest.raises(InputError, match=r"photos/a\.jpg"):
        decode_image(data, where="photos/a.jpg")


@pytest.mark.parametrize(("format", "quality"), [("jpeg", 90), ("png", None), ("webp", None)])
def test_a_truncated_file_names_the_file(format: str, quality: int | None) -> None:
    data = encode_image(PIXELS, format=format, quality=quality)
    with pytest.raises(InputError, match="cut"):
        decode_image(data[: len(data) * 2 // 3], where="cut")


@given(st.data())
def test_damaged_bytes_give_pixels_or_a_clear_error(data: st.DataObject) -> None:
    whole = bytearray(encode_image(PIXELS, format=data.draw(st.sampled_from(["png", "webp"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):  # any other exception fails the test
        assert decode_image(bytes(whole), where="damaged").dtype == np.uint8


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(InputError, match="bomb has 16x24 pixels"):
        decode_image(encode_image(PIXELS, format="png"), where="bomb")


def test_a_decompression_bomb_is_refused() -> None:
    bomb = saved(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(InputError, match=r"bomb\.png has far more than the limit"):
        decode_image(bomb, where="bomb.png")


def test_floating_point_pixels_are_refused() -> None:
    data = saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(InputError, match="floating-point"):
        decode_image(data, where="x")


def test_a_header_of_many_pixels_is_one_error_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    header = bytearray(stream.getvalue())
    header[16:24] = struct.pack(">II", 12_000, 12_000)
    header[29:33] = struct.pack(">I", zlib.crc32(bytes(header[12:29])))
    with pytest.raises(InputError, match="12000x12000 pixels, more than the limit"):
        decode_image(bytes(header), where="bomb.png")
    assert [str(warning.message) for warning in recwarn] == []
