"""Parts of a dataset that are datasets of their own: some of its people and images, or shares of its people."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.identities.variation import apportion
from vec2face.interchange.derive import DESCRIPTION, IMAGES_PER_SHARD, derive, terms_of
from vec2face.interchange.outbound import to_any_place
from vec2face.interchange.query import Query
from vec2face.interchange.selection import Selection
from vec2face.interchange.source import FaceSource, open_source
from vec2face.interchange.workplace import require_free, workplace
from vec2face.interchange.write import WrittenSet
from vec2face.progress import ProgressReporter, SilentProgress
from vec2face.seeding import seed_for


@dataclass(frozen=True)
class Wanted:
    """What a subset takes. The conditions are applied in this order.

    Attributes:
        first, last: people by their place in the set, from `first` up to, not including, `last` (None: all from there).
        where: condition on the columns of the table; see `vec2face.interchange.query`.
        images_per_identity: the first so many of each person's images that are left; None takes all.
    """

    first: int = 0
    last: int | None = None
    where: str | None = None
    images_per_identity: int | None = None


@to_any_place
def subset(
    dataset: str | Path,
    out: Path,
    wanted: Wanted,
    *,
    name: str | None = None,
    images_per_shard: int = IMAGES_PER_SHARD,
    progress: ProgressReporter | None = None,
) -> WrittenSet:
    """Write a part of a dataset as a dataset; people are numbered anew without gaps, `origin.csv` says who they were.

    Args:
        dataset: a dataset, or any labelled face set that `open_reader` reads; conditions need the table of a dataset.
        out: folder of the new one; it appears when all is written, until then `OUT.partial` grows.
        wanted: what to take.
        name: of the new dataset; None takes the folder's.
        images_per_shard: images of one archive.
        progress: receives every stage.

    Raises:
        InputError: nothing is left, the condition is none, or `out` is taken.
        DatasetError: the dataset is damaged, or `OUT.partial` is of other settings.
        StorageError: it cannot be written; whole shards are kept.
    """
    progress = progress or SilentProgress()
    require_free(out, DESCRIPTION)
    with workplace(out) as place:
        source = open_source(dataset, cache=place.kept("index.npz"), progress=progress)
        chosen = choose(source, wanted)
        settings = {
            "identities": [wanted.first, wanted.last],
            "where": wanted.where,
            "images_per_identity": wanted.images_per_identity,
        }
        return derive(
            place,
            Selection.of(source, chosen),
            command="subset",
            name=name or out.name,
            settings=settings,
            terms=terms_of(source),
            images_per_shard=images_per_shard,
            progress=progress,
        )


def choose(source: FaceSource, wanted: Wanted) -> NDArray[np.bool_]:
    """Return which images a subset takes, `(N,)`. Raises `InputError` where it is none."""
    people = len(source.people)
    last = people if wanted.last is None else wanted.last
    if not 0 <= wanted.first < last:
        raise InputError(f"--identities {wanted.first}:{last} names nobody; the first number must be below the second.")
    if wanted.first >= people or (wanted.last is not None and wanted.last > people):
        raise InputError(f"{source.reader.source} has {people} people, fewer than --identities asks for.")
    chosen = (source.labels >= wanted.first) & (source.labels < last)
    if wanted.where is not None:
        chosen &= _matching(source, wanted.where)
    if wanted.images_per_identity is not None:
        chosen &= _first_images(source.labels, chosen, wanted.images_per_identity)
    if not chosen.any():
        raise InputError(f"no image of {source.reader.source} is left by these conditions; loosen them.")
    return chosen


@to_any_place
def split(
    dataset: str | Path,
    out: Path,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    images_per_shard: int = IMAGES_PER_SHARD,
    progress: ProgressReporter | None = None,
) -> list[WrittenSet]:
    """Write a dataset as several that have no person in common, under `OUT/NAME`.

    Who goes where depends on the seed and the people's names alone.

    Args:
        dataset: as for `subset`.
        out: folder of the parts' folders.
        shares: name of each part -> its share of the people; the shares add up to 1.
        seed: of the draw.
        images_per_shard: images of one archive.
        progress: receives every stage.

    Raises:
        InputError: shares or names are unusable, a part would be empty, or a part's folder is taken.
        DatasetError, StorageError: as `subset`.
    """
    progress = progress or SilentProgress()
    _check_shares(shares)
    for name in shares:
        require_free(out / name, DESCRIPTION)
    source = open_source(dataset, progress=progress)
    parts = draw_parts(source.people, shares, seed=seed)
    written = []
    for number, name in enumerate(shares):
        chosen = parts[source.labels] == number
        with workplace(out / name) as place:
            written.append(
                derive(
                    place,
                    Selection.of(source, chosen),
                    command="split",
                    name=name,
                    settings={"part": name, "parts": dict(shares), "seed": seed},
                    terms=terms_of(source),
                    images_per_shard=images_per_shard,
                    progress=progress,
                )
            )
    return written


def draw_parts(people: Sequence[str], shares: Mapping[str, float], *, seed: int) -> NDArray[np.int64]:
    """Return the part of each person, `(people,)`: exact shares by largest remainder, drawn by key.

    Raises:
        InputError: a part gets nobody.
    """
    counts = apportion(len(people), list(shares.values()))
    for name, count in zip(shares, counts, strict=True):
        if not count:
            raise InputError(f"the part {name!r} of {shares[name]:g} gets none of {len(people)} people; enlarge it.")
    run_key = seed_for(seed, "split")
    # Equal names are told apart by their place.
    keys = [hashlib.sha256(f"{run_key}\0{name}\0{place}".encode()).digest() for place, name in enumerate(people)]
    order = sorted(range(len(people)), key=keys.__getitem__)
    parts = np.empty(len(people), np.int64)
    parts[order] = np.repeat(np.arange(len(counts)), counts)
    return parts


def _check_shares(shares: Mapping[str, float]) -> None:
    if len(shares) < 2:
        raise InputError("a split needs two parts or more, such as --parts train=0.9,val=0.1.")
    for name, share in shares.items():
        if not name or name in (".", "..") or any(mark in name for mark in "/\\\0") or name.startswith("."):
            raise InputError(f"{name!r} cannot be the name of a part: it becomes a folder's name.")
        if not 0 < share < 1:
            raise InputError(f"the share of the part {name!r} is {share:g}; it must lie between 0 and 1.")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"the shares of the parts add up to {sum(shares.values()):g}, not to 1.")


def _matching(source: FaceSource, where: str) -> NDArray[np.bool_]:
    if source.table is None:
        raise InputError(
            f"{source.reader.source} has no table to ask {where!r} of; make it a dataset with 'vec2face import' first."
        )
    query = Query(where, source.table.schema)
    try:
        return source.table.matching(query.condition, query.columns)
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the condition {where!r} cannot be applied ({reason}).") from None


def _first_images(labels: NDArray[np.int64], chosen: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    positions = np.flatnonzero(chosen)
    order = np.argsort(labels[positions], kind="stable")
    ordered = labels[positions][order]
    begins = np.searchsorted(ordered, ordered)  # where each person's images begin
    kept = np.zeros(len(labels), bool)
    kept[positions[order[np.arange(len(order)) - begins < count]]] = True
    return kept
