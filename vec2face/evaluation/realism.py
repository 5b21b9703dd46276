"""How close a set of faces comes to real ones, beside how close real ones come to each other.

Every figure depends on the number of images, so the reference is split in two halves by person, several times. The
faces are compared with one half, at that half's size; the other half, compared with it in the same way, is the floor:
what real faces of other people reach. A figure at its floor cannot be told from real by that embedder.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.contracts import require_same_width
from vec2face.errors import InputError
from vec2face.evaluation.realism_distances import CorrectedDistance, Gaussian, bootstrap_distance, frechet_distance
from vec2face.evaluation.realism_faces import EmbeddedFaces
from vec2face.evaluation.realism_manifold import kernel_distance, overlap
from vec2face.progress import ProgressReporter, SilentProgress
from vec2face.seeding import rng_for

Rows = NDArray[np.integer]
Vectors = NDArray[np.floating]

# A covariance from fewer images than this many times its width is mostly sampling error.
AMPLE = 10
FEWEST_PEOPLE = 4  # halves of fewer would have only one


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a figure over the splits."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


@dataclass(frozen=True)
class Compared:
    """A figure of the faces and the same figure of real faces (the floor; for precision and recall the ceiling)."""

    faces: Spread
    real: Spread


@dataclass(frozen=True)
class Realism:
    """What `measure_realism` found.

    Attributes:
        embedder: name of the feature space; figures of different ones cannot be compared.
        width: D.
        size: images on each side of every split.
        splits: how many.
        counts: images and people of both sets.
        variance: trace of the reference's covariance, squared feature units; what the distances are a part of.
        frechet, kernel, precision, recall: at equal size, beside real against real.
        frechet_all: all images of both sets, with the bias removed and an interval.
        warnings: what makes the figures weak, in sentences.
    """

    embedder: str
    width: int
    size: int
    splits: int
    counts: dict[str, int]
    variance: float
    frechet: Compared
    kernel: Compared
    precision: Compared
    recall: Compared
    frechet_all: CorrectedDistance
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def measure_realism(
    faces: EmbeddedFaces,
    reference: EmbeddedFaces,
    *,
    embedder: str,
    splits: int,
    resamples: int,
    neighbours: int,
    seed: int,
    progress: ProgressReporter | None = None,
) -> Realism:
    """Compare a set of faces with a reference set of real ones.

    Args:
        embedder: name of the network whose vectors both sets are.
        splits: how often the reference is halved, 2 or more.
        resamples: bootstrap resamples, 2 or more.
        neighbours: k of precision and recall.
        seed: of splits, choices and resamples.
        progress: receives the stage "measuring".

    Raises:
        ContractError: the sets' vectors differ in width.
        InputError: the reference shows too few people to be halved, or a set is too small to measure.
    """
    width = reference.vectors.shape[1]
    require_same_width(faces.name, faces.vectors.shape[1], reference.name, width)
    halves = list(split_people(reference.people, splits=splits, seed=seed))
    size = min(len(faces.vectors), *(len(rows) for half in halves for rows in half))
    progress = progress or SilentProgress()
    progress.begin("measuring", total=splits + 1, unit="comparisons")
    found: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in ("frechet", "kernel", "precision", "recall")
    }
    for number, (first, second) in enumerate(halves):
        rng = rng_for(seed, "realism-subset", number)
        target = _take(reference, _choose(second, size, rng))
        sides = (
            _take(faces, _choose(np.arange(len(faces.vectors)), size, rng)),
            _take(reference, _choose(first, size, rng)),
        )
        for side, (vectors, people) in enumerate(sides):
            both = overlap(vectors, people, *target, k=neighbours)
            found["precision"][side].append(both.precision)
            found["recall"][side].append(both.recall)
            found["frechet"][side].append(frechet_distance(Gaussian.of(vectors), Gaussian.of(target[0])))
            found["kernel"][side].append(kernel_distance(vectors, people, *target))
        progress.advance(1)
    everything = bootstrap_distance(
        faces.vectors,
        faces.people,
        reference.vectors,
        reference.people,
        resamples=resamples,
        rng=rng_for(seed, "realism-bootstrap"),
    )
    progress.advance(1)
    return Realism(
        embedder=embedder,
        width=width,
        size=size,
        splits=splits,
        counts={
            "faces": len(faces.vectors),
            "faces_available": faces.available,
            "faces_people": faces.people_count,
            "reference": len(reference.vectors),
            "reference_available": reference.available,
            "reference_people": reference.people_count,
        },
        variance=float(np.asarray(reference.vectors, np.float64).var(axis=0, ddof=1).sum()),
        frechet_all=everything,
        warnings=tuple(_warnings(faces, reference, width, size)),
        **{name: Compared(Spread.of(made), Spread.of(real)) for name, (made, real) in found.items()},
    )


def split_people(people: Rows, *, splits: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Halve images (N,) by person, at random, several times; yield the positions of both halves.

    People are shuffled and dealt to the first half until it holds half of the images; a person is never in both.

    Raises:
        InputError: there are fewer than four people, so that a half would have only one.
    """
    numbers, member, sizes = np.unique(people, return_inverse=True, return_counts=True)
    if len(numbers) < FEWEST_PEOPLE:
        raise InputError(
            f"the reference shows {len(numbers)} people, too few to be halved; give {FEWEST_PEOPLE} or more."
        )
    for split in range(splits):
        order = rng_for(seed, "realism-split", split).permutation(len(numbers))
        before = np.cumsum(sizes[order]) - sizes[order]
        count = int(np.clip((before < len(people) / 2).sum(), 2, len(numbers) - 2))
        first = np.isin(member, order[:count])
        yield np.flatnonzero(first), np.flatnonzero(~first)


def rebuilt_frechet(rebuilt: Vectors, real: Vectors, *, splits: int, seed: int) -> Compared:
    """Compare renderings (N, D) of real faces (N, D) of N people with real faces, as `measure_realism` does.

    A rendering's own face is never on the other side: renderings of one half of the people are compared with the real
    faces of the other half, and the floor is real faces of the same first half.

    Raises:
        InputError: there are fewer than four people.
    """
    made, floor = [], []
    for first, second in split_people(np.arange(len(real)), splits=splits, seed=seed):
        target = Gaussian.of(real[second])
        made.append(frechet_distance(Gaussian.of(rebuilt[first]), target))
        floor.append(frechet_distance(Gaussian.of(real[first]), target))
    return Compared(Spread.of(made), Spread.of(floor))


def _take(source: EmbeddedFaces, rows: Rows) -> tuple[Vectors, Rows]:
    return source.vectors[rows], source.people[rows]


def _choose(rows: Rows, size: int, rng: np.random.Generator) -> Rows:
    return rows if len(rows) == size else np.sort(rng.choice(rows, size, replace=False))


def _warnings(faces: EmbeddedFaces, reference: EmbeddedFaces, width: int, size: int) -> Iterator[str]:
    if size <= width:
        yield (
            f"{size} images a side are too few for {width} dimensions (their covariances are singular): compare these "
            "distances with others at the same size only"
        )
    elif size < AMPLE * width:
        yield f"{size} images a side are few for {width} dimensions; the distances hold at this size only"
    for one in (faces, reference):
        if one.people_count < len(one.vectors) / 2:
            yield (
                f"{one.name}: {len(one.vectors)} images of {one.people_count} people say less than as many images of "
                "different people"
            )
