"""Read a generated dataset from its folder, an image at a time: the layout is stated in docs/architecture.md."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.errors import DatasetError, InputError
from vec2face.fileio.tar import read_tar
from vec2face.identities import IdentityBank

IMAGE_SUFFIXES = ("jpg", "png", "webp")


@dataclass(frozen=True)
class Shard:
    """One tar file and what its manifest says about it."""

    path: Path
    count: int
    sha256: str
    rejects: int


@dataclass(frozen=True)
class ImageRecord:
    """One image as it stands in a shard.

    Attributes:
        key: `{identity:07d}_{image:04d}`.
        identity: index of the identity in the bank, also its class label.
        image: index of the image within its identity.
        sigma: strength of the perturbation of the identity's vector, in the generator's sigma units.
        data: the encoded image (JPEG, PNG or WebP bytes).
        person: name of the identity; "" where it has none.
        pixels: the image itself, (112, 112, 3) uint8 RGB, where a set holds it decoded; else None.
    """

    key: str
    identity: int
    image: int
    sigma: float
    data: bytes
    person: str = ""
    pixels: NDArray[np.uint8] | None = None


class DatasetReader:
    """A finished dataset: its description, identity bank and images.

    Raises:
        DatasetError: the folder is not a finished dataset; the message names what is missing and the command to run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "dataset.json").is_file():
            missing = "it has no dataset.json" if folder.is_dir() else "there is no such folder"
            raise DatasetError(f"{folder} is not a dataset: {missing}.")
        self.description = _read_json(folder / "dataset.json")
        self.shards = self._find_shards()
        if not self.metadata_path.is_file():
            raise DatasetError(f"{self.metadata_path} is missing; {_REPAIR}.")

    @property
    def metadata_path(self) -> Path:
        return self.folder / "metadata.parquet"

    @property
    def report_folder(self) -> Path:
        return self.folder / "report"

    @property
    def images(self) -> int:
        """Number of images that the manifests list."""
        return sum(shard.count for shard in self.shards)

    @cached_property
    def bank(self) -> IdentityBank:
        path = self.folder / "identities.safetensors"
        if not path.is_file():
            raise DatasetError(f"{path} is missing; {_REPAIR}.")
        return IdentityBank.load(path)

    def records(self, shard: Shard) -> Iterator[ImageRecord]:
        """Yield a shard's images in file order.

        Raises:
            DatasetError: the tar is damaged, or a member is missing or foreign.
        """
        found = 0
        for members in _samples(shard.path):
            yield _parse(shard.path, members)
            found += 1
        if found != shard.count:
            raise DatasetError(
                f"{shard.path} holds {found} images, but its manifest says {shard.count}; run `vec2face verify` on the "
                "dataset, then generate it again."
            )

    def fetch(self, wanted: Iterable[tuple[int, str]]) -> dict[str, ImageRecord]:
        """Read chosen images by (position of the shard in `shards`, key), opening each shard once.

        Raises:
            DatasetError: a shard does not hold the key.
        """
        by_shard: dict[int, set[str]] = {}
        for position, key in wanted:
            by_shard.setdefault(position, set()).add(key)
        found: dict[str, ImageRecord] = {}
        for position, keys in sorted(by_shard.items()):
            path = self.shards[position].path
            found |= {m["key"]: _parse(path, m) for m in _samples(path) if m["key"] in keys}
            if missing := sorted(keys - found.keys()):
                raise DatasetError(f"{path} holds no image {missing[0]!r}; run `vec2face verify` on the dataset.")
        return found

    def fetch_rows(self, rows: Iterable[int]) -> dict[int, ImageRecord]:
        """Read chosen images by their position in file order, shards after each other. Raises `DatasetError`."""
        wanted = set(rows)
        found: dict[int, ImageRecord] = {}
        start = 0
        for shard in self.shards:
            here = {row - start for row in wanted if start <= row < start + shard.count}
            if here:
                samples = enumerate(_samples(shard.path))
                found |= {start + place: _parse(shard.path, members) for place, members in samples if place in here}
            start += shard.count
        if missing := sorted(wanted - found.keys()):
            raise DatasetError(f"{self.folder} holds no image at {missing[0]}; run `vec2face verify` on the dataset.")
        return found

    def images_of_each_identity(self) -> NDArray[np.int64]:
        """Count the kept images of each identity in the bank, (B,), from the table.

        Raises:
            DatasetError: the table is damaged.
        """
        counts = np.zeros(len(self.bank), np.int64)
        try:
            with pq.ParquetFile(self.metadata_path) as table:
                for batch in table.iter_batches(columns=["identity", "status"]):
                    kept = np.asarray(batch["status"].to_numpy(zero_copy_only=False) == "kept")
                    counts += np.bincount(batch["identity"].to_numpy()[kept], minlength=len(counts))
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise DatasetError(f"{self.metadata_path} is damaged ({reason}); remove it, then {_REPAIR}.") from None
        return counts

    def _find_shards(self) -> tuple[Shard, ...]:
        planned = self.description.get("shards")
        if not isinstance(planned, int):
            raise DatasetError(f"{self.folder / 'dataset.json'} is damaged: it does not say how many shards there are.")
        names = {f"{index:06d}.tar" for index in range(planned)}
        shards = []
        for path in sorted((self.folder / "shards").glob("*.tar")):
            if path.name not in names:
                raise DatasetError(f"{path} is not part of the dataset, which has {planned} shards; move it elsewhere.")
            if not path.with_suffix(".json").is_file():
                raise DatasetError(f"{path} has no manifest, so it is unfinished; {_REPAIR}.")
            manifest = _read_json(path.with_suffix(".json"))
            try:
                count, sha256 = int(manifest["count"]), str(manifest["sha256"])
                rejected = int(manifest["rejects"])
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(
                    f"{path.with_suffix('.json')} is not a shard manifest ({error}); {_REPAIR}."
                ) from None
            shards.append(Shard(path, count, sha256, rejected))
        if planned != len(shards):
            raise DatasetError(f"{self.folder} is unfinished: {len(shards)} of {planned} shards are there; {_REPAIR}.")
        if not sum(shard.count for shard in shards):
            raise DatasetError(
                f"{self.folder} holds no images: all {sum(shard.rejects for shard in shards)} were rejected while "
                "generating (metadata.parquet says why); check the identity vectors and the weights."
            )
        return tuple(shards)


