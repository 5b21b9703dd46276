"""Embed the images of a set into memory-mapped files, shard by shard, so that memory stays flat and work is kept.

The cache stands under `REPORT/cache/<embedder digest>/`: `vectors.npy` (N, D) float32 and `index.npy` (N,) with the
identity, image index and sigma of each row; see `vec2face.evaluation.row_cache`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import ContractError, DatasetError, InputError
from vec2face.evaluation.dataset import ImageRecord
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.row_cache import Pixels, RowCache, Rows, decode_face
from vec2face.progress import ProgressReporter, SilentProgress

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

__all__ = ["EmbeddedImages", "decode_face", "embed_dataset", "embed_pixels", "move"]

# A row that was never written reads as zeros, which no identity gives.
_INDEX = np.dtype([("identity_and_one", "<i4"), ("image", "<i4"), ("sigma", "<f4")])


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings of a dataset, sorted by identity, then image.

    Attributes:
        vectors: (N, D) float32, raw, in file order; a read-only memory map.
        rows: (M,) row of `vectors`, and position in the set, of each measured image.
        identity: (M,) identity index of each measured image, never falling.
        image: (M,) index of the image within its identity.
        sigma: (M,) strength of the perturbation.
        shard: (M,) position of the shard that holds the image.
    """

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    identity: NDArray[np.int32]
    image: NDArray[np.int32]
    sigma: NDArray[np.float32]
    shard: NDArray[np.int64]

    def gather(self, measured: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the raw vectors (len(measured), D) of the given measured images (positions in `rows`)."""
        return np.asarray(self.vectors[self.rows[measured]], dtype=np.float32)

    def __len__(self) -> int:
        return len(self.rows)


def embed_dataset(
    reader: AuditedSet,
    embedder: "FaceEmbedder",
    *,
    embedder_digest: str,
    images_per_identity: int | None,
    batch_size: int,
    excluded: Collection[int] = (),
    progress: ProgressReporter | None = None,
) -> EmbeddedImages:
    """Embed each image of the dataset, or the first `images_per_identity` of each identity.

    Image indices carry no order of difficulty (the perturbation schedule is shuffled by key), so the first few are a
    fair sample.

    Args:
        embedder_digest: names the weights; a cache of other weights is not used.
        images_per_identity: None measures every image.
        batch_size: images in one forward pass; it changes speed only.
        excluded: identities that are not measured.

    Raises:
        DatasetError: a shard is damaged, an image has another size than 112x112, or everybody is excluded.
        StorageError: the cache cannot be written.
    """
    cache = RowCache(
        reader.report_folder / "cache" / embedder_digest[:16],
        reader,
        arrays={"vectors": (np.dtype(np.float32), (embedder.dim,)), "index": (_INDEX, ())},
        settings={"images_per_identity": images_per_identity},
    )

    def compute(records: list[ImageRecord], pixels: Pixels) -> Rows:
        facts = [(record.identity + 1, record.image, record.sigma) for record in records]
        return {"vectors": embed_pixels(embedder, pixels), "index": np.array(facts, _INDEX)}

    cache.fill(
        compute,
        stage=f"embedding with {embedder.name}",
        batch_size=batch_size,
        cap=images_per_identity,
        progress=progress or SilentProgress(),
    )
    index = cache.load("index")
    rows = np.flatnonzero(index["identity_and_one"])
    rows = rows[~np.isin(index["identity_and_one"][rows] - 1, list(excluded))]
    if not len(rows):
        raise DatasetError(f"all identities of {reader.report_folder.parent} are excluded; remove exclusions.json.")
    rows = rows[np.lexsort((index["image"][rows], index["identity_and_one"][rows]))]
    table = index[rows]
    return EmbeddedImages(
        vectors=cache.read("vectors"),
        rows=rows,
        identity=np.ascontiguousarray(table["identity_and_one"] - 1),
        image=np.ascontiguousarray(table["image"]),
        sigma=np.ascontiguousarray(table["sigma"]),
        shard=np.searchsorted(cache.starts, rows, side="right") - 1,
    )


def move(embedder: "FaceEmbedder", device: str) -> "FaceEmbedder":
    """Return the embedder on a device, "cpu" or "cuda".

    Raises:
        InputError: there is no CUDA device, or the embedder is an ONNX file, which is run on the CPU.
    """
    import torch

    if device == "cpu":
        return embedder
    if not torch.cuda.is_available():
        raise InputError(f"the device {device!r} is not available; use --device cpu.")
    if not isinstance(embedder, torch.nn.Module):
        raise InputError(f"embedder {embedder.name!r} is an ONNX file, which is run on the CPU; use --device cpu.")
    return embedder.to(device)


def embed_pixels(embedder: "FaceEmbedder", pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embed (B, 112, 112, 3) uint8 RGB pixels: raw (B, D) float32.

    Raises:
        ContractError: the embedder gives another width than it states, or values that are not finite.
    """
    import torch

    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
    if isinstance(embedder, torch.nn.Module):
        images = images.to(next(embedder.parameters(), images).device)
    with torch.inference_mode():
        vectors: NDArray[np.float32] = embedder.embed(images).cpu().numpy().astype(np.float32, copy=False)
    if vectors.shape != (len(pixels), embedder.dim):
        raise ContractError(f"embedder {embedder.name!r} gave {vectors.shape}, but states a width of {embedder.dim}.")
    if not np.isfinite(vectors).all():
        raise ContractError(f"embedder {embedder.name!r} gave values that are not finite; check its weights.")
    return vectors
