"""How near other photographs of the people of a reference come to it: what a limit finds of those who *are* shown.

A dataset that shows a real person shows a picture that the reference need not hold. So images of people with two or
more of them are put through each comparison as if they were the dataset's, and what they are compared with leaves them
out:

    image to image      an image with the other images of its person
    image to centre     an image with the centre of the others
    centre to centre    the centre of every other image of a person with the centre of the rest
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.stored_faces import UNKNOWN, StoredFaces
from vec2face.seeding import rng_for

MOST_PEOPLE, MOST_IMAGES = 20_000, 1000
"""Of more people a keyed sample is taken, and of a person with more images the first."""

Cosines = NDArray[np.float64]


@dataclass(frozen=True)
class SamePerson:
    """Cosines of other photographs of the same people.

    Attributes:
        people: how many have two images or more.
        images: (I,) of each of their images, the highest to another image of the person.
        to_centre: (I,) of each of their images to the centre of the others.
        centres: (P,) of each of these people, between the centres of the two halves.
    """

    people: int
    images: Cosines
    to_centre: Cosines
    centres: Cosines


def same_person(faces: StoredFaces, *, seed: int) -> SamePerson:
    """Compare images of the people whom a reference names with what it holds of the same people beside them.

    Args:
        faces: the reference; as in a leakage check, its side is `both` and the other one `plain`.
        seed: of the sample of people, where there are more than `MOST_PEOPLE`.
    """
    order = np.argsort(faces.people, kind="stable")
    numbers, starts, counts = np.unique(faces.people[order], return_index=True, return_counts=True)
    several = np.flatnonzero((numbers != UNKNOWN) & (counts > 1))
    if len(several) > MOST_PEOPLE:
        several = np.sort(rng_for(seed, "audit-same-person").choice(several, MOST_PEOPLE, replace=False))
    images, to_centre, centres = [np.empty(0)], [np.empty(0)], np.empty(len(several))
    for number, at in enumerate(several):
        rows = order[starts[at] : starts[at] + min(counts[at], MOST_IMAGES)]
        plain, both = _unit(faces.plain[rows]), _unit(faces.both[rows])
        cosines = plain @ both.T
        np.fill_diagonal(cosines, -np.inf)
        images.append(cosines.max(axis=1))
        to_centre.append(np.einsum("nd,nd->n", plain, _unit(both.sum(axis=0) - both)))
        centres[number] = _unit(plain[::2].sum(axis=0)) @ _unit(both[1::2].sum(axis=0))
    return SamePerson(len(several), np.concatenate(images), np.concatenate(to_centre), centres)


def _unit(vectors: NDArray[np.floating]) -> Cosines:
    wide = np.asarray(vectors, np.float64)
    units: Cosines = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    return units
