"""A labelled face set with what must be known of it before any image is copied: who is in each, and which facts.

People are numbered anew without gaps, in the order of the set's own numbers. The numbers take eight bytes for each
image; images and facts are read when they are asked for.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vec2face.data.readers import FaceReader, FaceRecord, People, open_reader
from vec2face.errors import InputError
from vec2face.fileio.atomic import fingerprint, write_bytes
from vec2face.interchange.columns import RESERVED, ColumnGuess, schema_text, text_schema
from vec2face.interchange.dataset_table import DatasetTable
from vec2face.progress import ProgressReporter

# Written beside an export; read again where the format has no names.
LABELS_NAME = "labels.csv"
_NOTE_EVERY = 1_000


@dataclass(frozen=True, eq=False)
class FaceSource:
    """An indexed face set.

    Attributes:
        reader: the set.
        labels: `(N,)` int64 the person in each image, 0 to `len(people)` - 1.
        people: name of each person.
        numbers: `(len(people),)` int64 the number that the set itself gives each person.
        columns: the plain facts that images have, with their types.
        table: the facts, where they stand in a table beside the images; None where records carry them.
    """

    reader: FaceReader
    labels: NDArray[np.int64]
    people: tuple[str, ...]
    numbers: NDArray[np.int64]
    columns: pa.Schema
    table: DatasetTable | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def annotated(self) -> bool:
        """Whether images carry facts beyond how they are stored."""
        return self.reader.annotated

    def identify(self) -> dict[str, Any]:
        """Return what tells the set from others: format, names and sizes of its files, digest of its table."""
        listing = fingerprint([[name, size] for name, size in self.reader.files()])
        facts: dict[str, Any] = {"format": self.reader.format, "images": len(self), "files (sha256)": listing}
        if self.table is not None:
            facts |= {"dataset": self.table.fingerprint, "metadata.parquet (sha256)": self.table.digest()}
            if self.table.excluded:
                facts["excluded identities"] = list(self.table.excluded)
        return facts

    def lineage(self) -> dict[str, Any]:
        """Return what a set made from it says of it: name, format, size, and for a dataset all that it says itself."""
        facts = {"name": Path(self.reader.source).name, "format": self.reader.format, "images": len(self)}
        known = {} if self.table is None else self.table.lineage()
        return {**facts, "people": len(self.people), **known}

    def records(self, positions: NDArray[np.int64]) -> Iterator[FaceRecord]:
        """Yield the records at these positions, with all known facts; neighbours are read in one go.

        Raises:
            InputError, DatasetError: a record is damaged, or does not fit the table.
        """
        for start, stop in _runs(positions):
            rows = self.table.rows(start, stop) if self.table is not None else iter(())
            for record in self.reader.records(start, stop):
                if self.table is None:
                    yield record
                    continue
                yield replace(record, facts={**record.facts, **self.table.check(next(rows), record.key)})


def open_source(
    source: str | Path, *, people: People = "auto", cache: Path | None = None, progress: ProgressReporter
) -> FaceSource:
    """Open a set of any known format and find out who is in each image.

    A dataset of this toolkit tells it by its table; other formats are read through once.

    Args:
        source: whatever `open_reader` reads.
        people: see `open_reader`.
        cache: file that keeps what was found out, for the next time.
        progress: receives the stage "indexing".

    Raises:
        InputError, DatasetError: the set is unusable, or does not say who is in its pictures.
    """
    return index_source(open_reader(source, people=people), cache=cache, progress=progress)


def index_source(reader: FaceReader, *, cache: Path | None = None, progress: ProgressReporter) -> FaceSource:
    """Find out who is in each image of an open set; see `open_source`."""
    table = DatasetTable.beside(reader)
    if table is not None:
        numbers, names = table.people()
        return _source(reader, numbers, names, table.columns, table)
    if not reader.labelled:
        raise InputError(
            f"{reader.source} does not say who is in its pictures, and a dataset's images belong to people; "
            "put each person's images into a folder, or give --people folders where they are."
        )
    known = _read_cache(cache, reader)
    if known is None:
        known = _read_through(reader, progress)
        _write_cache(cache, reader, *known)
    numbers, names, columns = known
    return _source(reader, numbers, {**names, **_stated_names(reader)}, columns, None)


def _source(
    reader: FaceReader,
    numbers: NDArray[np.int64],
    names: Mapping[int, str],
    columns: pa.Schema,
    table: DatasetTable | None,
) -> FaceSource:
    own, labels = np.unique(numbers, return_inverse=True)
    people = tuple(names.get(int(number), str(number)) for number in own)
    return FaceSource(reader, labels.astype(np.int64), people, own, columns, table)


def _read_through(
    reader: FaceReader, progress: ProgressReporter
) -> tuple[NDArray[np.int64], dict[int, str], pa.Schema]:
    progress.begin("indexing", total=len(reader), unit="images")
    numbers, names, guess = np.empty(len(reader), np.int64), {}, ColumnGuess()
    for position, record in enumerate(reader.outlines()):
        if record.label is None:
            raise InputError(f"{record.where} has no person, but others of {reader.source} have; mend the set first.")
        numbers[position] = record.label
        if record.label not in names:
            names[record.label] = _name(record)
        if reader.annotated:
            guess.add(record.facts)
        if (position + 1) % _NOTE_EVERY == 0:
            progress.advance(_NOTE_EVERY)
    progress.advance(len(reader) % _NOTE_EVERY)
    return numbers, names, guess.schema()


def _name(record: FaceRecord) -> str:
    given = record.facts.get("identity_name")
    return given if isinstance(given, str) and given else record.person or str(record.label)


def _stated_names(reader: FaceReader) -> dict[int, str]:
    """Return the names in the table of labels that an export leaves beside records that have no place for them."""
    if reader.annotated:
        return {}
    place = Path(reader.source)
    path = (place if place.is_dir() else place.parent) / LABELS_NAME
    if not path.is_file():
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            return {int(row["label"]): row["person"] for row in csv.DictReader(stream)}
    except (KeyError, ValueError, TypeError, OSError, csv.Error):
        raise InputError(
            f"{path} is not a table with the columns label and person; mend it, or move it elsewhere."
        ) from None


def plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that can be written as JSON and do not say who, where or which image it is."""
    return {
        name: value
        for name, value in facts.items()
        if name not in RESERVED and not isinstance(value, bytes | bytearray)
    }


def _runs(positions: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (first, behind the last) of each run of neighbours, in order."""
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    for begin, end in pairwise([0, *breaks.tolist(), len(positions)]):
        if begin < end:
            yield int(positions[begin]), int(positions[end - 1]) + 1


def _purpose(reader: FaceReader) -> str:
    return fingerprint([reader.format, [[name, size] for name, size in reader.files()]])


def _read_cache(path: Path | None, reader: FaceReader) -> tuple[NDArray[np.int64], dict[int, str], pa.Schema] | None:
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            described = json.loads(str(stored["described"]))
            if described["purpose"] != _purpose(reader):
                return None
            names = {int(number): name for number, name in described["names"]}
            return stored["numbers"], names, text_schema(described["columns"])
    except (OSError, ValueError, KeyError):
        return None  # cut short; it is made anew


def _write_cache(
    path: Path | None, reader: FaceReader, numbers: NDArray[np.int64], names: dict[int, str], columns: pa.Schema
) -> None:
    if path is None:
        return
    described = {"purpose": _purpose(reader), "names": list(names.items()), "columns": schema_text(columns)}
    stream = io.BytesIO()
    np.savez(stream, numbers=numbers, described=np.array(json.dumps(described)))
    write_bytes(path, stream.getvalue())
