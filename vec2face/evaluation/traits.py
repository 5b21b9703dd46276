"""What is measured of each picture beside its embedding: perceptual hashes, light and sharpness, attributes.

Kept in the report's cache like the embeddings, so that a stopped audit goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.dataset import ImageRecord
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.perceptual_hash import THUMBNAIL, Hashes, hash_images, thumbnails
from vec2face.evaluation.row_cache import Pixels, RowCache, Rows
from vec2face.fileio.atomic import fingerprint
from vec2face.progress import ProgressReporter

if TYPE_CHECKING:
    from vec2face.steering.estimators import AttributeEstimator

STATISTICS = ("brightness", "contrast", "sharpness")


@dataclass(frozen=True)
class Traits:
    """Traits of all images of a set, in its order; zeros for images that were not measured.

    Attributes:
        hashes, mirrored: (N,) uint64; see `perceptual_hash.hash_images`.
        thumbnails: (N, 8, 8, 3) uint8.
        values: attribute -> (N,) float32, in its unit.
        units: attribute -> unit.
        errors: attribute -> mean absolute error on held-out faces in that unit; None where it is exact by definition.
        misjudged: attribute -> share of faces held out that belong to a group and are not counted, and of those that do
            not and are; of probabilities alone.
    """

    hashes: Hashes
    mirrored: Hashes
    thumbnails: NDArray[np.uint8]
    values: Mapping[str, NDArray[np.float32]]
    units: Mapping[str, str]
    errors: Mapping[str, float | None]
    misjudged: Mapping[str, tuple[float, float]]

    def of(self, rows: NDArray[np.integer]) -> "Traits":
        """The traits of some images, in the order given."""
        values = {name: column[rows] for name, column in self.values.items()}
        return replace(
            self,
            hashes=self.hashes[rows],
            mirrored=self.mirrored[rows],
            thumbnails=self.thumbnails[rows],
            values=values,
        )


def measure_traits(
    source: AuditedSet,
    estimators: Sequence["AttributeEstimator"],
    *,
    identity: str,
    images_per_identity: int | None,
    batch_size: int,
    device: str,
    progress: ProgressReporter,
) -> Traits:
    """Measure every image of a set, or the first few of each identity.

    Args:
        estimators: what is estimated; each gives a column under its name.
        identity: what tells these estimators' weights from others of the same names.
        images_per_identity: None measures all.
        batch_size: images in one pass; it changes speed only.
        device: where the estimators' networks run.
        progress: receives the stage.

    Raises:
        ContractError: an estimator gives something else than one number an image.
        DatasetError, InputError, StorageError: see `RowCache.fill`.
    """
    import torch

    from vec2face.steering.estimators import measure

    for network in {id(network): network for one in estimators for network in one.networks}.values():
        network.to(device).eval()
    names = [one.facts.name for one in estimators]
    shape = (THUMBNAIL, THUMBNAIL, 3)
    fields = [("hash", "<u8"), ("mirrored", "<u8"), ("thumbnail", "u1", shape), ("values", "<f4", (len(names),))]
    kind = np.dtype(fields)
    settings = {"traits": [[one.facts.name, one.facts.unit] for one in estimators], "identity": identity}
    cache = RowCache(
        source.report_folder / "cache" / f"traits-{fingerprint(settings)[:16]}",
        source,
        arrays={"traits": (kind, ())},
        settings={**settings, "images_per_identity": images_per_identity},
    )

    def compute(records: list[ImageRecord], pixels: Pixels) -> Rows:
        rows = np.zeros(len(records), kind)
        rows["hash"], rows["mirrored"] = hash_images(pixels)
        rows["thumbnail"] = thumbnails(pixels)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1.0).to(device)
        with torch.inference_mode():
            for column, one in enumerate(estimators):
                rows["values"][:, column] = measure(one, images).cpu().numpy()
        return {"traits": rows}

    cache.fill(compute, stage="measuring pictures", batch_size=batch_size, cap=images_per_identity, progress=progress)
    table = cache.load("traits")
    return Traits(
        hashes=np.ascontiguousarray(table["hash"]),
        mirrored=np.ascontiguousarray(table["mirrored"]),
        thumbnails=np.ascontiguousarray(table["thumbnail"]),
        values={name: np.ascontiguousarray(table["values"][:, column]) for column, name in enumerate(names)},
        units={one.facts.name: one.facts.unit for one in estimators},
        errors={one.facts.name: one.facts.error for one in estimators},
        misjudged={one.facts.name: one.misjudged for one in estimators if one.misjudged is not None},
    )
