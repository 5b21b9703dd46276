"""Where two sets of embeddings lie: improved precision and recall, and the kernel distance.

Precision and recall after Kynkaanniemi et al. 2019 (arXiv 1904.06991): a set's manifold is the union of balls around
its points, each reaching to the point's k-th nearest neighbour. Precision is the share of the faces inside the
reference's manifold (do they look real?), recall the share of the reference inside the faces' (is every kind of face
made?). Here a neighbour must be another person: several images of one person would otherwise shrink the balls to that
person. Where everybody has one image the definition is the paper's.

Kernel distance after Binkowski et al. 2018 (arXiv 1801.01401): the unbiased squared maximum mean discrepancy with the
kernel (x.y / D + 1)^3. Pairs of one person are left out of the sums within a set, which would otherwise be too alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError

Vectors = NDArray[np.floating]
People = NDArray[np.integer]

BLOCK = 1024  # rows of the table of distances held at a time


@dataclass(frozen=True)
class Overlap:
    """Precision and recall, both in [0, 1]."""

    precision: float
    recall: float


def overlap(faces: Vectors, face_people: People, reference: Vectors, reference_people: People, *, k: int) -> Overlap:
    """Measure precision and recall of faces (N, D) against a reference (M, D).

    Args:
        face_people, reference_people: a number for each image's person; numbers are compared within a set only.
        k: which nearest neighbour a ball reaches to, 1 or more (the paper takes 3).

    Raises:
        InputError: a set has k or fewer people.
    """
    real, made = _Manifold(reference, reference_people, k), _Manifold(faces, face_people, k)
    return Overlap(precision=real.covers(faces), recall=made.covers(reference))


def kernel_distance(faces: Vectors, face_people: People, reference: Vectors, reference_people: People) -> float:
    """Return the unbiased squared maximum mean discrepancy; near 0, and then possibly below, for one distribution.

    Raises:
        InputError: a set holds one person only.
    """
    within = _mean_kernel(faces, faces, face_people, face_people) + _mean_kernel(
        reference, reference, reference_people, reference_people
    )
    nobody, all_others = np.zeros(len(faces), np.int64), np.ones(len(reference), np.int64)
    return within - 2 * _mean_kernel(faces, reference, nobody, all_others)


class _Manifold:
    def __init__(self, points: Vectors, people: People, k: int) -> None:
        if len(np.unique(people)) <= k:
            raise InputError(f"precision and recall need more than {k} people on each side; give more faces.")
        self.points = np.asarray(points, np.float64)
        radii = []
        for rows, squared in _squared_distances(self.points, self.points):
            squared[people[rows][:, None] == people[None]] = np.inf
            radii.append(np.partition(squared, k - 1, axis=1)[:, k - 1])
        self.squared_radii = np.concatenate(radii)

    def covers(self, queries: Vectors) -> float:
        inside = sum(
            int((squared <= self.squared_radii).any(axis=1).sum())
            for _, squared in _squared_distances(np.asarray(queries, np.float64), self.points)
        )
        return inside / len(queries)


def _squared_distances(queries: Vectors, points: Vectors) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    lengths = np.square(points).sum(axis=1)
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        block = queries[rows]
        squared = np.square(block).sum(axis=1)[:, None] + lengths - 2 * block @ points.T
        yield rows, np.maximum(squared, 0.0)


def _mean_kernel(one: Vectors, other: Vectors, one_people: People, other_people: People) -> float:
    left, right = np.asarray(one, np.float64), np.asarray(other, np.float64)
    total, pairs = 0.0, 0
    for start in range(0, len(left), BLOCK):
        rows = slice(start, start + BLOCK)
        different = one_people[rows][:, None] != other_people[None]
        total += float(((left[rows] @ right.T / left.shape[1] + 1) ** 3)[different].sum())
        pairs += int(different.sum())
    if not pairs:
        raise InputError("the kernel distance needs at least two people on each side; give more faces.")
    return total / pairs
