"""The section "dataset" of an audit's facts: what was measured.

Of a dataset: name, fingerprint, seed, identities, images, images_per_identity {min, mean, max}, rejects, shards,
bytes, recipe (resolved), generator, bank (its provenance), bank_sha256, settings (all that decides the bytes), repairs
(rounds, replaced, reasons; null where there were none).
"""

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vec2face.errors import DatasetError
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.face_sets import ForeignSet, PackSet
from vec2face.evaluation.measure import Measurement


def describe_foreign(source: ForeignSet | PackSet | DatasetReader, measurement: Measurement) -> dict[str, Any]:
    """Facts of a set that was made elsewhere; its fingerprint is that of its files' names and sizes.

    Of a dataset that was made of others' images, `origin` is what its `dataset.json` says of that, else null.
    """
    counts = measurement.people.counts
    reader = source.reader if isinstance(source, ForeignSet) else None
    return {
        "name": Path(source.name).name if not isinstance(source, DatasetReader) else source.folder.name,
        "fingerprint": source.shards[0].sha256,
        "format": "face pack" if reader is None else reader.format,
        "labelled": reader.labelled if reader is not None else True,
        "identities": len(measurement.people),
        "images": source.images,
        "images_per_identity": {"min": int(counts.min()), "mean": float(counts.mean()), "max": int(counts.max())},
        "bytes": None if reader is None else sum(size for _, size in reader.files()),
        "origin": None if reader is None else _origin(Path(reader.source)),
    }


def _origin(source: Path) -> dict[str, Any] | None:
    """What a dataset says of how it was made, where no recipe made it."""
    try:
        origin: dict[str, Any] | None = json.loads((source / "dataset.json").read_bytes()).get("origin")
    except (OSError, ValueError, AttributeError):
        return None
    return origin


class DatasetDescription:
    """What `dataset.json` and the manifests say."""

    def __init__(self, reader: DatasetReader) -> None:
        self._reader = reader
        values = reader.description
        try:
            self.recipe: dict[str, Any] = values["recipe"]
            self.weights: str = self.recipe["weights"]
            self.generator: dict[str, Any] = values["generator"]
            self.fingerprint: str = values["fingerprint"]
            self._facts = {
                "name": values["name"],
                "fingerprint": values["fingerprint"],
                "seed": self.recipe["seed"],
                "recipe": self.recipe,
                "generator": {
                    key: self.generator[key] for key in ("sha256", "feature_space", "feature_dim", "sigma_unit")
                },
                "bank_sha256": values["identities"]["sha256"],
                "settings": values["determinants"],
            }
        except KeyError as error:
            raise DatasetError(
                f"{reader.folder / 'dataset.json'} lacks {error}; generate the dataset again into an empty folder."
            ) from None

    def facts(self) -> dict[str, Any]:
        reader = self._reader
        counts = reader.images_of_each_identity()
        return {
            **self._facts,
            "bank": reader.bank.provenance,
            "identities": len(counts),
            "images": reader.images,
            "images_per_identity": {"min": int(counts.min()), "mean": float(counts.mean()), "max": int(counts.max())},
            "rejects": sum(shard.rejects for shard in reader.shards),
            "shards": len(reader.shards),
            "bytes": sum(shard.path.stat().st_size for shard in reader.shards),
            "repairs": _repairs(reader.description.get("repairs", [])),
        }

    def kept(self, excluded: Collection[int]) -> dict[str, int]:
        """How many identities and images are left without those that are excluded: {"identities", "images"}."""
        counts = self._reader.images_of_each_identity()
        counts[list(excluded)] = 0
        return {"identities": len(counts) - len(excluded), "images": int(counts.sum())}


def _repairs(rounds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Sum up what repairs replaced, as `dataset.json` records it; None where there were none."""
    replaced = [part for round_ in rounds for part in round_["replaced"]]
    reasons = Counter(reason for part in replaced for reason in part["reasons"])
    return {"rounds": len(rounds), "replaced": len(replaced), "reasons": dict(reasons)} if rounds else None
