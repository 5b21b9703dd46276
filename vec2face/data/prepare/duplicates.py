"""Images that were kept before: by their bytes, and by how near their embeddings lie.

Both memories grow with a source of a million images by tens of bytes an image; vectors stand in a file. What is found
depends on the images kept before and their order alone, so that a resumed run finds the same.
"""

from array import array
from pathlib import Path

import numpy as np

from vec2face.fileio.rows import RowFile

_BLOCK = 16_384  # vectors compared at a time


class SameFiles:
    """SHA-256 digests of kept images, the first 16 bytes of each, with their positions in the source."""

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._first = np.empty(0, np.uint64)
        self._second = np.empty(0, np.uint64)
        self._index = np.empty(0, np.int64)

    def find(self, digest: bytes) -> int | None:
        """Return the position of the kept image with these bytes, or None."""
        short = digest[:16]
        if short in self._recent:
            return self._recent[short]
        first, second = np.frombuffer(short, "<u8")
        start, stop = np.searchsorted(self._first, first), np.searchsorted(self._first, first, side="right")
        found = np.flatnonzero(self._second[start:stop] == second)
        return int(self._index[start + found[0]]) if len(found) else None

    def add(self, digest: bytes, index: int) -> None:
        """Remember a kept image."""
        self._recent[digest[:16]] = index

    def settle(self) -> None:
        """Move what was added into sorted arrays, which take a fifth of the memory; call it now and then."""
        if not self._recent:
            return
        words = np.frombuffer(b"".join(self._recent), "<u8").reshape(-1, 2)
        first = np.concatenate([self._first, words[:, 0]])
        second = np.concatenate([self._second, words[:, 1]])
        index = np.concatenate([self._index, np.fromiter(self._recent.values(), np.int64, len(words))])
        order = np.argsort(first, kind="stable")
        self._first, self._second, self._index = first[order], second[order], index[order]
        self._recent = {}


class NearDuplicates:
    """Unit vectors of kept images in a file, compared with new ones within a person, or all with all."""

    def __init__(self, path: Path, *, width: int, capacity: int, threshold: float) -> None:
        """Begin empty.

        Args:
            path: a working file, which is replaced.
            width: D.
            capacity: most images that can be kept.
            threshold: cosine from which two images are near duplicates.

        Raises:
            StorageError: the file cannot be written.
        """
        RowFile.create(path, np.dtype(np.float32), (capacity, width))
        self._file, self._threshold, self._width = RowFile(path), threshold, width
        self._positions = array("q")
        self._people: dict[int, array[int]] = {}

    def nearest(self, vectors: np.ndarray, labels: list[int | None]) -> list[tuple[float, int]]:
        """Return, for each new image, the highest cosine to a kept one and that one's position in the source.

        Args:
            vectors: float32 `(B, D)` unit vectors.
            labels: each image's person, who alone is looked through; None looks through all.

        Returns:
            B pairs; a cosine of -1 and a position of -1 where there is nothing to compare with.
        """
        best = [(-1.0, -1)] * len(vectors)
        everyone = [row for row, label in enumerate(labels) if label is None]
        for start in range(0, len(self._positions) if everyone else 0, _BLOCK):
            stop = min(start + _BLOCK, len(self._positions))
            cosines = vectors[everyone] @ np.asarray(self._file.read()[start:stop]).T
            places = cosines.argmax(axis=1)
            for row, place, values in zip(everyone, places, cosines, strict=True):
                best[row] = max(best[row], (float(values[place]), self._positions[start + int(place)]))
        for row, label in enumerate(labels):
            rows = self._people.get(label) if label is not None else None
            if rows is not None:
                cosines = np.asarray(self._file.read()[np.asarray(rows)]) @ vectors[row]
                place = int(cosines.argmax())
                best[row] = (float(cosines[place]), self._positions[rows[place]])
        return best

    def is_near(self, cosine: float) -> bool:
        """Whether a cosine makes two images near duplicates."""
        return cosine >= self._threshold

    def add(self, vector: np.ndarray, label: int | None, index: int) -> None:
        """Remember a kept image by its unit vector `(D,)`, its person and its position."""
        row = len(self._positions)
        self._file.write(row, vector[None])
        self._positions.append(index)
        if label is not None:
            self._people.setdefault(label, array("q")).append(row)


def unit(vector: np.ndarray) -> np.ndarray:
    """Scale a vector `(D,)` to length 1, float32; alone, so that the result does not depend on its neighbours."""
    vector = vector.astype(np.float32)
    scaled: np.ndarray = vector / np.sqrt(np.dot(vector, vector))
    return scaled
