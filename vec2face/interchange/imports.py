"""Import a foreign face set: a dataset of this toolkit with the same images, bytes untouched."""

from pathlib import Path
from typing import Literal

from vec2face.data.readers import FaceReader, People, open_reader
from vec2face.errors import InputError
from vec2face.interchange.derive import DESCRIPTION, IMAGES_PER_SHARD, derive
from vec2face.interchange.outbound import to_any_place
from vec2face.interchange.selection import Selection
from vec2face.interchange.source import index_source
from vec2face.interchange.workplace import require_free, workplace
from vec2face.interchange.write import WrittenSet
from vec2face.progress import ProgressReporter, SilentProgress

SourceFormat = Literal["auto", "recordio", "lmdb", "folder", "parquet", "webdataset"]
NOT_STATED = "not stated"
_FORMATS: dict[str, tuple[str, ...]] = {
    "recordio": ("MXNet RecordIO",),
    "lmdb": ("LMDB",),
    "folder": ("image folder",),
    "parquet": ("Hugging Face parquet",),
    "webdataset": ("WebDataset archives", "prepared faces"),
}


@to_any_place
def import_set(
    source: str | Path,
    out: Path,
    *,
    expected: SourceFormat = "auto",
    name: str | None = None,
    licence: str = NOT_STATED,
    consent: str = NOT_STATED,
    images_per_shard: int = IMAGES_PER_SHARD,
    people: People = "auto",
    progress: ProgressReporter | None = None,
) -> WrittenSet:
    """Make a dataset of a labelled face set; a stopped run, called again, goes on to the same bytes.

    Args:
        source: any labelled face set that `open_reader` reads.
        out: folder of the dataset; it appears when all is written, until then `OUT.partial` grows.
        expected: the format the source must be of; "auto" takes any.
        name: of the dataset; None takes the source's.
        licence, consent: terms of use, and whether the people shown agreed; they go into `dataset.json`.
        images_per_shard: images of one archive.
        people: whether folders name people; see `open_reader`.
        progress: receives every stage.

    Raises:
        InputError: the source is unusable, hostile, of another format or a dataset already, or `out` is taken.
        DatasetError: `OUT.partial` is of other settings.
        StorageError: the dataset cannot be written; whole shards are kept.
    """
    progress = progress or SilentProgress()
    require_free(out, DESCRIPTION)
    reader = open_reader(source, people=people)
    _check(reader, expected)
    with workplace(out) as place:
        selection = Selection.of(index_source(reader, cache=place.kept("index.npz"), progress=progress))
        return derive(
            place,
            selection,
            command="import",
            name=name or Path(reader.source).name,
            settings={"people": people, "licence": licence, "consent": consent},
            terms={"licence": licence, "consent": consent},
            images_per_shard=images_per_shard,
            progress=progress,
        )


def _check(reader: FaceReader, expected: SourceFormat) -> None:
    if (Path(reader.source) / DESCRIPTION).is_file():
        raise InputError(
            f"{reader.source} is a dataset already; use it as it is, or take a part with 'vec2face subset'."
        )
    if expected != "auto" and reader.format not in _FORMATS[expected]:
        known = next((name for name, formats in _FORMATS.items() if reader.format in formats), reader.format)
        raise InputError(f"{reader.source} is {reader.format}, not {expected}; say --from {known}, or leave it out.")
