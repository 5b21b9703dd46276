"""What an audit measures: a dataset of this toolkit, or labelled faces in any format that can be read.

Both give the same records. Work is done, and kept, a shard at a time; a foreign set has no shards of its own and is cut
into ranges of images.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vec2face.data.readers import FaceReader, FaceRecord, open_reader
from vec2face.data.readers.base import People
from vec2face.errors import InputError
from vec2face.evaluation.dataset import DatasetReader, ImageRecord, Shard
from vec2face.fileio.atomic import fingerprint

IMAGES_PER_RANGE = 1000
_LARGEST_LABEL = 2**31 - 2


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
        self.report_folder = report
        self.images = len(self.reader)
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


def _record(record: FaceRecord, position: int, number: int) -> ImageRecord:
    label = position if record.label is None else record.label
    if label > _LARGEST_LABEL:
        raise InputError(f"{record.where} has the label {label}; labels above {_LARGEST_LABEL} cannot be audited.")
    person = record.person if record.person is not None else record.key
    return ImageRecord(record.key, label, number, 0.0, record.data, person)


def open_audited(source: str, *, report: Path | None, people: People) -> DatasetReader | ForeignSet:
    """Open what is to be audited.

    Args:
        source: a dataset of this toolkit, or anything `open_reader` opens.
        report: folder for the report of a foreign set; a dataset keeps its own.
        people: whether folders of a foreign set name people.

    Raises:
        InputError: there is nothing that can be read, or a foreign set without a folder for its report.
        DatasetError: the dataset is unfinished.
    """
    path = Path(source)
    if path.is_dir() and (path / "dataset.json").is_file():
        if report is not None:
            raise InputError(f"{source} is a dataset, whose report stands in its own folder; leave --out away.")
        return DatasetReader(path)
    if report is None:
        # A folder that was meant to be a dataset is told so, rather than that it is no image folder.
        if not path.exists() and "{" not in source:
            raise InputError(f"{source} is not a dataset: there is no such file or folder.")
        raise InputError(
            f"{source} is not a dataset: it has no dataset.json; to audit a set of faces made elsewhere, name a folder "
            "for the report with --out."
        )
    return ForeignSet(source, report=report, people=people)
