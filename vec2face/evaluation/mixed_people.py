"""Identities whose images show two people: two groups, each agreeing with itself and neither with the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.people import Gather, People, unit

SMALLEST_GROUP = 2
_ROUNDS = 20


@dataclass(frozen=True)
class MixedPerson:
    """A person whose images fall apart.

    Attributes:
        person: position among the people.
        smaller: positions of the images of the smaller group.
        cosine: of the two groups' centres.
    """

    person: int
    smaller: NDArray[np.int64]
    cosine: float


def find_mixed(gather: Gather, people: People, *, threshold: float) -> list[MixedPerson]:
    """Return the people whose images fall into two groups of two or more, the furthest apart first.

    Images are parted by 2-means on their directions, begun at the two that agree least. A person counts as mixed if the
    groups' centres stay below the threshold and the images of each group reach it, on the mean, with the centre of the
    others of their group. Poor pictures of one person fail the second: they agree with nothing.

    Args:
        threshold: cosine from which two images are called one person.
    """
    found = []
    for person, (start, count) in enumerate(zip(people.starts[:-1].tolist(), people.counts.tolist(), strict=True)):
        if count < 2 * SMALLEST_GROUP:
            continue
        vectors = unit(gather(np.arange(start, start + count)))
        member = _two_groups(vectors)
        if min(member.sum(), (~member).sum()) < SMALLEST_GROUP:
            continue
        groups = (vectors[member], vectors[~member])
        cosine = float(unit(groups[0].sum(axis=0)) @ unit(groups[1].sum(axis=0)))
        if cosine < threshold and all(_agreement(group) >= threshold for group in groups):
            smaller = member if member.sum() <= count / 2 else ~member
            found.append(MixedPerson(person, start + np.flatnonzero(smaller), cosine))
    return sorted(found, key=lambda one: one.cosine)


def _two_groups(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n,) bool: which of two groups each image is in."""
    first = int((vectors @ vectors.sum(axis=0)).argmin())
    second = int((vectors @ vectors[first]).argmin())
    centres = vectors[[first, second]]
    member = vectors @ centres[0] > vectors @ centres[1]
    for _ in range(_ROUNDS):
        if member.all() or not member.any():
            break
        centres = unit(np.stack([vectors[member].sum(axis=0), vectors[~member].sum(axis=0)]))
        after = vectors @ centres[0] > vectors @ centres[1]
        if (after == member).all():
            break
        member = after
    return member


def _agreement(group: NDArray[np.float32]) -> float:
    """Mean cosine of each image to the centre of the others of its group."""
    others = unit(group.sum(axis=0) - group)
    return float(np.einsum("nd,nd->n", group, others).mean())
