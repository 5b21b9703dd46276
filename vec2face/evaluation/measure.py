"""All that one embedder says about a dataset, as arrays for figures and columns and as plain numbers for the facts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.config.audit import AuditOptions
from vec2face.errors import InputError
from vec2face.evaluation.embeddings import EmbeddedImages
from vec2face.evaluation.pairs import PairScores, genuine_scores, impostor_scores
from vec2face.evaluation.people import Array, People
from vec2face.evaluation.rates import (
    area_under_curve,
    equal_error_rate,
    fisher_ratio,
    fnmr_at_fmr,
    operating_curve,
    tar_at_far,
)
from vec2face.evaluation.separation import (
    Centres,
    CentreSeparation,
    ImageScores,
    centre_separation,
    image_scores,
    nearest_vector,
    own_vector_cosines,
    person_centres,
)

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
RADII = (0.3, 0.4)
"""Cosines that the literature counts unique people at (DCFace, Vec2Face), beside the embedder's own threshold."""

LISTED = 8
"""How many of the worst identities and of the closest pairs are named."""


@dataclass(frozen=True)
class Measurement:
    """One embedder's view of a dataset.

    Attributes:
        embedded: the images' embeddings, sorted by identity.
        people: the images grouped by identity.
        threshold: cosine from which two images are called one person.
        genuine, impostor: cosines of pairs of images.
        images: each image against the centres.
        centres: the centres against each other; None with fewer than two people.
        to_vector: (N,) cosine to the vector the image was made from; None in another feature space.
        vector_rank_one: (N,) bank row of the nearest vector, -1 where not compared; None in another feature space.
        likeness: (K,) mean cosine of all pairs of a person's images; NaN for a person with one image.
    """

    embedded: EmbeddedImages
    people: People
    threshold: float
    genuine: PairScores
    impostor: PairScores
    images: ImageScores
    centres: CentreSeparation | None
    to_vector: Array | None
    vector_rank_one: NDArray[np.int64] | None
    likeness: Array

    @property
    def person_means(self) -> Array:
        """(K,) mean of `images.to_centre` of each person; NaN for a person with one image."""
        sums = np.add.reduceat(self.images.to_centre, self.people.starts[:-1])
        return (sums / self.people.counts).astype(np.float32)

    @property
    def worst_people(self) -> list[int]:
        """People whose images agree least with each other, the worst first."""
        means = self.person_means
        return [int(person) for person in np.argsort(means) if not np.isnan(means[person])][:LISTED]

    @property
    def closest_people(self) -> list[tuple[int, int]]:
        """Pairs of people whose centres are nearest, the nearest first; of each person, its nearest other only."""
        if self.centres is None:
            return []
        pairs: dict[tuple[int, int], None] = {}
        for person in np.argsort(-self.centres.nearest_cosine, kind="stable"):
            other = int(self.centres.nearest[person])
            pairs.setdefault((min(int(person), other), max(int(person), other)))
            if len(pairs) == LISTED:
                break
        return list(pairs)

    def centre_cosine(self, pair: tuple[int, int]) -> float:
        """Cosine of the centres of one of `closest_people`."""
        if self.centres is None:
            raise InputError("a dataset of one identity has no pairs of identities.")
        person = pair[0] if self.centres.nearest[pair[0]] == pair[1] else pair[1]
        return float(self.centres.nearest_cosine[person])

    def facts(self) -> dict[str, Any]:
        """The measures as JSON values; None stands for what cannot be measured."""
        return {
            "images": len(self.embedded),
            "identities": len(self.people),
            "genuine": _score_facts(self.genuine),
            "impostor": _score_facts(self.impostor),
            "error_rates": self._error_rates(),
            "consistency": self._consistency(),
            "separation": self._separation(),
            "diversity": self._diversity(),
            "to_vector": self._to_vector(),
        }

    def _error_rates(self) -> dict[str, Any] | None:
        genuine, impostor = self.genuine.scores, self.impostor.scores
        if not len(genuine) or not len(impostor):
            return None
        curve = operating_curve(genuine, impostor)
        return {
            "eer": equal_error_rate(curve),
            "auc": area_under_curve(curve),
            "fmr100": fnmr_at_fmr(curve, 1e-2),
            "fmr1000": fnmr_at_fmr(curve, 1e-3),
            "tar_at_far": {f"{far:g}": tar_at_far(curve, far) for far in FARS},
            "fisher_ratio": fisher_ratio(genuine, impostor),
            "fmr_at_threshold": float((impostor >= self.threshold).mean()),
            "fnmr_at_threshold": float((genuine < self.threshold).mean()),
        }

    def _consistency(self) -> dict[str, Any] | None:
        cosines = self.images.to_centre[~np.isnan(self.images.to_centre)]
        if not len(cosines):
            return None
        means = self.person_means
        return {
            **_spread(cosines),
            "share_at_threshold": float((cosines >= self.threshold).mean()),
            "worst": [
                {"identity": int(self.people.identities[person]), "mean": float(means[person])}
                for person in self.worst_people
            ],
        }

    def _separation(self) -> dict[str, Any] | None:
        if self.centres is None:
            return None
        compared = self.images.nearest >= 0
        own = np.repeat(np.arange(len(self.people)), self.people.counts)
        nearest = self.centres.nearest_cosine
        return {
            "unique": int(self.centres.unique.sum()),
            "unique_share": float(self.centres.unique.mean()),
            "unique_at": {f"{radius:g}": count for radius, count in self.centres.unique_at.items()},
            "pairs_at_threshold": self.centres.pairs_above,
            "nearest_centre": _spread(nearest) | {"max": float(nearest.max())},
            "images_compared": int(compared.sum()),
            "nearest_is_own_share": _share(self.images.nearest[compared] == own[compared]),
            "closest": [
                {
                    "identities": [int(self.people.identities[a]), int(self.people.identities[b])],
                    "cosine": self.centre_cosine((a, b)),
                }
                for a, b in self.closest_people
            ],
        }

    def _diversity(self) -> dict[str, Any] | None:
        """How much the images of a person differ: 1 - mean cosine of its pairs, over people."""
        distances = 1.0 - self.likeness[~np.isnan(self.likeness)].astype(np.float64)
        return {**_spread(distances), "p95": float(np.quantile(distances, 0.95))} if len(distances) else None

    def _to_vector(self) -> dict[str, Any] | None:
        if self.to_vector is None or self.vector_rank_one is None:
            return None
        compared = self.vector_rank_one >= 0
        sigma = self.embedded.sigma
        return {
            **_spread(self.to_vector),
            "images_compared": int(compared.sum()),
            "nearest_is_own_share": _share(self.vector_rank_one[compared] == self.embedded.identity[compared]),
            "by_sigma": [
                {"sigma": round(float(value), 6), **_spread(self.to_vector[sigma == value])}
                for value in np.unique(sigma)
            ],
        }


