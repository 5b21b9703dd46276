"""Which images go into a new set, in which order, and whose they are there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vec2face.data.readers import FaceRecord
from vec2face.interchange.columns import union
from vec2face.interchange.source import FaceSource, plain_facts


@dataclass(frozen=True, eq=False)
class Item:
    """One image on its way into a new set.

    Attributes:
        record: the image as it is stored; its label and person are those of its source.
        label: number of its person in the new set, 0 or more, without gaps.
        number: which image of the person it is, from 0.
        person: name of the person in the new set.
        facts: plain facts, as JSON values.
    """

    record: FaceRecord
    label: int
    number: int
    person: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Person:
    """One person of a new set and who it was before.

    Attributes:
        name: in the new set.
        source: which of the sources it comes from, from 0.
        number: the number that the source gives the person.
        name_there: the name there.
    """

    name: str
    source: int
    number: int
    name_there: str


@dataclass(frozen=True, eq=False)
class Taken:
    """What is taken of one source: `positions` `(n,)` int64 in the set and `labels` `(n,)` int64 in the new one."""

    source: FaceSource
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """The images of a new set: those of each source after those of the one before."""

    taken: tuple[Taken, ...]
    people: tuple[Person, ...]

    @classmethod
    def of(cls, source: FaceSource, chosen: NDArray[np.bool_] | None = None) -> "Selection":
        """Take the images of one source that are chosen, `(N,)`, or all; people are numbered anew without gaps."""
        positions = np.arange(len(source)) if chosen is None else np.flatnonzero(chosen)
        kept, labels = np.unique(source.labels[positions], return_inverse=True)
        people = tuple(
            Person(source.people[there], 0, int(source.numbers[there]), source.people[there]) for there in kept
        )
        return cls((Taken(source, positions.astype(np.int64), labels.astype(np.int64)),), people)

    @classmethod
    def joined(cls, sources: tuple[FaceSource, ...]) -> "Selection":
        """Take all of several sources, whose people are different ones.

        Where two sources share a name, all names get the number of their source before them.
        """
        names = [name for source in sources for name in source.people]
        shared = len(set(names)) < len(names)
        taken: list[Taken] = []
        people: list[Person] = []
        for number, source in enumerate(sources):
            taken.append(Taken(source, np.arange(len(source)), source.labels + len(people)))
            people += [
                Person(f"{number}:{name}" if shared else name, number, int(there), name)
                for name, there in zip(source.people, source.numbers, strict=True)
            ]
        return cls(tuple(taken), tuple(people))

    def __len__(self) -> int:
        return sum(len(part.positions) for part in self.taken)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """`(n,)` the person of each image, in order."""
        parts = [part.labels for part in self.taken]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def numbers(self) -> NDArray[np.int32]:
        """`(n,)` which image of its person each one is, from 0."""
        order = np.argsort(self.labels, kind="stable")
        ordered = self.labels[order]
        numbers = np.empty(len(order), np.int32)
        numbers[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        return numbers

    @property
    def columns(self) -> pa.Schema:
        """The plain facts that images have."""
        return union([part.source.columns for part in self.taken])

    def grouped(self) -> "Selection":
        """Return the same images person by person; those of a person keep their order."""
        if all((np.diff(part.labels) >= 0).all() for part in self.taken):
            return self
        parts = []
        for part in self.taken:
            order = np.argsort(part.labels, kind="stable")
            parts.append(Taken(part.source, part.positions[order], part.labels[order]))
        return Selection(tuple(parts), self.people)

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """Yield the images from place `start` up to, not including, `stop`.

        Raises:
            InputError, DatasetError: an image cannot be read.
        """
        first = 0
        for part in self.taken:
            low, high = max(start - first, 0), min(stop - first, len(part.positions))
            if low < high:
                records = part.source.records(part.positions[low:high])
                labels = part.labels[low:high].tolist()
                numbers = self.numbers[first + low : first + high].tolist()
                for record, label, number in zip(records, labels, numbers, strict=True):
                    facts = plain_facts(record.facts) if part.source.annotated else {}
                    yield Item(record, label, number, self.people[label].name, facts)
            first += len(part.positions)
