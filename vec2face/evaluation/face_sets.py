"""What an audit measures: a dataset of this toolkit, or labelled faces in any format that can be read.

Both give the same records. Work is done, and kept, a shard at a time; a foreign set has no shards of its own and is cut
into ranges of images.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from vec2face.data.facepack import FacePack
from vec2face.data.readers import FaceReader, FaceRecord, open_reader
from vec2face.data.readers.base import People
from vec2face.errors import DatasetError, InputError
from vec2face.evaluation.dataset import DatasetReader, ImageRecord, Shard
from vec2face.fileio.atomic import fingerprint
from vec2face.fileio.location import is_url

IMAGES_PER_RANGE = 1000
_LARGEST_LABEL = 2**31 - 2

Part = Literal["all", "training", "held-out"]


class AuditedSet(Protocol):
    """Images in a fixed order, in shards."""

    @property
    def report_folder(self) -> Path:
        """Where the audit writes."""

    @property
    def shards(self) -> Sequence[Shard]:
        """Parts that are measured one after another; their paths serve as names."""

    @property
    def images(self) -> int:
        """How many images there are."""

    def records(self, shard: Shard) -> Iterator[ImageRecord]:
        """Yield the images of a shard, in order."""

    def fetch_rows(self, rows: Iterable[int]) -> dict[int, ImageRecord]:
        """Read chosen images by their position in the whole set."""


class ForeignSet:
    """Faces that were made or photographed elsewhere.

    A record's `identity` is the label that the format gives, its `image` counts the images of that label; without
    labels each image is a person of its own.

    Args:
        source: whatever `open_reader` opens.
        report: folder for the report; nothing is ever written to the source.
        people: whether folders name people.

    Raises:
        InputError: the source cannot be read.
    """

    def __init__(self, source: str, *, report: Path, people: People = "auto") -> None:
        self.reader: FaceReader = open_reader(source, people=people)
        self.name, self.report_folder = Path(source).name, report
        self.images, self.labelled = len(self.reader), self.reader.labelled
        content = fingerprint({"files": list(self.reader.files()), "people": people})
        starts = range(0, self.images, IMAGES_PER_RANGE)
        self.shards = tuple(
            Shard(Path(f"{start:09d}"), min(IMAGES_PER_RANGE, self.images - start), content, 0) for start in starts
        )
        self._seen: dict[int, int] = {}
        self._position = 0

    def records(self, shard: Shard) -> Iterator[ImageRecord]:
        """Yield the images of a range.

        Raises:
            InputError: an image cannot be read, or a label is too large.
        """
        start = int(shard.path.name)
        if start < self._position:
            self._seen, self._position = {}, 0
        # What was measured before a run was stopped is counted again, so that images keep their numbers.
        for position, record in enumerate(self.reader.records(self._position, start + shard.count), self._position):
            found = self._numbered(position, record)
            self._position = position + 1
            if position >= start:
                yield found

    def fetch_rows(self, rows: Iterable[int]) -> dict[int, ImageRecord]:
        """Read chosen images by position; their `image` is not counted. Raises `InputError`."""
        return {row: _record(self.reader.record(row), row, 0) for row in sorted(set(rows))}

    def _numbered(self, position: int, record: FaceRecord) -> ImageRecord:
        label = position if record.label is None else record.label
        number = self._seen.get(label, 0)
        self._seen[label] = number + 1
        return _record(record, position, number)


class PackSet:
    """The faces of a pack, all of them or a part.

    Args:
        folder: of the pack.
        report: folder for what is measured.
        part: "training" leaves out the faces that training never saw, "held-out" takes those alone.

    Raises:
        InputError: there is no pack, or no such faces in it.
    """

    def __init__(self, folder: Path, *, report: Path, part: Part = "all") -> None:
        self._pack = FacePack.load(folder)
        chosen = {"all": self._pack.holdout | True, "training": ~self._pack.holdout, "held-out": self._pack.holdout}
        self._rows = np.flatnonzero(chosen[part])
        if not len(self._rows):
            raise InputError(f"the face pack {folder} has no {part} faces.")
        self.report_folder, self.images = report, len(self._rows)
        content = fingerprint({"pack": self._pack.facts, "part": part})
        starts = range(0, self.images, IMAGES_PER_RANGE)
        self.shards = tuple(
            Shard(Path(f"{start:09d}"), min(IMAGES_PER_RANGE, self.images - start), content, 0) for start in starts
        )
        groups = [self._pack.groups[row] for row in self._rows]
        names = {name: number for number, name in enumerate(dict.fromkeys(filter(None, groups)))}
        self.name, self.labelled, self.holds_out = folder.name, bool(names), bool(self._pack.holdout.any())
        # Faces of nobody known come after the people, each by itself.
        self._labels = [names[group] if group else len(names) + at for at, group in enumerate(groups)]
        self._numbers = _count_up(self._labels)

    def records(self, shard: Shard) -> Iterator[ImageRecord]:
        """Yield the images of a range."""
        start = int(shard.path.name)
        yield from (self._record(place) for place in range(start, start + shard.count))

    def fetch_rows(self, rows: Iterable[int]) -> dict[int, ImageRecord]:
        """Read chosen images by position."""
        return {row: self._record(row) for row in sorted(set(rows))}

    def _record(self, place: int) -> ImageRecord:
        row = self._rows[place]
        return ImageRecord(
            key=self._pack.names[row],
            identity=self._labels[place],
            image=self._numbers[place],
            sigma=0.0,
            data=b"",
            person=self._pack.groups[row],
            pixels=np.asarray(self._pack.images[row]),
        )


def _count_up(labels: list[int]) -> list[int]:
    """Number the occurrences of each label."""
    seen: dict[int, int] = {}
    numbers = []
    for label in labels:
        numbers.append(seen.get(label, 0))
        seen[label] = numbers[-1] + 1
    return numbers


def _record(record: FaceRecord, position: int, number: int) -> ImageRecord:
    label = position if record.label is None else record.label
    if label > _LARGEST_LABEL:
        raise InputError(f"{record.where} has the label {label}; labels above {_LARGEST_LABEL} cannot be audited.")
    person = record.person or ""
    return ImageRecord(record.key, label, number, 0.0, record.data, person)


def open_audited(source: str, *, report: Path | None, people: People) -> DatasetReader | ForeignSet | PackSet:
    """Open what is to be audited.

    Args:
        source: a dataset of this toolkit, a face pack, or anything `open_reader` opens.
        report: folder for the report of a foreign set; a dataset keeps its own.
        people: whether folders of a foreign set name people.

    Raises:
        DatasetError: there is nothing, or no dataset and no folder for a report; or the dataset is unfinished.
        InputError: the set cannot be read, or a dataset is given a folder for its report.
    """
    path = Path(source)
    if path.is_dir() and (path / "dataset.json").is_file():
        if is_foreign(path):
            return ForeignSet(source, report=report or path / "report", people=people)
        if report is not None:
            raise InputError(f"{source} is a dataset, whose report stands in its own folder; leave --out away.")
        return DatasetReader(path)
    if report is None:
        # A folder that was meant to be a dataset is told so, rather than that it is no image folder.
        if not path.exists() and "{" not in source and not is_url(source):
            raise DatasetError(f"{source} is not a dataset: there is no such file or folder.")
        raise DatasetError(
            f"{source} is not a dataset: it has no dataset.json; to audit a set of faces made elsewhere, name a folder "
            "for the report with --out."
        )
    return open_faces(source, report=report, people=people)


def table_of(faces: AuditedSet) -> Path | None:
    """Return the table that takes measured columns: of a dataset, also of one made of others' images; else None."""
    if isinstance(faces, DatasetReader):
        return faces.metadata_path
    if isinstance(faces, ForeignSet) and is_foreign(Path(faces.reader.source)):
        return Path(faces.reader.source) / "metadata.parquet"
    return None


def is_foreign(dataset: Path) -> bool:
    """Whether a dataset was made of others' (imported, merged, a subset), so that it has no recipe and no bank."""
    try:
        return "origin" in json.loads((dataset / "dataset.json").read_bytes())
    except (OSError, ValueError):
        return False  # whoever opens it says what is wrong


def open_faces(source: str, *, report: Path, people: People = "auto", part: Part = "all") -> ForeignSet | PackSet:
    """Open any set of faces but as the dataset that it may be: a pack, or what `open_reader` opens.

    Args:
        report: folder for what is measured.
        people: whether folders name people.
        part: of a pack.

    Raises:
        InputError: it cannot be read.
    """
    if (Path(source) / "index.json").is_file() and (Path(source) / "images.npy").is_file():
        return PackSet(Path(source), report=report, part=part)
    return ForeignSet(source, report=report, people=people)
