"""Whether a dataset shows real people: each image and identity against each real reference face.

Three comparisons, each exact and each with its own threshold:

    image to image      each image of the dataset with each reference image (and its mirror image)
    image to centre     each image of the dataset with the centre of each real person's images
    centre to centre    the centre of each identity's images with the centre of each real person's

A reference image of nobody known counts as a person of its own. The thresholds are those at which strangers *within the
reference* are taken for one person at a stated rate, in the same comparison. A rate of one pair in a million still
means that some pair of a large set reaches it, so each figure stands beside what real people reach who are not in the
set: every person of the reference (or a keyed sample) compared with all of it but their own images, and held-out people
where there are some.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.cross_search import ClosePair, CrossMatches, Gather, References, Vectors, search
from vec2face.evaluation.leakage_sides import CentreTable, Side, known_people, owners_of
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.people import unit
from vec2face.evaluation.separation import person_centres
from vec2face.evaluation.stored_faces import StoredFaces
from vec2face.evaluation.strangers import StrangerScores, stranger_scores
from vec2face.progress import ProgressReporter
from vec2face.seeding import rng_for

IMAGES, IMAGE_TO_CENTRE, CENTRES = "image to image", "image to centre", "centre to centre"
LISTED = 16
"""How many of the closest pairs are named, each of another identity."""

_QUANTILES = (0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class HeldOut:
    """Real people who are not in the reference: what they reach is no leak.

    Attributes:
        images: how many pictures of them were compared.
        people: how many they are.
        images_share, people_share: of those that reach the threshold with somebody in the reference.
    """

    images: int
    people: int
    images_share: float
    people_share: float


@dataclass(frozen=True)
class Comparison:
    """One of the three comparisons.

    Attributes:
        kind: which.
        strangers: where the threshold comes from.
        baseline: real faces of the reference against everybody else in all of it.
        baseline_people: (P,) the person of each of them.
        matches: what the dataset reaches.
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
    matches: CrossMatches
    identities: NDArray[np.int64]
    nearest: NDArray[np.float32]
    references: int
    rows: NDArray[np.int64]
    held_out: HeldOut | None

    @property
    def threshold(self) -> float:
        return self.strangers.threshold

    @property
    def leaked(self) -> NDArray[np.int64]:
        """Identities of the dataset that reach the threshold, rising."""
        found: NDArray[np.int64] = np.unique(self.identities[self.matches.matched])
        return found

    @property
    def baseline_reaching(self) -> NDArray[np.bool_]:
        """(P,) which real faces reach the threshold with a stranger."""
        reaching: NDArray[np.bool_] = self.baseline.nearest >= self.threshold
        return reaching

    def closest_of(self, identity: int) -> ClosePair:
        """The closest pair of an identity that reaches the threshold."""
        own = np.flatnonzero((self.identities == identity) & self.matches.matched)
        query = int(own[np.argmax(self.matches.cosine[own])])
        return ClosePair(query, int(self.matches.best[query]), float(self.matches.cosine[query]))

    def facts(self) -> dict[str, Any]:
        """The figures as JSON values."""
        reaching, people = self.baseline_reaching, self.baseline_people
        known = len(np.unique(people))
        return {
            "kind": self.kind,
            "threshold": self.threshold,
            "rate": self.strangers.rate,
            "stranger_pairs": self.strangers.pairs,
            "queries": len(self.identities),
            "references": self.references,
            "pairs_reaching": self.matches.pairs,
            "queries_reaching": int(self.matches.matched.sum()),
            "queries_share": float(self.matches.matched.mean()),
            "identities_reaching": len(self.leaked),
            "identities_share": len(self.leaked) / len(np.unique(self.identities)),
            "nearest": _quantiles(self.nearest),
            "strangers": {
                "images": len(people),
                "people": known,
                "images_share": float(reaching.mean()),
                "people_share": len(np.unique(people[reaching])) / known,
                "nearest": _quantiles(self.baseline.nearest),
            },
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
        comparisons: two or three; the first is image to image.
    """

    reference: StoredFaces
    assumption: str
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
    def expected_share(self) -> float:
        """Share of real strangers' images that reach the threshold of an image with an image."""
        first = self.comparisons[0]
        return float(first.baseline_reaching.mean())


def measure_leakage(
    measurement: Measurement,
    reference: StoredFaces,
    *,
    rate: float,
    max_pairs: int,
    seed: int,
    progress: ProgressReporter,
    held_out: StoredFaces | None = None,
) -> Leakage:
    """Compare a dataset with real faces.

    Args:
        measurement: the dataset's, by the reference's embedder.
        reference: the real faces.
        rate: false match rate of each threshold, over pairs of strangers.
        max_pairs: most pairs of strangers to compare, for each of them.
        seed: of the samples of strangers.
        progress: receives a stage for each comparison.
        held_out: real people who are not in the reference.
    """
    people, assumption = known_people(reference)
    own = np.repeat(np.arange(len(measurement.people)), measurement.people.counts)
    identity_of = measurement.people.identities
    centres = unit(person_centres(measurement.embedded.gather, measurement.people).sums)
    table, sampling = CentreTable.of(reference), _Sampling(rate, max_pairs, seed)
    sides: list[tuple[str, Gather, NDArray[np.int64], Side]] = [
        (IMAGES, measurement.embedded.gather, identity_of[own], Side.images(reference, people))
    ]
    if table.grouped:
        sides.append(
            (IMAGE_TO_CENTRE, measurement.embedded.gather, identity_of[own], Side.of(reference, table, people))
        )
    sides.append((CENTRES, lambda at: centres[at], identity_of, Side.of_centres(reference, table, people)))
    comparisons = []
    for kind, gather, identities, side in sides:
        name = f"comparing with {reference.name}, {kind}"
        progress.begin(name, total=len(identities), unit="identities" if side.centres else "images")
        comparisons.append(_compare(_Queries(kind, gather, identities), side, held_out, sampling, progress))
    return Leakage(reference, assumption, tuple(comparisons))


@dataclass(frozen=True)
class _Sampling:
    """How a limit is set: the rate of strangers' pairs, how many pairs at most, and the seed of their sample."""

    rate: float
    max_pairs: int
    seed: int


@dataclass(frozen=True)
class _Queries:
    """The dataset's side of a comparison: what gives its vectors, and the identity of each."""

    kind: str
    gather: Gather
    identities: NDArray[np.int64]


def _compare(
    queries: _Queries, side: Side, held_out: StoredFaces | None, sampling: _Sampling, progress: ProgressReporter
) -> Comparison:
    probes, others = np.isin(side.probe_owners, side.known), np.isin(side.owners, side.known)

    def against(table: Vectors, owners: NDArray[np.int64]) -> StrangerScores:
        return stranger_scores(
            side.probes[probes],
            side.probe_owners[probes],
            table,
            owners,
            rate=sampling.rate,
            max_pairs=sampling.max_pairs,
            seed=sampling.seed,
        )

    strangers = against(side.table[others], side.owners[others])
    everyone = strangers if others.all() else against(side.table, side.owners)
    references = References(side.table)
    matches = search(
        queries.gather,
        queries.identities,
        references,
        threshold=strangers.threshold,
        top=LISTED,
        on_rows=progress.advance,
    )
    return Comparison(
        kind=queries.kind,
        strangers=strangers,
        baseline=everyone,
        baseline_people=side.probe_owners[probes][everyone.probes],
        matches=matches,
        identities=queries.identities,
        nearest=_nearest(queries, side.table, sampling),
        references=len(side.table),
        rows=side.rows,
        held_out=None if held_out is None else _held_out(held_out, side, references, strangers.threshold),
    )


def _held_out(faces: StoredFaces, side: Side, references: References, threshold: float) -> HeldOut:
    owners = owners_of(faces.people)
    table: Vectors = faces.plain
    if side.centres:
        centres = CentreTable.of(replace(faces, both=faces.plain))
        owners, table = centres.owners, centres.vectors
    found = search(lambda at: table[at], owners, references, threshold=threshold, top=1)
    people = len(np.unique(owners))
    return HeldOut(len(faces), people, float(found.matched.mean()), len(np.unique(owners[found.matched])) / people)


def _nearest(queries: _Queries, table: Vectors, sampling: _Sampling) -> NDArray[np.float32]:
    """Highest cosine of each query, or of a keyed sample, to the table."""
    count = len(queries.identities)
    rows = np.arange(count)
    most = max(1, sampling.max_pairs // len(table))
    if count > most:
        rows = np.sort(rng_for(sampling.seed, "audit-leakage-nearest").choice(count, most, replace=False))
    units = unit(np.asarray(table))
    return np.concatenate([_highest(unit(queries.gather(block)), units) for block in _blocks(rows)])


def _highest(queries: Vectors, units: Vectors) -> NDArray[np.float32]:
    best = np.full(len(queries), -1.0, np.float32)
    for column in range(0, len(units), 8192):
        np.maximum(best, (queries @ units[column : column + 8192].T).max(axis=1), out=best)
    return best


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), 1024):
        yield rows[start : start + 1024]


def _quantiles(values: NDArray[np.floating]) -> dict[str, float]:
    return {f"q{100 * q:g}": float(np.quantile(values, q)) for q in _QUANTILES}
