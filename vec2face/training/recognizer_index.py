"""Who is in the images of a dataset, and which of them a recipe takes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.config.recognition import DatasetOptions
from vec2face.contracts import IMAGE_SIZE
from vec2face.data.readers import FaceReader, FaceRecord, open_reader
from vec2face.data.readers.recognise import MEASURED_NAME
from vec2face.errors import InputError
from vec2face.fileio.atomic import fingerprint, sha256_file, write_bytes

DESCRIPTION = "dataset.json"
NOTE_EVERY = 100_000


@dataclass(frozen=True)
class LabelledSet:
    """A dataset with what is taken of it.

    Attributes:
        reader: of the whole dataset.
        positions: `(n,)` int64 positions in the reader of the images taken, rising.
        labels: `(n,)` int64 classes, 0 to `classes` - 1, in the order of the dataset's own numbers.
        classes: people taken.
        weight: how often each image occurs in an epoch.
        facts: what tells the dataset and the choice from others: format, counts, fingerprint.
    """

    reader: FaceReader
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int
    weight: float
    facts: dict[str, Any]


def index_set(
    source: str | Path, options: DatasetOptions, *, cache: Path, on_note: Callable[[str], None]
) -> LabelledSet:
    """Find out who is in each image of a dataset, and take what `options` says.

    The formats keep labels beside the images, so every record is read once; the result is kept in `cache`.

    Args:
        source: whatever `open_reader` reads.
        options: what to take.
        cache: file of the result; used if it is of the same dataset and options.
        on_note: told now and then how far it is.

    Raises:
        InputError: the dataset is unusable, its pictures have no people or another size than 112x112, a label is out of
            the range that it states, or nothing is left of it.
    """
    reader = open_reader(source)
    if not reader.labelled:
        raise InputError(f"{source} does not say who is in its pictures; a recogniser learns from labelled faces.")
    require_size(reader.record(0))
    table = Path(reader.source) / MEASURED_NAME
    if options.at_least and not table.is_file():
        raise InputError(
            f"at_least needs the table {table}, which is not there; take at_least out of the recipe, or name a "
            "generated and audited dataset."
        )
    facts: dict[str, Any] = {
        "format": reader.format,
        "images": len(reader),
        "fingerprint": fingerprint([[name, size] for name, size in reader.files()]),
        "options": options.model_dump(mode="json"),
    }
    if options.at_least:
        facts["table"] = sha256_file(table)
    if (description := Path(source) / DESCRIPTION).is_file():
        facts["description"] = sha256_file(description)
    stored = _read_cache(cache, fingerprint(facts))
    if stored is None:
        good = _good_keys(table, options.at_least) if options.at_least else None
        stored = _choose(*_numbers(reader, good, on_note), options)
        _write_cache(cache, fingerprint(facts), *stored)
    positions, numbers = stored
    if not len(positions):
        limits = ", ".join(f"{column} of at least {value:g}" for column, value in options.at_least.items())
        raise InputError(f"no image of {source} has {limits}; lower the limit, or leave the dataset out.")
    people, labels = np.unique(numbers, return_inverse=True)
    facts |= {"people": len(people), "taken": len(positions)}
    return LabelledSet(reader, positions, labels.astype(np.int64), len(people), options.weight, facts)


def require_size(record: FaceRecord) -> NDArray[np.uint8]:
    """Return a record's pixels. Raises `InputError` unless they are 112x112."""
    pixels = record.decode()
    height, width = pixels.shape[:2]
    if (height, width) != (IMAGE_SIZE, IMAGE_SIZE):
        raise InputError(
            f"{record.where} is {width}x{height}, but a recogniser is trained on aligned faces of "
            f"{IMAGE_SIZE}x{IMAGE_SIZE}; align the set with 'vec2face data prepare', or leave it out."
        )
    return pixels


def _numbers(
    reader: FaceReader, good: set[str] | None, on_note: Callable[[str], None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the good images, and the dataset's own numbers of their people."""
    classes, numbers = reader.classes, np.empty(len(reader), np.int64)
    kept = np.ones(len(reader), bool)
    for position, record in enumerate(reader.records()):
        if record.label is None:
            raise InputError(f"{record.where} has no person; a recogniser learns from labelled faces.")
        numbers[position] = record.label
        if classes is not None and record.label >= classes:
            raise InputError(
                f"{record.where} says person {record.label}, which is out of range: {reader.source} states {classes} "
                f"people, numbered 0 to {classes - 1}."
            )
        if good is not None:
            kept[position] = record.key in good
        if position and position % NOTE_EVERY == 0:
            on_note(f"{reader.source}: read who is in {position} of {len(reader)} images")
    return np.flatnonzero(kept), numbers[kept]


def _choose(
    positions: NDArray[np.int64], numbers: NDArray[np.int64], options: DatasetOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take the first people by their numbers, and the first images of each by their positions."""
    if options.people is not None:
        chosen = np.isin(numbers, np.unique(numbers)[: options.people])
        positions, numbers = positions[chosen], numbers[chosen]
    if options.images_per_person is not None:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        begins = np.searchsorted(ordered, ordered)  # where each person's images begin
        chosen = np.sort(order[np.arange(len(order)) - begins < options.images_per_person])
        positions, numbers = positions[chosen], numbers[chosen]
    return positions, numbers


def _good_keys(table: Path, at_least: dict[str, float]) -> set[str]:
    """Return the keys of the images that reach every lowest value; images that were not measured do not."""
    try:
        with pq.ParquetFile(table) as file:
            for column in at_least:
                if column not in file.schema_arrow.names:
                    raise InputError(
                        f"{table} has no column {column!r}; run 'vec2face audit' on the dataset, which measures its "
                        f"images, or name another of {', '.join(file.schema_arrow.names)}."
                    )
            rows = file.read(columns=["key", *at_least])
        good = np.ones(len(rows), bool)
        for column, lowest in at_least.items():
            values = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
            good &= np.nan_to_num(values, nan=-np.inf) >= lowest
        return set(np.asarray(rows["key"].to_pylist(), object)[good])
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise InputError(f"{table} is damaged, or holds no numbers there ({' '.join(str(error).split())}).") from None


def _read_cache(path: Path, wanted: str) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["fingerprint"]) == wanted:
                return stored["positions"], stored["numbers"]
    except (OSError, ValueError, KeyError):
        pass  # cut short; it is made anew
    return None


def _write_cache(path: Path, of: str, positions: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
    stream = io.BytesIO()
    np.savez(stream, fingerprint=np.array(of), positions=positions, numbers=numbers)
    write_bytes(path, stream.getvalue())
