"""A row of numbers for each image of a set, computed shard by shard and kept, so that a stopped run goes on.

A cache is a folder: an array file for each kind of row, `source.txt` (the sizes and settings it was made for) and
`done.txt` (a line for each finished shard, with its digest). A stopped run goes on from the shard it stopped at, and a
shard that has changed since is measured again; a cache of other sizes or settings is thrown away and made anew.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import DatasetError
from vec2face.evaluation.dataset import ImageRecord, Shard
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.fileio.atomic import explain_os_error, fingerprint, write_text
from vec2face.fileio.images import decode_image
from vec2face.fileio.rows import RowFile
from vec2face.progress import ProgressReporter

Pixels = NDArray[np.uint8]
Rows = Mapping[str, NDArray]

_GIVEN_UP = "-"  # no digest: the last line about a shard counts


class RowCache:
    """Array files with a row for each image of a set, in its order.

    Args:
        folder: of the cache.
        source: the set.
        arrays: type and shape of a row of each array, by the file's name without ending.
        settings: what else decides the rows, JSON values.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        source: AuditedSet,
        *,
        arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]],
        settings: Mapping[str, Any],
    ) -> None:
        self._folder, self._source = folder, source
        self.starts = np.cumsum([0, *(shard.count for shard in source.shards)])[:-1]
        shards = [[shard.path.name, shard.count] for shard in source.shards]
        layout = {name: [np.dtype(kind).descr, list(shape)] for name, (kind, shape) in arrays.items()}
        purpose = fingerprint({"shards": shards, "arrays": layout, **settings})
        marker = folder / "source.txt"
        if not (marker.is_file() and marker.read_text(encoding="utf-8").strip() == purpose):
            self._create(arrays)
            write_text(marker, purpose + "\n")
        log = folder / "done.txt"
        # The last line may be torn where a run was killed; it then names no shard and is done again.
        lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        self._finished = dict(line.split(" ", 1) for line in lines if " " in line)
        self._files = {name: RowFile(folder / f"{name}.npy") for name in arrays}

    def fill(
        self,
        compute: Callable[[list[ImageRecord], Pixels], Rows],
        *,
        stage: str,
        batch_size: int,
        cap: int | None,
        progress: ProgressReporter,
    ) -> bool:
        """Compute the rows of every shard that is not finished; return whether there was one.

        Args:
            compute: maps some records and their pixels (B, 112, 112, 3) to B rows of each array.
            stage: what the progress calls it.
            batch_size: images in a call of `compute`, at most.
            cap: leave out images whose number within their identity is this or more; None takes all.

        Raises:
            DatasetError, InputError: an image cannot be read or is of another size.
            StorageError: the disk is full.
        """
        kept = sum(shard.count for shard in self._source.shards if self._holds(shard))
        progress.begin(stage, total=self._source.images, unit="images", done=kept)
        for shard, start in zip(self._source.shards, self.starts.tolist(), strict=True):
            if self._holds(shard):
                continue
            self._begin(shard, start)
            done = 0
            for places, records, pixels in _batches(self._source, shard, cap, batch_size):
                for name, rows in compute(records, pixels).items():
                    self._write(name, start + places, rows)
                progress.advance(len(records))
                done += len(records)
            self._finish(shard)
            progress.advance(shard.count - done)
        return kept < self._source.images

    def read(self, name: str) -> NDArray:
        """The whole array, a read-only memory map."""
        return self._files[name].read()

    def load(self, name: str) -> NDArray:
        """The whole array in memory: on a full memory disk a hole cannot be mapped."""
        array: NDArray = np.load(self._files[name].path)
        return array

    def _create(self, arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> None:
        folder = self._folder
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        for name, (kind, shape) in arrays.items():
            RowFile.create(folder / f"{name}.npy", np.dtype(kind), (self._source.images, *shape))

    def _holds(self, shard: Shard) -> bool:
        """Tell whether the rows of a shard are those of its present content."""
        return self._finished.get(shard.path.name) == shard.sha256

    def _begin(self, shard: Shard, start: int) -> None:
        """Give up what the rows of a shard held, so that a run that stops in it leaves no mixture behind."""
        if shard.path.name in self._finished:
            self._log(shard, _GIVEN_UP)
        for file in self._files.values():
            rows = file.read()
            file.write(start, np.zeros((shard.count, *rows.shape[1:]), rows.dtype))

    def _write(self, name: str, places: NDArray[np.int64], rows: NDArray) -> None:
        runs = np.flatnonzero(np.diff(places) > 1) + 1  # images that were left out part the rows
        for part, first in zip(np.split(rows, runs), [0, *runs], strict=True):
            self._files[name].write(int(places[first]), part)

    def _finish(self, shard: Shard) -> None:
        for file in self._files.values():
            file.flush()
        self._log(shard, shard.sha256)

    def _log(self, shard: Shard, state: str) -> None:
        path = self._folder / "done.txt"
        try:
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(f"{shard.path.name} {state}\n")
        except OSError as error:
            raise explain_os_error(error, path) from error
        self._finished[shard.path.name] = state


def decode_face(record: ImageRecord) -> Pixels:
    """Decode an image to (112, 112, 3) uint8 RGB. Raises `DatasetError` for another size."""
    pixels = decode_image(record.data, where=record.key) if record.pixels is None else record.pixels
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise DatasetError(
            f"image {record.key} is {pixels.shape[1]}x{pixels.shape[0]}, not {IMAGE_SIZE}x{IMAGE_SIZE}; align faces to "
            "such crops first (vec2face data prepare)."
        )
    return pixels


def _batches(
    source: AuditedSet, shard: Shard, cap: int | None, batch_size: int
) -> Iterator[tuple[NDArray[np.int64], list[ImageRecord], Pixels]]:
    places: list[int] = []
    records: list[ImageRecord] = []
    pixels: list[Pixels] = []
    for place, record in enumerate(source.records(shard)):
        if cap is not None and record.image >= cap:
            continue
        places.append(place)
        records.append(record)
        pixels.append(decode_face(record))
        if len(records) == batch_size:
            yield np.array(places), records, np.stack(pixels)
            places, records, pixels = [], [], []
    if records:
        yield np.array(places), records, np.stack(pixels)
