"""Vectors beside the images of an export: those stored with them, or an embedder's."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.interchange.selection import Item, Selection

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

STORED = "stored"
_BATCH = 64


class VectorSource(Protocol):
    """Gives each image its vector.

    Attributes:
        dim: width of the vectors, or None where images get none.
    """

    dim: int | None

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """Yield the images, the first of which is at place `start`, each with its vector as `record.feature`."""

    def describe(self) -> dict[str, Any] | None:
        """Return what tells the vectors from others, or None for none."""


class NoFeatures:
    """Images go without vectors, also those that have some."""

    dim: int | None = None

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """See `VectorSource`."""
        for item in items:
            yield replace(item, record=replace(item.record, feature=None, mirror_feature=None))

    def describe(self) -> dict[str, Any] | None:
        """See `VectorSource`."""
        return None


class AsStored:
    """Images keep what they have, be it a vector or none."""

    dim: int | None = None

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """See `VectorSource`."""
        return items

    def describe(self) -> dict[str, Any] | None:
        """See `VectorSource`."""
        return None


class StoredFeatures:
    """The vectors that stand with the images already."""

    def __init__(self, selection: Selection) -> None:
        """Look at the first image.

        Raises:
            InputError: it has no vector.
        """
        first = next(selection.items(0, 1)).record
        if first.feature is None:
            raise InputError(
                f"{first.where} has no vector stored with it; name an embedder, such as --features embedded."
            )
        self.dim: int | None = len(first.feature)

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """See `VectorSource`. Raises `InputError` for an image without a vector, or with one of another width."""
        for item in items:
            feature = item.record.feature
            if feature is None or len(feature) != self.dim:
                found = "no vector" if feature is None else f"a vector of {len(feature)} values"
                raise InputError(f"{item.record.where} has {found} stored with it, the first image one of {self.dim}.")
            yield item

    def describe(self) -> dict[str, Any] | None:
        """See `VectorSource`."""
        return {"from": STORED, "dim": self.dim}


class EmbedderFeatures:
    """Raw vectors of an embedder, made while the set is written; batches never reach over two blocks."""

    def __init__(self, embedder: "FaceEmbedder", *, reference: str, digest: str) -> None:
        self.dim: int | None = embedder.dim
        self._embedder, self._reference, self._digest = embedder, reference, digest

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """See `VectorSource`. Raises `InputError` for an image that is not 112x112."""
        from vec2face.evaluation.embeddings import embed_pixels

        while batch := list(islice(items, _BATCH)):
            vectors = embed_pixels(self._embedder, np.stack([_pixels(item) for item in batch]))
            for item, vector in zip(batch, vectors, strict=True):
                yield replace(item, record=replace(item.record, feature=vector, mirror_feature=None))

    def describe(self) -> dict[str, Any] | None:
        """See `VectorSource`."""
        return {"from": self._reference, "dim": self.dim, "sha256": self._digest}


class TableFeatures:
    """Raw vectors that an audit has made, by place in the set."""

    def __init__(self, vectors: NDArray[np.float32], *, reference: str, digest: str) -> None:
        """Take the vectors, `(N, D)` in the order of the images; a memory map will do."""
        self.dim: int | None = int(vectors.shape[1])
        self._vectors, self._reference, self._digest = vectors, reference, digest

    def attach(self, items: Iterator[Item], *, start: int) -> Iterator[Item]:
        """See `VectorSource`."""
        for place, item in enumerate(items, start=start):
            vector = np.array(self._vectors[place], np.float32)
            yield replace(item, record=replace(item.record, feature=vector, mirror_feature=None))

    def describe(self) -> dict[str, Any] | None:
        """See `VectorSource`."""
        return {"from": self._reference, "dim": self.dim, "sha256": self._digest}


def _pixels(item: Item) -> NDArray[np.uint8]:
    pixels = item.record.decode()
    if pixels.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        height, width = pixels.shape[:2]
        raise InputError(
            f"{item.record.where} is {width}x{height}; embedders take aligned faces of {IMAGE_SIZE}x{IMAGE_SIZE}."
        )
    return pixels
