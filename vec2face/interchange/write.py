"""Write a selection of images through a writer, block by block, so that a stopped run goes on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vec2face.fileio.location import Location
from vec2face.interchange.features import NoFeatures, VectorSource
from vec2face.interchange.selection import Item, Selection
from vec2face.interchange.workplace import Workplace
from vec2face.interchange.writers.base import SetFacts, SetWriter
from vec2face.progress import ProgressReporter

_REPORTED = 50  # images told of at once; a word for each would take longer than writing it


@dataclass(frozen=True)
class WrittenSet:
    """What stands now and how it came there.

    Attributes:
        out: the set.
        format: its format.
        images, people: how many it holds.
        written: images that this run wrote; the others were there.
        seconds: how long writing took, wall clock.
    """

    out: Location
    format: str
    images: int
    people: int
    written: int
    seconds: float

    @property
    def sentence(self) -> str:
        """What now stands where, for a terminal."""
        if not self.written:
            work = "nothing was left to write"
        else:
            rate = self.written / max(self.seconds, 1e-9)
            work = f"{self.written:,} written in {self.seconds:,.0f} s, {rate:,.0f} images/s"
        return f"{self.out}: {self.images:,} images of {self.people:,} people as {self.format} ({work})."


def facts_of(selection: Selection, *, feature_dim: int | None) -> SetFacts:
    """Return what a writer must know of the whole set."""
    people = tuple(person.name for person in selection.people)
    return SetFacts(
        images=len(selection),
        people=people,
        counts=np.bincount(selection.labels, minlength=len(people)),
        columns=selection.columns,
        feature_dim=feature_dim,
    )


def write_blocks(
    place: Workplace,
    writer: SetWriter,
    selection: Selection,
    *,
    stage: str,
    vectors: VectorSource | None = None,
    progress: ProgressReporter,
) -> tuple[int, float]:
    """Write what is left of a set, and finish it; see `SetWriter`.

    Args:
        place: where it grows.
        writer: of the set's format, in `place.folder`.
        selection: the images, in the writer's order.
        stage: name of the stage for `progress`.
        vectors: what stands beside the images; None takes what is stored with them.
        progress: receives the stage.

    Returns:
        How many images were written, and the seconds it took.

    Raises:
        InputError, DatasetError: an image cannot be read, or does not fit the format.
        StorageError: the set cannot be written; whole blocks are kept.
    """
    vectors = vectors or NoFeatures()
    images, block = len(selection), writer.block
    started = time.monotonic()
    try:
        done = writer.resume(*place.checkpoint())
        first = done
        progress.begin(stage, total=images, unit="images", done=done)
        while done < images:
            end = min(done + block, images)
            items = vectors.attach(selection.items(done, end), start=done)
            state = writer.write(_reported(items, progress), done)
            place.save(end, state)
            done = end
            progress.advance(0, note=f"{-(-done // block):,} of {-(-images // block):,} blocks")
        writer.finish()
    finally:
        writer.close()
    return images - first, time.monotonic() - started


def _reported(items: Iterator[Item], progress: ProgressReporter) -> Iterator[Item]:
    waiting = 0
    for item in items:
        yield item
        waiting += 1
        if waiting == _REPORTED:
            progress.advance(waiting)
            waiting = 0
    progress.advance(waiting)
