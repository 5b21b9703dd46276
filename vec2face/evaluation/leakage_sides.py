"""The real side of a leakage check: what a dataset is compared with, and which real faces go through the same."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.evaluation.cross_search import Vectors
from vec2face.evaluation.people import unit
from vec2face.evaluation.stored_faces import UNKNOWN, StoredFaces
from vec2face.evaluation.strangers import FEWEST_PAIRS, enough

FEWEST_PEOPLE = 50
"""With fewer named people in the reference, strangers are taken from all of its images."""


@dataclass(frozen=True)
class CentreTable:
    """The centres of a reference: people, then images of nobody known.

    Attributes:
        vectors: (M, D) unit vectors.
        rows: (M,) an image of each.
        owners: (M,) number of the person; beyond all people for an image of nobody known.
        grouped: whether any person has several images, so that centres and images differ.
    """

    vectors: Vectors
    rows: NDArray[np.int64]
    owners: NDArray[np.int64]
    grouped: bool

    @classmethod
    def of(cls, faces: StoredFaces) -> "CentreTable":
        owners = owners_of(faces.people)
        numbers, first, place = np.unique(owners, return_index=True, return_inverse=True)
        sums = np.zeros((len(numbers), faces.both.shape[1]), np.float32)
        for start in range(0, len(owners), 8192):
            block = slice(start, start + 8192)
            np.add.at(sums, place[block], unit(faces.both[block]))
        return cls(unit(sums), first, numbers, len(numbers) < len(owners))


@dataclass(frozen=True)
class Side:
    """What the dataset is compared with, and which real faces are put through the same.

    Attributes:
        table: (M, D) reference vectors; `rows` an image of each, `owners` whose they are.
        probes, probe_owners: real vectors as the dataset's stand in this comparison, and whose they are.
        known: owners who are known to be different people.
        centres: whether queries are centres.
    """

    table: Vectors
    rows: NDArray[np.int64]
    owners: NDArray[np.int64]
    probes: Vectors
    probe_owners: NDArray[np.int64]
    known: NDArray[np.int64]
    centres: bool

    @classmethod
    def images(cls, faces: StoredFaces, known: NDArray[np.int64]) -> "Side":
        owners = owners_of(faces.people)
        return cls(faces.both, np.arange(len(faces)), owners, faces.plain, owners, known, False)

    @classmethod
    def of(cls, faces: StoredFaces, table: CentreTable, known: NDArray[np.int64]) -> "Side":
        return cls(table.vectors, table.rows, table.owners, faces.plain, owners_of(faces.people), known, False)

    @classmethod
    def of_centres(cls, faces: StoredFaces, table: CentreTable, known: NDArray[np.int64]) -> "Side":
        # The probes are centres of plain images, as the dataset's centres are.
        plain = CentreTable.of(replace(faces, both=faces.plain)) if faces.mirrored else table
        return cls(table.vectors, table.rows, table.owners, plain.vectors, plain.owners, known, True)


def owners_of(people: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number people so that each image of nobody known has a number of its own."""
    return np.where(people == UNKNOWN, int(people.max(initial=-1)) + 1 + np.arange(len(people)), people)


def known_people(faces: StoredFaces) -> tuple[NDArray[np.int64], str]:
    """Return the owners who are known to be different people, and the assumption behind it."""
    named = np.unique(faces.people[faces.people != UNKNOWN])
    if len(named) >= FEWEST_PEOPLE:
        return named, f"strangers are the {len(named):,} named people of {faces.name}, taken to be different people"
    assumed = (
        f"{faces.name} names fewer than {FEWEST_PEOPLE} people, so every image without a name is taken to show "
        "somebody else: people shown twice raise the thresholds, and leaks near them are missed"
    )
    return np.unique(owners_of(faces.people)), assumed


def numbered_beside(strangers: StoredFaces, reference: StoredFaces) -> NDArray[np.int64]:
    """Number the owners of one set so that they can stand beside those of another.

    Returns:
        By owner of `strangers` (see `owners_of`), the number of the person of that name in `reference`, or one that
        nobody has there.
    """
    owners = owners_of(strangers.people)
    first = int(owners_of(reference.people).max(initial=-1)) + 1
    numbers = first + np.arange(int(owners.max(initial=-1)) + 1)
    named = {name: number for number, name in enumerate(reference.names)}
    for number, name in enumerate(strangers.names):
        numbers[number] = named.get(name, numbers[number])
    return numbers


def require_strangers(faces: StoredFaces) -> None:
    """Refuse a set whose people are too few to set a limit. Raises `InputError`."""
    known, _ = known_people(faces)
    if not enough(pairs := len(known) * (len(known) - 1)):
        raise InputError(not_dropped(too_few(pairs, faces.name)))


def not_dropped(reason: str) -> str:
    """Say that likenesses cannot be dropped, for a reason of `too_few`."""
    return f"nobody can be dropped: {reason}; give a larger reference, or strangers from another set (--strangers)."


def too_few(people_pairs: int, name: str) -> str:
    """Say why there is no limit."""
    return (
        f"a limit needs {FEWEST_PAIRS:,} comparisons of different people, as 33 people give, and {name} gives "
        f"{people_pairs:,}"
    )
