"""The cosine thresholds at which an embedder takes strangers for one person at a stated rate, on real faces."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vec2face.data.facepack import FacePack
from vec2face.errors import InputError
from vec2face.evaluation.embeddings import embed_pixels
from vec2face.evaluation.people import unit
from vec2face.models.embedders.base import FaceEmbedder

FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4, 1e-5)
BATCH = 64
# Fewer false matches than this leave the threshold to chance, and the rate is left out.
FEWEST_FALSE_MATCHES = 10


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds by name ("fmr_1e-4"), and how many people and pairs of strangers they were measured on."""

    thresholds: dict[str, float]
    people: int
    pairs: int


def operating_points(
    embedder: FaceEmbedder, faces: FacePack, *, on_image: Callable[[int, int], None] | None = None
) -> OperatingPoints:
    """Compare the first image of every person in a pack with that of every other person, all pairs.

    A threshold is the smallest score at which at most the stated share of the pairs scores as high.

    Raises:
        InputError: the pack knows too few people to measure any rate.
    """
    groups = np.array(faces.groups)
    known, first = np.unique(groups, return_index=True)
    rows = first[known != ""]
    pairs = len(rows) * (len(rows) - 1) // 2
    rates = [rate for rate in FALSE_MATCH_RATES if rate * pairs >= FEWEST_FALSE_MATCHES]
    if not rates:
        raise InputError(
            f"the face pack names {len(rows)} people; too few pairs of strangers to measure a false match."
        )
    embeddings = []
    for start in range(0, len(rows), BATCH):
        embeddings.append(embed_pixels(embedder, np.asarray(faces.images[rows[start : start + BATCH]])))
        if on_image is not None:
            on_image(min(start + BATCH, len(rows)), len(rows))
    directions = unit(np.concatenate(embeddings))
    scores = np.sort((directions @ directions.T)[np.triu_indices(len(rows), 1)])[::-1]
    thresholds = {f"fmr_{rate:.0e}".replace("e-0", "e-"): _threshold(scores, rate) for rate in rates}
    return OperatingPoints(thresholds, len(rows), pairs)


def _threshold(descending: np.ndarray, rate: float) -> float:
    allowed = int(rate * len(descending))
    # Just above the first score that would be one false match too many.
    return float(np.nextafter(descending[allowed], np.float32(1)))
