"""Defects by name: which images and identities, and what is wrong with them.

Measures say how good a dataset is on the whole; findings say what to look at, to drop or to draw again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vec2face.evaluation.leakage_found import CENTRES, Leakage
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.mixed_people import MixedPerson
from vec2face.evaluation.near_duplicates import NearDuplicates

DUPLICATE_IDENTITY = "identity that is there twice"
MIXED_IDENTITY = "identity that shows two people"
WRONG_LABEL = "image of another identity"
OUTLIER = "image unlike the others of its identity"
NEAR_DUPLICATE = "image that is there twice"
LEAK = "likeness of a real person"
POOR = "poor image"
KINDS = (LEAK, DUPLICATE_IDENTITY, MIXED_IDENTITY, WRONG_LABEL, OUTLIER, NEAR_DUPLICATE, POOR)
LISTED = 50
"""How many of a kind stand in the facts; `findings.csv` holds all."""
LISTED_IMAGES = 8
"""How many images of a finding stand in the facts; `findings.csv` names all."""


@dataclass(frozen=True)
class Finding:
    """One defect.

    Attributes:
        kind: one of `KINDS`.
        identities: numbers of the identities concerned; what is wrong is wrong with the first.
        images: positions of the images concerned (in an `EmbeddedImages`).
        value: what decided it, or None.
        reason: the rest of the sentence.
    """

    kind: str
    identities: tuple[int, ...]
    images: tuple[int, ...]
    value: float | None
    reason: str


def find_defects(
    measurement: Measurement,
    *,
    duplicates: NearDuplicates | None,
    mixed: Sequence[MixedPerson],
    poor: Mapping[int, Sequence[str]],
    leaks: Sequence[Leakage],
) -> list[Finding]:
    """Return every defect, by kind, the worst of each first."""
    return [
        *_leaks(measurement, leaks),
        *_twice(measurement),
        *_mixed(measurement, mixed),
        *_images(measurement),
        *_duplicates(measurement, duplicates),
        *(
            Finding(POOR, (int(measurement.embedded.identity[at]),), (at,), None, ", ".join(reasons))
            for at, reasons in poor.items()
        ),
    ]


def finding_facts(
    findings: Sequence[Finding], *, names: Mapping[int, str], people: Mapping[int, str]
) -> dict[str, Any]:
    """Findings as JSON values: {"counts": {kind: number}, "listed": [...]}, at most `LISTED` of a kind.

    Args:
        names: key of each image that a listed finding names.
        people: name of each identity that a listed finding names, where it has one.
    """
    return {
        "counts": {kind: sum(one.kind == kind for one in findings) for kind in KINDS},
        "listed": [
            {
                "kind": one.kind,
                "identities": list(one.identities),
                "people": [people.get(identity, "") for identity in one.identities],
                "images": [names[image] for image in one.images[:LISTED_IMAGES]],
                "value": one.value,
                "reason": one.reason,
            }
            for one in listed(findings)
        ],
    }


def listed(findings: Sequence[Finding]) -> list[Finding]:
    """The first `LISTED` findings of each kind."""
    found: list[Finding] = []
    for kind in KINDS:
        found += [one for one in findings if one.kind == kind][:LISTED]
    return found


def reasons_by_identity(findings: Sequence[Finding]) -> dict[int, list[str]]:
    """What is held against whole identities, for a repair: leaks and identities that show two people."""
    found: dict[int, list[str]] = {}
    for one in findings:
        if one.kind in (LEAK, MIXED_IDENTITY):
            found.setdefault(one.identities[0], []).append(one.kind)
    return {identity: list(dict.fromkeys(reasons)) for identity, reasons in sorted(found.items())}


def _leaks(measurement: Measurement, leaks: Sequence[Leakage]) -> list[Finding]:
    found: dict[int, Finding] = {}
    for leak in leaks:
        for comparison in leak.comparisons:
            for identity, pair in comparison.closest_leaks.items():
                known = found.get(identity)
                if known is not None and known.value is not None and known.value >= pair.cosine:
                    continue
                row = int(comparison.rows[pair.reference])
                person = leak.reference.person_of(row)
                real = f"{leak.reference.keys[row]}{f' ({person})' if person else ''} in {leak.reference.name}"
                images = () if comparison.kind == CENTRES else (pair.query,)
                reason = (
                    f"{comparison.kind}, cosine {pair.cosine:.3f} to {real}; {comparison.threshold:.3f} is the limit"
                )
                found[identity] = Finding(LEAK, (identity,), images, pair.cosine, reason)
    return sorted(found.values(), key=lambda one: -(one.value or 0.0))


def _twice(measurement: Measurement) -> list[Finding]:
    centres = measurement.centres
    if centres is None:
        return []
    identities = measurement.people.identities
    found = []
    order = np.argsort(-centres.nearest_cosine, kind="stable")
    for person in order[centres.nearest_cosine[order] >= measurement.threshold].tolist():
        other = int(centres.nearest[person])
        if other > person and int(centres.nearest[other]) == person:
            continue  # the pair is told once, by the later of the two
        pair, cosine = (int(identities[person]), int(identities[other])), float(centres.nearest_cosine[person])
        found.append(
            Finding(DUPLICATE_IDENTITY, pair, (), cosine, f"its centre is at cosine {cosine:.3f} to that of the other")
        )
    return found


def _mixed(measurement: Measurement, mixed: Sequence[MixedPerson]) -> list[Finding]:
    found = []
    for one in mixed:
        count = int(measurement.people.counts[one.person])
        reason = f"{len(one.smaller)} of its {count} images are at cosine {one.cosine:.3f} to the others"
        images = tuple(one.smaller.tolist())
        found.append(
            Finding(MIXED_IDENTITY, (int(measurement.people.identities[one.person]),), images, one.cosine, reason)
        )
    return found


def _images(measurement: Measurement) -> list[Finding]:
    images, people = measurement.images, measurement.people
    own = np.repeat(np.arange(len(people)), people.counts)
    measured = ~np.isnan(images.to_centre)
    astray = (images.nearest >= 0) & (images.nearest != own) & measured
    unlike = measured & ~astray & (images.to_centre < measurement.threshold)
    found = []
    for at in _worst(images.to_centre, astray):
        pair = (int(people.identities[own[at]]), int(people.identities[images.nearest[at]]))
        cosine = float(images.to_centre[at])
        reason = f"nearer to the other identity than to its own (cosine {cosine:.3f})"
        found.append(Finding(WRONG_LABEL, pair, (at,), cosine, reason))
    for at in _worst(images.to_centre, unlike):
        cosine = float(images.to_centre[at])
        reason = f"cosine {cosine:.3f} to the centre of the others; {measurement.threshold:.3f} is the limit"
        found.append(Finding(OUTLIER, (int(people.identities[own[at]]),), (at,), cosine, reason))
    return found


def _worst(cosines: np.ndarray, chosen: np.ndarray) -> list[int]:
    rows = np.flatnonzero(chosen)
    return [int(row) for row in rows[np.argsort(cosines[rows], kind="stable")]]


def _duplicates(measurement: Measurement, duplicates: NearDuplicates | None) -> list[Finding]:
    if duplicates is None:
        return []
    identity = measurement.embedded.identity
    found = []
    for first, second, bits, cosine in zip(
        duplicates.first.tolist(), duplicates.second.tolist(), duplicates.bits.tolist(), duplicates.cosine, strict=True
    ):
        pair = tuple(dict.fromkeys((int(identity[second]), int(identity[first]))))
        where = "of two identities" if len(pair) == 2 else "of one identity"
        reason = f"two images {where} differ in {bits} of 64 bits of their hashes, cosine {cosine:.3f}"
        found.append(Finding(NEAR_DUPLICATE, pair, (second, first), float(cosine), reason))
    return found
