"""Real faces that a dataset is compared with: stored embeddings, or pictures that are embedded when they are needed.

What is wrong with a reference is told when it is opened and when its embedder is known (`Reference.load`), before
anything is embedded; of pictures alone the reading shows whether they can be read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vec2face.errors import InputError
from vec2face.evaluation.face_sets import AuditedSet, PackSet, open_faces
from vec2face.evaluation.stored_faces import StoredFaces, holds_faces, load_faces, store_faces, stored_by
from vec2face.fileio.atomic import fingerprint
from vec2face.progress import ProgressReporter

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder


@dataclass(frozen=True)
class RealFaces:
    """Embedded real faces and, where they are on this machine, their pictures, in the same order."""

    faces: StoredFaces
    pictures: AuditedSet | None


class Reference:
    """A set of real faces as the user named it; what can be checked at once is checked.

    Args:
        source: a folder of stored embeddings or an array file, a face pack, or anything that `open_reader` opens.
        cache: folder in which embeddings of pictures are kept.

    Raises:
        InputError: there is nothing that can be read.
    """

    def __init__(self, source: str, *, cache: Path) -> None:
        self.name = Path(source).name
        self._source, self._cache = source, cache
        self._pictures: AuditedSet | None = None
        self._held_out: AuditedSet | None = None
        self._stored: dict[str, StoredFaces] = {}  # by digest of the embedder
        if holds_faces(Path(source)):
            if not Path(source).exists():
                raise InputError(f"there is no file of embeddings {source}.")
            return
        self._pictures = open_faces(source, report=cache, part="training")
        if isinstance(self._pictures, PackSet) and self._pictures.holds_out:
            self._held_out = open_faces(source, report=cache, part="held-out")

    @property
    def sha256(self) -> str | None:
        """Of the embedder whose stored vectors these are; None for pictures, and where no embedder is named."""
        return stored_by(Path(self._source)) if self._pictures is None else None

    def load(self, network: "FaceEmbedder", *, sha256: str) -> StoredFaces | None:
        """Read stored embeddings and check that they are of this embedder; None for pictures.

        Raises:
            ContractError: they are another embedder's, or of another width.
            InputError: the file is damaged, or vectors are not finite, or zeros.
        """
        return self._read(network, sha256) if self._pictures is None else None

    def embed(
        self, network: "FaceEmbedder", *, sha256: str, batch_size: int, progress: ProgressReporter
    ) -> tuple[RealFaces, StoredFaces | None]:
        """Return the faces and, of a pack that holds people out, those held out.

        Raises:
            ContractError: stored embeddings are another embedder's.
            InputError, DatasetError: a picture cannot be read or is no aligned crop.
            StorageError: the cache cannot be written.
        """
        if self._pictures is None:
            return RealFaces(self._read(network, sha256), None), None

        def stored(pictures: AuditedSet, name: str) -> StoredFaces:
            shards = [[shard.path.name, shard.count, shard.sha256] for shard in pictures.shards]
            key = fingerprint({"shards": shards, "embedder": sha256})[:16]
            return store_faces(
                pictures,
                network,
                sha256=sha256,
                folder=self._cache / f"real-{key}",
                name=name,
                batch_size=batch_size,
                progress=progress,
            )

        held_out = None if self._held_out is None else stored(self._held_out, f"{self.name}, held out")
        return RealFaces(stored(self._pictures, self.name), self._pictures), held_out

    def _read(self, network: "FaceEmbedder", sha256: str) -> StoredFaces:
        if sha256 not in self._stored:
            width = network.dim
            self._stored[sha256] = load_faces(Path(self._source), name=network.name, sha256=sha256, width=width)
        return self._stored[sha256]
