"""Embeddings of real photographs with their keys and people: all that a leakage check needs of them.

```
EMBEDDINGS/
  vectors.npy       float32 (N, 2, D): raw embedding of each image and of its mirror image
  faces.parquet     key and person of each ("" where unknown)
  embeddings.json   format, number of images, embedder (name, width, sha256), name of the source; written last
```
The photographs themselves stay where they are. The vectors are biometric data of the people shown all the same, and are
to be kept like the photographs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.errors import ContractError, InputError
from vec2face.evaluation.dataset import ImageRecord
from vec2face.evaluation.embeddings import embed_pixels
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.row_cache import Pixels, RowCache, Rows
from vec2face.evaluation.stored_embeddings import read_embeddings
from vec2face.fileio.atomic import atomic_write, write_json
from vec2face.progress import ProgressReporter

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

FORMAT = "vec2face-embeddings/1"
DESCRIPTION = "embeddings.json"
UNKNOWN = -1


@dataclass(frozen=True)
class StoredFaces:
    """Embedded real faces.

    Attributes:
        name: what the set is called.
        plain: (N, D) raw embeddings of the images.
        both: (N, D) raw embeddings of image and mirror image, summed: it is as near to a picture as to its mirror
            image. The same as `plain` where mirror images were not embedded.
        people: (N,) a number for each image's person, `UNKNOWN` where nobody is named.
        keys: (N,) names of the images.
        names: name of each numbered person.
        mirrored: whether mirror images were embedded.
        facts: what the file says of itself, JSON values.
    """

    name: str
    plain: NDArray[np.float32]
    both: NDArray[np.float32]
    people: NDArray[np.int64]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    mirrored: bool
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.keys)

    def person_of(self, row: int) -> str:
        """Name of the person in an image; "" where unknown."""
        number = int(self.people[row])
        return "" if number == UNKNOWN else self.names[number]


def store_faces(
    source: AuditedSet,
    embedder: "FaceEmbedder",
    *,
    sha256: str,
    folder: Path,
    name: str,
    batch_size: int,
    progress: ProgressReporter,
) -> StoredFaces:
    """Embed every image of a set and its mirror image into a folder; what is there already is not done again.

    Args:
        source: the set.
        embedder: the network.
        sha256: of its weights.
        folder: to write; made when absent.
        name: what the set is called.
        batch_size: images in one pass; it changes speed only.

    Raises:
        InputError, DatasetError: an image cannot be read or is no 112x112 crop.
        StorageError: the folder cannot be written.
    """
    cache = RowCache(
        folder,
        source,
        arrays={"vectors": (np.dtype(np.float32), (2, embedder.dim))},
        settings={"embedder": sha256, "mirrored": True},
    )

    def compute(records: list[ImageRecord], pixels: Pixels) -> Rows:
        mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
        return {"vectors": np.stack([embed_pixels(embedder, pixels), embed_pixels(embedder, mirrored)], axis=1)}

    filled = cache.fill(compute, stage=f"embedding {name}", batch_size=batch_size, cap=None, progress=progress)
    if filled or not (folder / DESCRIPTION).is_file():
        _write_table(folder / "faces.parquet", source)
        write_json(
            folder / DESCRIPTION,
            {
                "format": FORMAT,
                "name": name,
                "images": source.images,
                "embedder": {"name": embedder.name, "width": embedder.dim, "sha256": sha256},
            },
        )
    return load_faces(folder, name=embedder.name, sha256=sha256, width=embedder.dim)


def may_hold_faces(folder: Path) -> bool:
    """Whether `store_faces` may write there: the folder is new, empty, or holds embeddings, begun or finished."""
    return not folder.exists() or (folder.is_dir() and ((folder / "source.txt").is_file() or not any(folder.iterdir())))


def holds_faces(path: Path) -> bool:
    """Whether `load_faces` is the way to read this."""
    return (path / DESCRIPTION).is_file() or path.suffix in (".npy", ".safetensors")


def stored_by(path: Path) -> str | None:
    """SHA-256 of the embedder whose vectors a folder holds; None for an array file, and where that cannot be read."""
    try:
        return str(json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))["embedder"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_faces(path: Path, *, name: str, sha256: str, width: int) -> StoredFaces:
    """Read stored embeddings: a folder made by `vec2face embed`, or a bare `.npy` or `.safetensors` array.

    A bare array, (N, D) or (N, 2, D), names neither images, nor people, nor the embedder, which is taken on trust.

    Args:
        path: the folder or the file.
        name, sha256, width: of the embedder whose vectors they must be.

    Raises:
        InputError: the folder or file is damaged, or vectors are not finite, or zeros.
        ContractError: the vectors are another embedder's, or of another width.
    """
    if not path.is_dir():
        return _from_array(path, name, width)
    try:
        facts = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise InputError(f"{path} is of format {facts['format']!r}; this version reads {FORMAT!r}.")
        table = pq.read_table(path / "faces.parquet", columns=["key", "person"])
        vectors = np.load(path / "vectors.npy", mmap_mode="r")
        embedder, images = facts["embedder"], facts["images"]
        known = f"{embedder['name']} ({embedder['sha256'][:12]})"
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(f"{path} holds no readable embeddings ({error}); make them with 'vec2face embed'.") from None
    if vectors.ndim != 3 or len(vectors) != images or table.num_rows != images or vectors.shape[1] != 2:
        raise InputError(f"{path} is damaged: {vectors.shape} vectors and {table.num_rows} rows for {images} images.")
    if embedder["sha256"] != sha256:
        raise ContractError(
            f"{path} holds vectors of {known}, not of {name} ({sha256[:12]}), which measures; embed the photographs "
            "with the same embedder, or name the other one with --embedder."
        )
    if vectors.shape[2] != width:
        raise ContractError(f"{path} holds vectors of width {vectors.shape[2]}, but those of {name} have {width}.")
    people: dict[str, int] = {}
    numbers = [people.setdefault(one, len(people)) if one else UNKNOWN for one in table["person"].to_pylist()]
    plain, both = _sums(vectors, str(path))
    return StoredFaces(
        name=str(facts["name"]),
        plain=plain,
        both=both,
        people=np.array(numbers, np.int64),
        keys=tuple(table["key"].to_pylist()),
        names=tuple(people),
        mirrored=True,
        facts=facts,
    )


def _from_array(path: Path, name: str, width: int) -> StoredFaces:
    with np.errstate(over="ignore"):  # what float32 cannot hold is told below
        both = read_embeddings(path).astype(np.float32)
        if both.shape[1] != width:
            raise ContractError(f"{path} holds vectors of width {both.shape[1]}, but those of {name} have {width}.")
        table = np.load(path, mmap_mode="r") if path.suffix == ".npy" else both
        mirrored = table.ndim == 3
        plain = np.asarray(table[:, 0], np.float32) if mirrored else both
    _require_usable(plain, str(path), 0)
    _require_usable(both, str(path), 0)
    return StoredFaces(
        name=path.name,
        plain=plain,
        both=both,
        people=np.full(len(both), UNKNOWN),
        keys=tuple(f"row {row}" for row in range(len(both))),
        names=(),
        mirrored=mirrored,
        facts={"name": path.name, "images": len(both), "embedder": None},
    )


def _sums(vectors: NDArray, where: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images' vectors, and their sums with those of the mirror images; a block at a time, from the file."""
    plain = vectors[:, 0]
    both = np.empty(plain.shape, np.float32)
    for start in range(0, len(vectors), 8192):
        block = np.asarray(vectors[start : start + 8192], np.float32)
        both[start : start + len(block)] = block.sum(axis=1)
        _require_usable(block[:, 0], where, start)
        _require_usable(both[start : start + len(block)], where, start)
    return plain, both


def _require_usable(vectors: NDArray[np.float32], where: str, first: int) -> None:
    """Refuse vectors without a direction, the rows of `where` from `first` on."""
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    if not usable.all():
        row = first + int(np.argmin(usable))
        raise InputError(f"{where}: row {row} is all zeros, or not finite; embed the set again.")


def _write_table(path: Path, source: AuditedSet) -> None:
    schema = pa.schema([("key", pa.string()), ("person", pa.string())])
    with atomic_write(path) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for shard in source.shards:
            records = [(record.key, record.person) for record in source.records(shard)]
            keys, people = zip(*records, strict=True)
            writer.write_table(pa.table({"key": list(keys), "person": list(people)}, schema=schema))