def measure(
    embedded: EmbeddedImages, *, threshold: float, options: AuditOptions, vectors: NDArray[np.floating] | None
) -> Measurement:
    """Measure embedded images.

    Args:
        threshold: cosine from which two images are called one person.
        options: how much is measured: `pairs`, `comparisons`, `seed`.
        vectors: (B, D) the identity bank, if the embedder's space is the one the vectors live in; else None.
    """
    people = People.of(embedded.identity)
    centres = person_centres(embedded.gather, people)
    limit = {"max_comparisons": options.comparisons, "seed": options.seed}
    return Measurement(
        embedded=embedded,
        people=people,
        threshold=threshold,
        genuine=genuine_scores(embedded.gather, people, max_pairs=options.pairs, seed=options.seed),
        impostor=impostor_scores(embedded.gather, people, max_pairs=options.pairs, seed=options.seed),
        images=image_scores(embedded.gather, people, centres, **limit),
        centres=centre_separation(centres.directions, threshold=threshold, radii=RADII) if len(people) > 1 else None,
        to_vector=None if vectors is None else own_vector_cosines(embedded.gather, embedded.identity, vectors),
        vector_rank_one=None if vectors is None else nearest_vector(embedded.gather, len(embedded), vectors, **limit),
        likeness=_likeness(centres),
    )


def _likeness(centres: Centres) -> Array:
    """Mean cosine of all pairs of each person's images: |sum of n unit vectors|^2 = n + n (n - 1) times it."""
    counts, sums = centres.counts.astype(np.float64), centres.sums.astype(np.float64)
    squares = np.einsum("kd,kd->k", sums, sums)
    pairs = np.where(counts > 1, counts * (counts - 1), np.nan)
    return ((squares - counts) / pairs).astype(np.float32)


def _score_facts(scores: PairScores) -> dict[str, Any]:
    found = _spread(scores.scores) if len(scores.scores) else {"count": 0, "mean": None, "std": None, "p5": None}
    return {**found, "total": scores.total, "exact": scores.exact}


def _spread(values: NDArray[np.floating]) -> dict[str, Any]:
    values = values.astype(np.float64)
    return {
        "count": len(values),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "p5": float(np.quantile(values, 0.05)),
    }


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None
