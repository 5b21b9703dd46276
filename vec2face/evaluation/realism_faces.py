"""Sets of faces to compare: a dataset, a face pack, a folder of aligned crops, or stored embeddings.

Each kind says whom its images show and gives chosen ones in rising order, so that a sample of a large set is read once
and memory holds its vectors alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vec2face.contracts import IMAGE_SIZE, require_same_width
from vec2face.data.facepack import FacePack
from vec2face.data.photos import list_photos
from vec2face.errors import DatasetError, InputError
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import decode_face, embed_pixels
from vec2face.fileio.images import decode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.progress import ProgressReporter, SilentProgress
from vec2face.seeding import rng_for

Part = Literal["all", "held-out", "training"]
Rows = NDArray[np.integer]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class EmbeddedFaces:
    """Vectors of the images that were taken from a set.

    Attributes:
        name: the set, as the user named it.
        vectors: (N, D) raw, float32.
        people: (N,) a number for each image's person; an image of nobody known is a person of its own.
        available: images in the set, N or more.
    """

    name: str
    vectors: NDArray[np.float32]
    people: NDArray[np.int64]
    available: int

    @property
    def people_count(self) -> int:
        """How many people the images show."""
        return len(np.unique(self.people))


class FaceSource(Protocol):
    """A set of aligned faces."""

    @property
    def people(self) -> NDArray[np.int64]:
        """(N,) a number for each image's person; an image of nobody known is a person of its own."""

    def faces(self, rows: Rows) -> Iterator[Pixels]:
        """Give the images at rising positions `rows`, (112, 112, 3) uint8 RGB each."""


class StoredVectors:
    """Embeddings in a `.npy` file: (N, D) floating numbers, each row a person of its own."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `InputError` unless it holds finite vectors."""
        try:
            table = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path} is not a readable .npy table of embeddings ({error}).") from None
        if table.ndim != 2 or not np.issubdtype(table.dtype, np.floating) or not table.size:
            raise InputError(f"{path} must hold a table of floating numbers (N, D), not {table.dtype} {table.shape}.")
        self.vectors = table.astype(np.float32)
        if not np.isfinite(self.vectors).all():
            raise InputError(f"{path} holds NaN or infinity; remove those rows.")


class DatasetFaces:
    """The images of a generated dataset, which stand in its shards identity by identity."""

    def __init__(self, folder: Path) -> None:
        self._reader = DatasetReader(folder)
        counts = self._reader.images_of_each_identity()
        self.people = np.repeat(np.arange(len(counts)), counts)

    def faces(self, rows: Rows) -> Iterator[Pixels]:
        wanted, position = set(rows.tolist()), 0
        for shard in self._reader.shards:
            if wanted.isdisjoint(range(position, position + shard.count)):
                position += shard.count
                continue
            for record in self._reader.records(shard):
                if position in wanted:
                    if record.identity != self.people[position]:
                        raise DatasetError(
                            f"{shard.path} does not hold what the table of images says; run `vec2face verify`."
                        )
                    yield decode_face(record)
                position += 1


class PackFaces:
    """Faces of a pack: all, those held out, or those trained on; all of them, or those whose whole crop is real."""

    def __init__(self, folder: Path, *, part: Part, whole_only: bool) -> None:
        """Open the pack. Raises `InputError` if no face of it is left."""
        self._pack = FacePack.load(folder)
        chosen = {
            "all": np.ones(len(self._pack.holdout), bool),
            "held-out": self._pack.holdout,
            "training": ~self._pack.holdout,
        }[part]
        self._rows = np.flatnonzero(chosen & (self._pack.whole | (not whole_only)))
        if not len(self._rows):
            raise InputError(f"the face pack {folder} has no such faces ({part}); choose another part of it.")
        self.people = number_people([self._pack.groups[row] for row in self._rows])

    def faces(self, rows: Rows) -> Iterator[Pixels]:
        for row in self._rows[rows]:
            yield np.asarray(self._pack.images[row])


