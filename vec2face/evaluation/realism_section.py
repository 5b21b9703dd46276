"""Realism as a part of an audit: the embeddings it has anyway, one of each person, against a set of real faces."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.realism import measure_realism
from vec2face.evaluation.realism_faces import EmbeddedFaces, choose, embed_faces, open_faces
from vec2face.progress import ProgressReporter
from vec2face.seeding import rng_for

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

# As `vec2face evaluate realism` has them by default.
IMAGES_PER_PERSON, LIMIT, SPLITS, RESAMPLES, NEIGHBOURS = 1, 10_000, 5, 100, 3
FLATTERED = (
    "measured by the embedder that the generator was made to satisfy, which flatters its pictures; a second embedder "
    "that took no part measures them without that"
)


class RealismReference:
    """Real faces, opened before any work.

    Args:
        path: a dataset, a face pack, a folder of aligned crops, or a `.npy` file of embeddings.

    Raises:
        InputError, DatasetError: it is none of these.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._source = path, open_faces(path)

    def measure(
        self,
        measurement: Measurement,
        network: "FaceEmbedder",
        *,
        flatters: bool,
        seed: int,
        batch_size: int,
        progress: ProgressReporter,
    ) -> dict[str, Any]:
        """Compare the measured images with the reference; facts as `Realism.to_dict`, with the reference's name.

        Args:
            measurement: of the dataset, by `network`.
            network: the embedder whose space is measured in.
            flatters: whether the generator was made to satisfy it, which the warnings then say.
            seed: of the choice of images, the splits and the resamples.
            batch_size: images in one pass; it changes speed only.
            progress: receives every stage.

        Raises:
            ContractError: stored vectors have another width than the embedder's.
            InputError: a picture cannot be read, or a set is too small.
        """
        people = measurement.embedded.identity.astype(np.int64)
        rng = rng_for(seed, "realism-choice")
        rows = choose(people, images_per_person=IMAGES_PER_PERSON, limit=LIMIT, rng=rng)
        faces = EmbeddedFaces("the dataset", measurement.embedded.gather(rows), people[rows], len(people))
        real = embed_faces(
            self._source,
            name=self._path.name,
            embedder=network,
            images_per_person=IMAGES_PER_PERSON,
            limit=LIMIT,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
        found = measure_realism(
            faces,
            real,
            embedder=network.name,
            splits=SPLITS,
            resamples=RESAMPLES,
            neighbours=NEIGHBOURS,
            seed=seed,
            progress=progress,
        )
        warnings = [FLATTERED] * flatters + list(found.warnings)
        return {"reference": self._path.name, **found.to_dict(), "warnings": warnings}
