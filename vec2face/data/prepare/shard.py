"""One shard: examine its part of the source, embed, leave duplicates out, write archive, table and, last, manifest."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vec2face.config.preparing import PrepareOptions
from vec2face.data.formats.npy import encode_array
from vec2face.data.prepare.duplicates import NearDuplicates, SameFiles, unit
from vec2face.data.prepare.examine import Examined
from vec2face.data.prepare.features import FeatureExtractor
from vec2face.data.prepare.folder import PreparedFolder, ShardManifest
from vec2face.data.prepare.quality import whole_crop
from vec2face.data.readers.base import FaceReader
from vec2face.data.readers.tars import TarReader
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import canonical_json, write_json
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar


@dataclass
class Memory:
    """What the shards before leave behind: the images kept so far."""

    files: SameFiles
    near: NearDuplicates | None

    def add(self, digest: bytes, feature: np.ndarray, label: int | None, index: int) -> None:
        """Remember a kept image; `feature` is `(D,)`, as stored."""
        self.files.add(digest, index)
        if self.near is not None:
            self.near.add(unit(feature), label, index)


class ShardWriter:
    """Makes shards one after another; each depends on the images kept before it."""

    def __init__(
        self,
        folder: PreparedFolder,
        plan: str,
        options: PrepareOptions,
        *,
        reader: FaceReader,
        extractor: FeatureExtractor,
        memory: Memory,
        on_images: Callable[[int], None],
    ) -> None:
        self.folder, self.plan, self.options = folder, plan, options
        self.reader, self.extractor, self.memory, self.on_images = reader, extractor, memory, on_images

    def write(self, shard: int, batches: Iterable[list[Examined]]) -> ShardManifest:
        """Make a shard of the examined images.

        Raises:
            StorageError: it cannot be written; an archive without a manifest is made again by the next run.
        """
        rows: list[dict[str, Any]] = []
        # Nothing may speak of a shard while its parts are replaced.
        self.folder.manifest(shard).unlink(missing_ok=True)
        digest = write_tar(self.folder.archive(shard), self._members(batches, rows))
        self.folder.write_table(shard, rows)
        dropped = Counter(row["reason"] for row in rows if row["reason"])
        manifest = ShardManifest(
            shard=shard,
            plan=self.plan,
            kept=len(rows) - dropped.total(),
            dropped=dict(dropped),
            size=self.folder.archive(shard).stat().st_size,
            sha256=digest,
        )
        write_json(self.folder.manifest(shard), manifest.model_dump(mode="json"))
        self.memory.files.settle()
        return manifest

    def recall(self, shard: int) -> None:
        """Remember the images of a finished shard. Raises `DatasetError` or `InputError` if it is damaged."""
        kept = [row for row in self.folder.read_table(shard) if not row["reason"]]
        path = self.folder.archive(shard)
        records = _stored_features(path) if kept else []
        if len(records) != len(kept):
            raise DatasetError(
                f"{path} holds {len(records)} embeddings, but its table has {len(kept)} images; "
                f"remove {self.folder.manifest(shard)} and run the command again."
            )
        for row, feature in zip(kept, records, strict=True):
            self.memory.add(row["sha256"], feature, row["label"], row["index"])
        self.memory.files.settle()

    def _members(self, batches: Iterable[list[Examined]], rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for batch in batches:
            features = self._embed(batch)
            vectors = {place: unit(feature[0]) for place, feature in features.items()}
            before = self._before(batch, vectors)
            kept: list[int] = []
            for place, face in enumerate(batch):
                judged = face
                if not face.reason:
                    # Those of the same batch were kept after `before` was found.
                    beside = (
                        (float(vectors[place] @ vectors[other]), batch[other].index)
                        for other in kept
                        if batch[other].label == face.label
                    )
                    judged = self._without_twin(face, max(before[place], *beside, (-1.0, -1)))
                rows.append(_row(judged))
                if not judged.reason:
                    kept.append(place)
                    self.memory.add(judged.digest, features[place][0], judged.label, judged.index)
                    yield from self._files(judged, features[place])
            self.on_images(len(batch))

    def _embed(self, batch: list[Examined]) -> dict[int, np.ndarray]:
        """Embed the usable faces of a batch: place in the batch -> float16 `(2, D)`."""
        usable = {place: face.crop for place, face in enumerate(batch) if not face.reason and face.crop is not None}
        if not usable:
            return {}
        return dict(zip(usable, self.extractor.embed(np.stack(list(usable.values()))), strict=True))

    def _before(self, batch: list[Examined], vectors: dict[int, np.ndarray]) -> dict[int, tuple[float, int]]:
        """Compare the usable faces of a batch with what was kept before it; see `NearDuplicates.nearest`."""
        if self.memory.near is None or not vectors:
            return dict.fromkeys(vectors, (-1.0, -1))
        labels = [batch[place].label for place in vectors]
        return dict(zip(vectors, self.memory.near.nearest(np.stack(list(vectors.values())), labels), strict=True))

    def _without_twin(self, face: Examined, nearest: tuple[float, int]) -> Examined:
        same = self.memory.files.find(face.digest)
        if same is not None:
            return face.dropped("same file", f"as {self._name(same, face)}")
        cosine, other = nearest
        if self.memory.near is None or not self.memory.near.is_near(cosine):
            return face
        return face.dropped("near duplicate", f"cosine {cosine:.3f} to {self._name(other, face)}")

    def _name(self, index: int, face: Examined) -> str:
        other = self.reader.record(index)
        return other.key if other.person == face.person else f"{other.key} of another person, {other.person}"

    def _files(self, face: Examined, feature: np.ndarray) -> Iterator[tuple[str, bytes]]:
        key = f"{face.index:09d}"
        if face.crop is None or face.corners is None:
            raise TypeError("a kept face has a crop")
        encoded = face.encoded
        if encoded is None:
            encoded = encode_image(face.crop, format=self.options.format, quality=self.options.jpeg_quality)
        yield f"{key}.{self.options.suffix}", encoded
        if face.label is not None:
            yield f"{key}.cls", str(face.label).encode("ascii")
        facts: dict[str, Any] = {
            "source": _text(face.key),
            "person": None if face.person is None else _text(face.person),
        }
        if not np.array_equal(face.corners, whole_crop()):
            facts["valid"] = [[round(float(x), 3) for x in corner] for corner in face.corners]
        yield f"{key}.json", canonical_json(facts)
        yield f"{key}.npy", encode_array(feature)


def _stored_features(archive: Path) -> list[np.ndarray]:
    reader = TarReader([archive], source=str(archive), people="none")
    return [record.feature for record in reader if record.feature is not None]


def _row(face: Examined) -> dict[str, Any]:
    return {
        "index": face.index,
        "source": _text(face.key),
        "person": None if face.person is None else _text(face.person),
        "label": face.label,
        "reason": face.reason,
        "detail": _text(face.detail),
        "sha256": face.digest,
        "faces": face.faces,
        "size": face.size,
        "sharpness": face.sharpness,
        "brightness": face.brightness,
    }


def _text(name: str) -> str:
    """Return a name that can be written as UTF-8: names of files need not be valid."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
