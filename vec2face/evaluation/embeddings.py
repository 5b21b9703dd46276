"""Embed a dataset's images into memory-mapped files, shard by shard, so that memory stays flat and work is kept.

The cache stands under `DATASET/report/cache/<embedder digest>/`: `vectors.npy` (N, D) float32, `index.npy` (N,) with
the identity, image index and sigma of each row, and `done.txt`, a line for each finished shard with its digest. A
stopped run goes on from the shard it stopped at, and a shard that has changed since is embedded again; a cache of other
sizes or settings is thrown away and made anew.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import ContractError, DatasetError, InputError
from vec2face.evaluation.dataset import DatasetReader, ImageRecord, Shard
from vec2face.fileio.atomic import explain_os_error, fingerprint, write_text
from vec2face.fileio.images import decode_image
from vec2face.fileio.rows import RowFile
from vec2face.progress import ProgressReporter, SilentProgress

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

# A row that was never written reads as zeros, which no identity gives.
_INDEX = np.dtype([("identity_and_one", "<i4"), ("image", "<i4"), ("sigma", "<f4")])
_GIVEN_UP = "-"  # no digest: the last line about a shard counts


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings of a dataset, sorted by identity, then image.

    Attributes:
        vectors: (N, D) float32, raw, in file order; a read-only memory map.
        rows: (M,) row of `vectors` of each measured image.
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
    reader: DatasetReader,
    embedder: "FaceEmbedder",
    *,
    embedder_digest: str,
    images_per_identity: int | None,
    batch_size: int,
    progress: ProgressReporter | None = None,
) -> EmbeddedImages:
    """Embed each image of the dataset, or the first `images_per_identity` of each identity.

    Image indices carry no order of difficulty (the perturbation schedule is shuffled by key), so the first few are a
    fair sample.

    Args:
        embedder_digest: names the weights; a cache of other weights is not used.
        images_per_identity: None measures every image.
        batch_size: images in one forward pass; it changes speed only.

    Raises:
        DatasetError: a shard is damaged, or an image has another size than 112x112.
        StorageError: the cache cannot be written.
    """
    progress = progress or SilentProgress()
    folder = reader.report_folder / "cache" / embedder_digest[:16]
    cache = _Cache.open(folder, reader, embedder, images_per_identity)
    kept = sum(shard.count for shard in reader.shards if cache.holds(shard))
    progress.begin(f"embedding with {embedder.name}", total=reader.images, unit="images", done=kept)
    for shard, start in zip(reader.shards, cache.starts, strict=True):
        if cache.holds(shard):
            continue
        cache.begin(shard, start)
        row = start
        for records, pixels in _batches(reader, shard, images_per_identity, batch_size):
            stop = row + len(records)
            cache.write(row, records, embed_pixels(embedder, pixels))
            row = stop
            progress.advance(len(records))
        cache.finish(shard)
        progress.advance(start + shard.count - row)
    return cache.read()


class _Cache:
    def __init__(self, folder: Path, starts: list[int], finished: dict[str, str]) -> None:
        self.folder, self.starts, self.finished = folder, starts, finished
        self.vectors = RowFile(folder / "vectors.npy")
        self.index = RowFile(folder / "index.npy")

    @classmethod
    def open(cls, folder: Path, reader: DatasetReader, embedder: "FaceEmbedder", cap: int | None) -> "_Cache":
        starts = [0, *np.cumsum([shard.count for shard in reader.shards]).tolist()][:-1]
        source = [[shard.path.name, shard.count] for shard in reader.shards]
        purpose = fingerprint(
            {"shards": source, "images_per_identity": cap, "width": embedder.dim, "index": _INDEX.descr}
        )
        marker = folder / "source.txt"
        if not (marker.is_file() and marker.read_text(encoding="utf-8").strip() == purpose):
            cls._create(folder, reader.images, embedder.dim)
            write_text(marker, purpose + "\n")
        log = folder / "done.txt"
        # The last line may be torn where a run was killed; it then names no shard and is done again.
        lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        return cls(folder, starts, dict(line.split(" ", 1) for line in lines if " " in line))

    @staticmethod
    def _create(folder: Path, rows: int, width: int) -> None:
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        RowFile.create(folder / "vectors.npy", np.dtype(np.float32), (rows, width))
        RowFile.create(folder / "index.npy", _INDEX, (rows,))

    def holds(self, shard: Shard) -> bool:
        """Tell whether the rows of a shard are those of its present content."""
        return self.finished.get(shard.path.name) == shard.sha256

    def begin(self, shard: Shard, start: int) -> None:
        """Give up what the rows of a shard held, so that a run that stops in it leaves no mixture behind."""
        if shard.path.name in self.finished:
            self._log(shard, _GIVEN_UP)
        self.index.write(start, np.zeros(shard.count, _INDEX))

    def write(self, row: int, records: list[ImageRecord], vectors: NDArray[np.float32]) -> None:
        facts = [(record.identity + 1, record.image, record.sigma) for record in records]
        self.vectors.write(row, vectors)
        self.index.write(row, np.array(facts, _INDEX))

    def finish(self, shard: Shard) -> None:
        self.vectors.flush()
        self.index.flush()
        self._log(shard, shard.sha256)

    def _log(self, shard: Shard, state: str) -> None:
        path = self.folder / "done.txt"
        try:
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(f"{shard.path.name} {state}\n")
        except OSError as error:
            raise explain_os_error(error, path) from error
        self.finished[shard.path.name] = state

    def read(self) -> EmbeddedImages:
        index = np.load(self.index.path)  # not by the map: on a full memory disk a hole cannot be mapped
        rows = np.flatnonzero(index["identity_and_one"])
        rows = rows[np.lexsort((index["image"][rows], index["identity_and_one"][rows]))]
        table = index[rows]
        return EmbeddedImages(
            vectors=self.vectors.read(),
            rows=rows,
            identity=np.ascontiguousarray(table["identity_and_one"] - 1),
            image=np.ascontiguousarray(table["image"]),
            sigma=np.ascontiguousarray(table["sigma"]),
            shard=np.searchsorted(self.starts, rows, side="right") - 1,
        )


def _batches(
    reader: DatasetReader, shard: Shard, cap: int | None, batch_size: int
) -> Iterator[tuple[list[ImageRecord], NDArray[np.uint8]]]:
    records: list[ImageRecord] = []
    pixels: list[NDArray[np.uint8]] = []
    for record in reader.records(shard):
        if cap is not None and record.image >= cap:
            continue
        records.append(record)
        pixels.append(decode_face(record))
        if len(records) == batch_size:
            yield records, np.stack(pixels)
            records, pixels = [], []
    if records:
        yield records, np.stack(pixels)


def decode_face(record: ImageRecord) -> NDArray[np.uint8]:
    """Decode a dataset image to (112, 112, 3) uint8 RGB. Raises `DatasetError` for another size."""
    pixels = decode_image(record.data, where=record.key)
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise DatasetError(f"image {record.key} is {pixels.shape[1]}x{pixels.shape[0]}, not {IMAGE_SIZE}x{IMAGE_SIZE}.")
    return pixels


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
