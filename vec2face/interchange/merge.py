"""Join several datasets of different people into one."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.interchange.derive import DESCRIPTION, IMAGES_PER_SHARD, derive, terms_of
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.outbound import to_any_place
from vec2face.interchange.selection import Selection
from vec2face.interchange.source import FaceSource, open_source
from vec2face.interchange.workplace import require_free, workplace
from vec2face.interchange.write import WrittenSet
from vec2face.progress import ProgressReporter, SilentProgress

_REPORTED = 500


@to_any_place
def merge(
    datasets: Sequence[str | Path],
    out: Path,
    *,
    name: str | None = None,
    images_per_shard: int = IMAGES_PER_SHARD,
    progress: ProgressReporter | None = None,
) -> WrittenSet:
    """Write several datasets as one, whose people are numbered one dataset after another; `origin.csv` says who is who.

    All images are read once beforehand, to be sure that they are of one size and that none stands in two datasets.
    Whether one person stands in two is a question for the audit.

    Args:
        datasets: two or more: datasets, or any labelled face sets that `open_reader` reads.
        out: folder of the new one; it appears when all is written, until then `OUT.partial` grows.
        name: of the new dataset; None takes the folder's.
        images_per_shard: images of one archive.
        progress: receives every stage.

    Raises:
        InputError: a dataset is given twice, an image stands in two, sizes differ, or `out` is taken.
        DatasetError: a dataset is damaged, or `OUT.partial` is of other settings.
        StorageError: it cannot be written; whole shards are kept.
    """
    progress = progress or SilentProgress()
    if len(datasets) < 2:
        raise InputError("a merge needs two datasets or more.")
    require_free(out, DESCRIPTION)
    with workplace(out) as place:
        sources = tuple(
            open_source(dataset, cache=place.kept(f"index-{number}.npz"), progress=progress)
            for number, dataset in enumerate(datasets)
        )
        _check_distinct(sources)
        if not place.begun:
            check_images(sources, progress)
        terms = {source.reader.source: terms_of(source) for source in sources if terms_of(source)}
        return derive(
            place,
            Selection.joined(sources),
            command="merge",
            name=name or out.name,
            settings={},
            terms={"of sources": {Path(source).name: stated for source, stated in terms.items()}} if terms else {},
            images_per_shard=images_per_shard,
            progress=progress,
        )


def check_images(sources: Sequence[FaceSource], progress: ProgressReporter) -> None:
    """Make sure that all images are of one size, and that none stands in two sets; eight bytes are held for each.

    Raises:
        InputError: they are not, or one does; the message names the images.
    """
    progress.begin("comparing images", total=sum(map(len, sources)), unit="images")
    size: tuple[int, int] | None = None
    first = ""
    seen: list[NDArray[np.uint64]] = []
    for source in sources:
        digests = np.empty(len(source), np.uint64)
        for place, record in enumerate(source.reader.records()):
            kind = kind_of(record.data, where=record.where)
            if size is None:
                size, first = (kind.width, kind.height), record.where
            if (kind.width, kind.height) != size:
                raise InputError(
                    f"{record.where} is {kind.width}x{kind.height}, but {first} is {size[0]}x{size[1]}; merge sets of "
                    "one size, as 'vec2face data prepare' makes them."
                )
            digests[place] = _short(record.data)
            if (place + 1) % _REPORTED == 0:
                progress.advance(_REPORTED)
        progress.advance(len(source) % _REPORTED)
        for number, others in enumerate(seen):
            if (same := np.flatnonzero(np.isin(digests, others))).size:
                there = int(np.flatnonzero(others == digests[same[0]])[0])
                raise InputError(
                    f"{len(same)} images of {source.reader.source} stand in {sources[number].reader.source} as well "
                    f"(the first: {_where(source, int(same[0]))} is {_where(sources[number], there)}); leave them out "
                    "of one with 'vec2face subset'."
                )
        seen.append(digests)


def _check_distinct(sources: Sequence[FaceSource]) -> None:
    known: dict[str, str] = {}
    for source in sources:
        name = source.reader.source
        identity = str(source.identify()) if source.table is None else source.table.fingerprint
        if identity in known:
            raise InputError(f"{name} is the same dataset as {known[identity]}; give each only once.")
        known[identity] = name


def _short(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _where(source: FaceSource, position: int) -> str:
    return source.reader.record(position).where
