"""What a leakage check found: the likenesses, beside what strangers and other photographs of the same people reach."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.cross_search import ClosePair, CrossMatches
from vec2face.evaluation.leakage_sides import too_few
from vec2face.evaluation.same_person import Cosines
from vec2face.evaluation.stored_faces import StoredFaces
from vec2face.evaluation.strangers import StrangerScores

IMAGES, IMAGE_TO_CENTRE, CENTRES = "image to image", "image to centre", "centre to centre"
_QUANTILES = (0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class HeldOut:
    """Real people who are not in the reference: what they reach is no leak.

    Attributes:
        images: how many pictures of them were compared.
        people: how many they are.
        images_share, people_share: of those that reach the threshold with somebody in the reference; None without one.
    """

    images: int
    people: int
    images_share: float | None
    people_share: float | None


@dataclass(frozen=True)
class Comparison:
    """One of the three comparisons.

    Attributes:
        kind: which.
        strangers: where the threshold comes from.
        baseline: the strangers against everybody else in all of the reference.
        baseline_people: (P,) the person of each of them.
        own: cosines of other photographs of the reference's own people; see `same_person`.
        matches: what the dataset reaches; nothing where there is no threshold.
        identities: (Q,) identity of each query.
        nearest: highest cosine of each query, or of a keyed sample, to the reference; float32.
        references: what the queries were compared with: how many.
        rows: (M,) an image of the reference that stands for each of them.
        held_out: None where there are no such people.
    """

    kind: str
    strangers: StrangerScores
    baseline: StrangerScores
    baseline_people: NDArray[np.int64]
    own: Cosines
    matches: CrossMatches
    identities: NDArray[np.int64]
    nearest: NDArray[np.float32]
    references: int
    rows: NDArray[np.int64]
    held_out: HeldOut | None

    @property
    def threshold(self) -> float | None:
        """None where the strangers are too few to set one."""
        return self.strangers.threshold

    @property
    def leaked(self) -> NDArray[np.int64]:
        """Identities of the dataset that reach the threshold, rising."""
        found: NDArray[np.int64] = np.unique(self.identities[self.matches.matched])
        return found

    @property
    def baseline_reaching(self) -> NDArray[np.bool_]:
        """(P,) which strangers reach the threshold with somebody else."""
        reaching: NDArray[np.bool_] = self.baseline.nearest >= bound(self.threshold)
        return reaching

    @property
    def closest_leaks(self) -> dict[int, ClosePair]:
        """Identity -> its closest pair, of each identity that reaches the threshold, rising."""
        found = np.flatnonzero(self.matches.matched)
        # Of each identity its first: the highest cosine, and of equal ones the earlier query.
        found = found[np.lexsort((found, -self.matches.cosine[found], self.identities[found]))]
        identities, first = np.unique(self.identities[found], return_index=True)
        return {
            int(identity): ClosePair(int(query), int(self.matches.best[query]), float(self.matches.cosine[query]))
            for identity, query in zip(identities, found[first], strict=True)
        }

    def facts(self) -> dict[str, Any]:
        """The figures as JSON values; None stands for what needs a threshold, where there is none."""
        reaching, people = self.baseline_reaching, self.baseline_people
        known = len(np.unique(people))
        limited = self.threshold is not None
        own = self.own >= bound(self.threshold)
        return {
            "kind": self.kind,
            "threshold": self.threshold,
            "rate": self.strangers.rate,
            "stranger_pairs": self.strangers.pairs,
            "queries": len(self.identities),
            "references": self.references,
            "pairs_reaching": self.matches.pairs if limited else None,
            "queries_reaching": int(self.matches.matched.sum()) if limited else None,
            "queries_share": float(self.matches.matched.mean()) if limited else None,
            "identities_reaching": len(self.leaked) if limited else None,
            "identities_share": len(self.leaked) / len(np.unique(self.identities)) if limited else None,
            "nearest": _quantiles(self.nearest),
            "strangers": {
                "images": len(people),
                "people": known,
                "images_share": _share(reaching) if limited else None,
                "people_share": len(np.unique(people[reaching])) / known if limited and known else None,
                "nearest": _quantiles(self.baseline.nearest) if known else None,
            },
            "same_person": {"compared": len(own), "share": _share(own) if limited else None},
            "held_out": None
            if self.held_out is None
            else {
                "images": self.held_out.images,
                "people": self.held_out.people,
                "images_share": self.held_out.images_share,
                "people_share": self.held_out.people_share,
            },
        }


@dataclass(frozen=True)
class Leakage:
    """A dataset against one reference.

    Attributes:
        reference: the real faces.
        assumption: who counts as a stranger, in a sentence.
        strangers: name of the other set whose people set the limits; None where the reference's own do.
        several: people of whom the reference has two images or more.
        comparisons: two or three; the first is image to image.
    """

    reference: StoredFaces
    assumption: str
    strangers: str | None
    several: int
    comparisons: tuple[Comparison, ...] = field(repr=False)

    @property
    def leaked(self) -> dict[int, list[str]]:
        """Identity -> in which comparisons it reaches the threshold."""
        found: dict[int, list[str]] = {}
        for comparison in self.comparisons:
            for identity in comparison.leaked.tolist():
                found.setdefault(identity, []).append(comparison.kind)
        return dict(sorted(found.items()))

    @property
    def no_limit(self) -> str | None:
        """Why likenesses could not be told, in words that follow a colon; None where every comparison has a limit."""
        fewest = min((one.strangers for one in self.comparisons), key=lambda one: one.people_pairs)
        return None if fewest.threshold is not None else too_few(fewest.people_pairs, self.strangers or "the reference")

    @property
    def expected_share(self) -> float | None:
        """Share of real strangers' images that reach the threshold of an image with an image; None without one."""
        first = self.comparisons[0]
        return None if first.threshold is None else _share(first.baseline_reaching)


def bound(threshold: float | None) -> float:
    """A threshold to compare with: without one nothing reaches it."""
    return math.inf if threshold is None else threshold


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None


def _quantiles(values: NDArray[np.floating]) -> dict[str, float]:
    return {f"q{100 * q:g}": float(np.quantile(values, q)) for q in _QUANTILES}