class FolderFaces:
    """Aligned 112x112 crops in a folder; those in a folder of their own inside it show one person."""

    def __init__(self, folder: Path) -> None:
        """List the files. Raises `InputError` if there are none."""
        self._files = list_photos([folder])
        groups = [path.relative_to(folder).parent.as_posix() for path in self._files]
        self.people = number_people(["" if group == "." else group for group in groups])

    def faces(self, rows: Rows) -> Iterator[Pixels]:
        for row in rows:
            path = self._files[row]
            try:
                data = path.read_bytes()
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror}.") from None
            pixels = decode_image(data, where=str(path))
            if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
                size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise InputError(f"{path} is {size}; align the faces to {IMAGE_SIZE}x{IMAGE_SIZE} crops first.")
            yield pixels


def open_faces(path: Path, *, part: Part = "all", whole_only: bool = False) -> FaceSource | StoredVectors:
    """Open a set of faces; what it is shows in the folder.

    Args:
        path: a dataset (it has a dataset.json), a face pack (index.json), a folder of crops, or a `.npy` file.
        part, whole_only: which faces of a pack; other sets are taken as they are.

    Raises:
        InputError: there is nothing there, or it is none of these.
        DatasetError: the dataset is unfinished.
    """
    if path.is_file():
        return StoredVectors(path)
    if (path / "dataset.json").is_file():
        return DatasetFaces(path)
    if (path / "index.json").is_file():
        return PackFaces(path, part=part, whole_only=whole_only)
    return FolderFaces(path)


def embed_faces(
    source: FaceSource | StoredVectors,
    *,
    name: str,
    embedder: FaceEmbedder,
    images_per_person: int,
    limit: int,
    seed: int,
    batch_size: int,
    progress: ProgressReporter | None = None,
) -> EmbeddedFaces:
    """Embed images of a set, chosen at random.

    Args:
        name: what the set is called in messages and results.
        images_per_person: most images to take of a person.
        limit: most images to take in all.
        seed: of that choice.
        batch_size: images in one pass; it changes speed only.
        progress: receives the stage "embedding NAME".

    Raises:
        ContractError: stored vectors have another width than the embedder's.
        InputError, DatasetError: an image cannot be read or has another size.
    """
    progress = progress or SilentProgress()
    people = np.arange(len(source.vectors)) if isinstance(source, StoredVectors) else source.people
    rows = choose(people, images_per_person=images_per_person, limit=limit, rng=rng_for(seed, "realism-choice"))
    if isinstance(source, StoredVectors):
        require_same_width(name, source.vectors.shape[1], f"the embedder {embedder.name!r}", embedder.dim)
        return EmbeddedFaces(name, source.vectors[rows], people[rows], len(people))
    progress.begin(f"embedding {name}", total=len(rows), unit="images")
    vectors = np.empty((len(rows), embedder.dim), np.float32)
    images, done = source.faces(rows), 0
    while batch := list(islice(images, batch_size)):
        vectors[done : done + len(batch)] = embed_pixels(embedder, np.stack(batch))
        done += len(batch)
        progress.advance(len(batch))
    return EmbeddedFaces(name, vectors, people[rows], len(people))


def choose(people: Rows, *, images_per_person: int, limit: int, rng: np.random.Generator) -> Rows:
    """Choose positions of images (N,) at random: so many of each person, and of those so many in all; rising."""
    order = rng.permutation(len(people))
    by_person = order[np.argsort(people[order], kind="stable")]
    _, starts, sizes = np.unique(people[by_person], return_index=True, return_counts=True)
    place = np.arange(len(people)) - np.repeat(starts, sizes)  # which of its person's images each is, in random order
    kept = by_person[place < images_per_person]
    if len(kept) > limit:
        kept = rng.choice(kept, limit, replace=False)
    chosen: Rows = np.sort(kept)
    return chosen


def number_people(names: list[str]) -> NDArray[np.int64]:
    """Number people by first occurrence; "" stands for somebody new each time."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(name or index, len(numbers)) for index, name in enumerate(names)], np.int64)