_REPAIR = "run `vec2face generate` with the same recipe and output folder again to complete it"


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    """Group a tar's members by key: {"key", "image", "cls", "json"}, in file order."""
    current: dict[str, Any] = {}
    try:
        for name, data in read_tar(path):
            key, _, suffix = name.partition(".")
            if current and current["key"] != key:
                yield current
                current = {}
            current["key"] = key
            current["image" if suffix in IMAGE_SUFFIXES else suffix] = data
    except InputError as error:
        raise DatasetError(f"{error} Run `vec2face verify` on the dataset.") from None
    if current:
        yield current


def _parse(path: Path, members: dict[str, Any]) -> ImageRecord:
    key = members["key"]
    try:
        facts = json.loads(members["json"])
        record = ImageRecord(
            key=key,
            identity=int(facts["identity"]),
            image=int(facts["image"]),
            sigma=float(facts["sigma"]),
            data=members["image"],
            person=str(facts.get("identity_name", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: sample {key!r} is incomplete ({type(error).__name__}: {error}); "
            "run `vec2face verify` on the dataset."
        ) from None
    if image_key(record.identity, record.image) != key:
        raise DatasetError(f"{path}: sample {key!r} says it is image {record.image} of identity {record.identity}.")
    return record


def image_key(identity: int, image: int) -> str:
    """Name of an image inside a dataset."""
    return f"{identity:07d}_{image:04d}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {_REPAIR}.") from None
    if not isinstance(values, dict):
        raise DatasetError(f"{path} must hold a JSON object; {_REPAIR}.")
    return values
