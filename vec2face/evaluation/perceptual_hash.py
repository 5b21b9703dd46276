"""A perceptual hash of a picture: 64 bits that recompression, resizing and slight changes of light leave mostly alike.

The signs of the picture's low frequencies around their median (the DCT hash of Zauner, "Implementation and benchmarking
of perceptual image hash functions", 2010): luma, shrunk to 32x32, its discrete cosine transform, frequencies 1 to 8 in
both directions. Aligned faces share much of their low frequencies, so near hashes alone do not make two pictures one.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vec2face.identities.coarse import CoarseUnits
from vec2face.identities.cosine import unit_rows

BITS = 64
THUMBNAIL = 8
_LUMA = np.array([0.299, 0.587, 0.114])
_SIDE, _FREQUENCIES = 32, slice(1, 9)
_ROWS, _COLUMNS = 1024, 8192

Hashes = NDArray[np.uint64]


def hash_images(pixels: NDArray[np.uint8]) -> tuple[Hashes, Hashes]:
    """Hash pictures (N, H, W, 3) uint8 RGB and their mirror images: two arrays (N,) uint64."""
    plain, mirrored = [], []
    for picture in pixels:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        plain.append(_bits(small))
        mirrored.append(_bits(np.ascontiguousarray(small[:, ::-1])))
    return _packed(plain), _packed(mirrored)


def thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink pictures (N, H, W, 3) to (N, 8, 8, 3): what is left of light and colour."""
    shrunk = [cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for picture in pixels]
    return np.array(shrunk, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL, 3)


def thumbnail_distances(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Root mean square difference of thumbnails (P, 8, 8, 3), grey levels, after the mean difference is taken off.

    Of a pair, the smaller of the two distances with and without mirroring one.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    found = []
    for side in (a, a[:, :, ::-1]):
        difference = side - b
        difference -= difference.mean(axis=(1, 2, 3), keepdims=True)
        found.append(np.sqrt(np.square(difference).mean(axis=(1, 2, 3))))
    smaller: NDArray[np.float64] = np.minimum(*found)
    return smaller


def relit_distances(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How little the lumas of thumbnails (P, 8, 8, 3) agree, whatever their colour, brightness and contrast.

    1 - correlation of the lumas (Rec. 601), 0 to 2; of a pair, the smaller with and without mirroring one. A thumbnail
    of one grey agrees with none and is at 1.
    """
    a, b = ((side.astype(np.float64) @ _LUMA) for side in (first, second))
    return 1.0 - np.maximum(_correlations(a, b), _correlations(a[:, :, ::-1], b))


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = (side - side.mean(axis=(1, 2), keepdims=True) for side in (a, b))
    norms = np.sqrt(np.square(a).sum(axis=(1, 2)) * np.square(b).sum(axis=(1, 2)))
    found: NDArray[np.float64] = (a * b).sum(axis=(1, 2)) / np.maximum(norms, 1e-9)
    return found


def distances(first: Hashes, second: Hashes) -> NDArray[np.int64]:
    """How many bits differ, for each pair of hashes."""
    return np.bitwise_count(first ^ second).astype(np.int64)


def close_pairs(
    hashes: Hashes, mirrored: Hashes, *, bits: int, on_rows: Callable[[int], None] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield every pair of pictures whose hashes differ by at most `bits`, directly or after mirroring one; exact.

    As vectors of signs, two hashes that differ in h bits have the cosine 1 - h/32, so a matrix product finds them.

    Yields:
        First and second position (first < second) and the number of bits, a block at a time.
    """
    count = len(hashes)
    stored = CoarseUnits.of(_signs(hashes))
    fewest = 1 - 2 * bits / BITS - 1 / BITS  # half a bit of room for rounding
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        queries = [stored.queries(unit_rows(_signs(side[start:stop]))) for side in (hashes, mirrored)]
        low, _ = stored.limits(fewest)
        for column in range(start, count, _COLUMNS):
            end = min(column + _COLUMNS, count)
            found = [np.stack(stored.cosines(side, column, end, low).reaching(low)) for side in queries]
            pairs = np.unique(np.concatenate(found, axis=1), axis=1) + np.array([[start], [column]])
            first, second = pairs[:, pairs[0] < pairs[1]]
            differing = np.minimum(distances(hashes[first], hashes[second]), distances(mirrored[first], hashes[second]))
            close = differing <= bits
            if close.any():
                yield first[close], second[close], differing[close]
        if on_rows is not None:
            on_rows(stop - start)


def _bits(small: NDArray[np.float32]) -> NDArray[np.bool_]:
    low = cv2.dct(small)[_FREQUENCIES, _FREQUENCIES]
    bits: NDArray[np.bool_] = (low > np.median(low)).ravel()
    return bits


def _packed(bits: list[NDArray[np.bool_]]) -> Hashes:
    return np.packbits(np.array(bits, bool).reshape(-1, BITS), axis=1).view(">u8").astype(np.uint64).ravel()


def _signs(hashes: Hashes) -> NDArray[np.float32]:
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, BITS // 8)
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
