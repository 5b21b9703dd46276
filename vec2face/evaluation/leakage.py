"""Whether a dataset shows real people: each image and identity against each real reference face.

Three comparisons, each exact and each with its own threshold:

    image to image      each image of the dataset with each reference image (and its mirror image)
    image to centre     each image of the dataset with the centre of each real person's images
    centre to centre    the centre of each identity's images with the centre of each real person's

A reference image of nobody known counts as a person of its own. The thresholds are those at which strangers *within the
reference*, or within another set that is given for it, are taken for one person at a stated rate, in the same
comparison; too few strangers set none. A rate of one pair in a million still means that some pair of a large set
reaches it, so each figure stands beside what real people reach who are not in the set: every stranger (or a keyed
sample) compared with all of the reference but their own images, and held-out people where there are some. And that
nobody reaches a threshold says the less the fewer people it finds who are shown, so beside it stands how many other
photographs of the reference's own people reach it (`vec2face.evaluation.same_person`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.cross_search import Gather, References, Vectors, search
from vec2face.evaluation.leakage_found import (
    CENTRES,
    IMAGE_TO_CENTRE,
    IMAGES,
    Comparison,
    HeldOut,
    Leakage,
    bound,
)
from vec2face.evaluation.leakage_sides import CentreTable, Side, known_people, numbered_beside, owners_of
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.people import unit
from vec2face.evaluation.same_person import Cosines, same_person
from vec2face.evaluation.separation import person_centres
from vec2face.evaluation.stored_faces import StoredFaces
from vec2face.evaluation.strangers import StrangerScores, stranger_scores
from vec2face.progress import ProgressReporter
from vec2face.seeding import rng_for

LISTED = 16
"""How many of the closest pairs are named, each of another identity."""


def measure_leakage(
    measurement: Measurement,
    reference: StoredFaces,
    *,
    rate: float,
    max_pairs: int,
    seed: int,
    progress: ProgressReporter,
    held_out: StoredFaces | None = None,
    strangers: StoredFaces | None = None,
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
        strangers: real people who set the limits, where the reference has too few; None takes the reference's own. Who
            has the name of somebody in the reference is taken for that person.
    """
    people, assumption = known_people(reference)
    own = np.repeat(np.arange(len(measurement.people)), measurement.people.counts)
    identity_of = measurement.people.identities
    centres = unit(person_centres(measurement.embedded.gather, measurement.people).sums)
    same, sampling = same_person(reference, seed=seed), _Sampling(rate, max_pairs, seed)
    sides, grouped = _sides(reference, people)
    others: dict[str, Side] = {}
    if strangers is not None:
        known, assumption = known_people(strangers)
        assumption += f"; who has a name of {reference.name} is taken for that person"
        others, _ = _sides(strangers, known)
    gather = measurement.embedded.gather
    queries = {
        IMAGES: _Queries(IMAGES, gather, identity_of[own], same.images),
        IMAGE_TO_CENTRE: _Queries(IMAGE_TO_CENTRE, gather, identity_of[own], same.to_centre),
        CENTRES: _Queries(CENTRES, lambda at: centres[at], identity_of, same.centres),
    }
    comparisons = []
    for kind, side in sides.items():
        if kind == IMAGE_TO_CENTRE and not grouped:
            continue  # every centre is an image
        name = f"comparing with {reference.name}, {kind}"
        progress.begin(name, total=len(queries[kind].identities), unit="identities" if side.centres else "images")
        probing = _Probing.of(side)
        if strangers is not None:
            probing = _Probing.by(others[kind], numbered_beside(strangers, reference))
        comparisons.append(_compare(queries[kind], side, probing, held_out, sampling, progress))
    return Leakage(
        reference, assumption, None if strangers is None else strangers.name, same.people, tuple(comparisons)
    )


def _sides(faces: StoredFaces, known: NDArray[np.int64]) -> tuple[dict[str, Side], bool]:
    """Real faces in each comparison, and whether centres differ from images."""
    table = CentreTable.of(faces)
    sides = {
        IMAGES: Side.images(faces, known),
        IMAGE_TO_CENTRE: Side.of(faces, table, known),
        CENTRES: Side.of_centres(faces, table, known),
    }
    return sides, table.grouped


@dataclass(frozen=True)
class _Sampling:
    """How a limit is set: the rate of strangers' pairs, how many pairs at most, and the seed of their sample."""

    rate: float
    max_pairs: int
    seed: int


@dataclass(frozen=True)
class _Queries:
    """The dataset's side of a comparison: what gives its vectors, the identity of each, and `Comparison.own`."""

    kind: str
    gather: Gather
    identities: NDArray[np.int64]
    own: Cosines


@dataclass(frozen=True)
class _Probing:
    """The strangers of a comparison: whose pairs set its limit, and their numbers beside the reference's people."""

    side: Side
    owners: NDArray[np.int64]

    @classmethod
    def of(cls, side: Side) -> "_Probing":
        return cls(side, side.probe_owners)

    @classmethod
    def by(cls, side: Side, numbers: NDArray[np.int64]) -> "_Probing":
        return cls(side, numbers[side.probe_owners])


def _compare(
    queries: _Queries,
    side: Side,
    probing: _Probing,
    held_out: StoredFaces | None,
    sampling: _Sampling,
    progress: ProgressReporter,
) -> Comparison:
    by = probing.side
    probes, others = np.isin(by.probe_owners, by.known), np.isin(by.owners, by.known)

    def against(numbers: NDArray[np.int64], table: Vectors, owners: NDArray[np.int64]) -> StrangerScores:
        return stranger_scores(
            by.probes[probes],
            numbers[probes],
            table,
            owners,
            rate=sampling.rate,
            max_pairs=sampling.max_pairs,
            seed=sampling.seed,
        )

    strangers = against(by.probe_owners, by.table[others], by.owners[others])
    everyone = strangers if by is side and others.all() else against(probing.owners, side.table, side.owners)
    references = References(side.table)
    matches = search(
        queries.gather,
        queries.identities,
        references,
        threshold=bound(strangers.threshold),
        top=LISTED,
        on_rows=progress.advance,
    )
    return Comparison(
        kind=queries.kind,
        strangers=strangers,
        baseline=everyone,
        baseline_people=probing.owners[probes][everyone.probes],
        own=queries.own,
        matches=matches,
        identities=queries.identities,
        nearest=_nearest(queries, side.table, sampling),
        references=len(side.table),
        rows=side.rows,
        held_out=None if held_out is None else _held_out(held_out, side, references, strangers.threshold),
    )


def _held_out(faces: StoredFaces, side: Side, references: References, threshold: float | None) -> HeldOut:
    owners = owners_of(faces.people)
    table: Vectors = faces.plain
    if side.centres:
        centres = CentreTable.of(replace(faces, both=faces.plain))
        owners, table = centres.owners, centres.vectors
    people = len(np.unique(owners))
    if threshold is None:
        return HeldOut(len(faces), people, None, None)
    found = search(lambda at: table[at], owners, references, threshold=threshold, top=1)
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
