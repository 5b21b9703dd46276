"""The images of an evaluation set, by position: encoded bytes, files, or an array of pixels."""

import hashlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.fileio.images import decode_image

Pixels = NDArray[np.uint8]


class ImageList(Protocol):
    """Aligned, square faces by position."""

    def __len__(self) -> int:
        """Number of images."""

    def key(self, index: int) -> Hashable:
        """What tells an image: two positions of equal key hold the same image, which is then embedded once."""

    def pixels(self, index: int) -> Pixels:
        """Return an image, uint8 `(112, 112, 3)` RGB. Raises `InputError` if it cannot be decoded or is oblong."""


class StoredImages(ImageList, Protocol):
    """Images whose stored bytes tell the set."""

    def update(self, digest: "hashlib._Hash") -> None:
        """Add every image's stored bytes to a digest, in order."""


class EncodedImages:
    """Images as encoded files in memory."""

    def __init__(self, images: Sequence[bytes], *, name: str) -> None:
        self._images, self._name = images, name

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> Hashable:
        return self._images[index]

    def pixels(self, index: int) -> Pixels:
        return decode_face_square(self._images[index], f"{self._name}: image {index}")

    def update(self, digest: "hashlib._Hash") -> None:
        for image in self._images:
            _add(digest, image)


class ImageFiles:
    """Images as files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def key(self, index: int) -> Hashable:
        return self._paths[index]

    def pixels(self, index: int) -> Pixels:
        return decode_face_square(_read(self._paths[index]), str(self._paths[index]))

    def update(self, digest: "hashlib._Hash") -> None:
        for path in self._paths:
            _add(digest, _read(path))


class ImageArray:
    """Images as one uint8 array, (N, 112, 112, 3) or (N, 3, 112, 112), RGB."""

    def __init__(self, array: NDArray[np.uint8], *, name: str) -> None:
        """Take the array, which may be memory-mapped. Raises `InputError` unless it is of that shape and type."""
        side = (IMAGE_SIZE, IMAGE_SIZE)
        channels_last = array.shape[1:] == (*side, 3)
        if array.dtype != np.uint8 or not (channels_last or array.shape[1:] == (3, *side)):
            raise InputError(
                f"{name} holds {array.dtype} of shape {array.shape}; images are uint8 of shape "
                f"(N, {IMAGE_SIZE}, {IMAGE_SIZE}, 3) or (N, 3, {IMAGE_SIZE}, {IMAGE_SIZE})."
            )
        self._array = array if channels_last else array.transpose(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self._array)

    def key(self, index: int) -> Hashable:
        return index

    def pixels(self, index: int) -> Pixels:
        return np.ascontiguousarray(self._array[index])

    def update(self, digest: "hashlib._Hash") -> None:
        for index in range(len(self)):
            _add(digest, self.pixels(index).tobytes())


def content_digest(images: StoredImages, *, extra: bytes = b"") -> str:
    """SHA-256 of every image's stored bytes, in order, and of `extra`: the same set in another file has the same."""
    digest = hashlib.sha256()
    images.update(digest)
    _add(digest, extra)
    return digest.hexdigest()


def unique_positions(images: ImageList) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (positions of the first image of each key, for every image its place among those)."""
    places: dict[Hashable, int] = {}
    first: list[int] = []
    where = np.empty(len(images), np.int64)
    for index in range(len(images)):
        key = images.key(index)
        if key not in places:
            places[key] = len(first)
            first.append(index)
        where[index] = places[key]
    return np.array(first, np.int64), where


def decode_face_square(data: bytes, where: str) -> Pixels:
    """Decode a square face; one of another size than 112x112 is resized. Raises `InputError` for an oblong one."""
    pixels = decode_image(data, where=where)
    height, width, _ = pixels.shape
    if height != width:
        raise InputError(f"{where} is {width}x{height}; an evaluation set holds square, aligned faces.")
    if width != IMAGE_SIZE:
        resized = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
        return np.asarray(resized)
    return pixels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from None


def _add(digest: "hashlib._Hash", data: bytes) -> None:
    # The length first, so that no two lists of images run into the same bytes.
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)
