"""Export a face set into a foreign format, without touching an image's bytes.

```
OUT/
  ...            the files of the format; see `vec2face.interchange.writers`
  labels.csv     label, person and number of images, and what the person was called in the source
  export.json    where it comes from, what it holds, sizes and digests of the files
```
"""

import csv
from pathlib import Path
from typing import Any, Literal

from vec2face import __version__
from vec2face.data.readers import People, open_reader
from vec2face.errors import InputError
from vec2face.fileio.atomic import atomic_write, fingerprint, sha256_file, write_json
from vec2face.interchange.features import (
    STORED,
    EmbedderFeatures,
    NoFeatures,
    StoredFeatures,
    TableFeatures,
    VectorSource,
)
from vec2face.interchange.outbound import to_any_place
from vec2face.interchange.selection import Selection
from vec2face.interchange.source import LABELS_NAME, FaceSource, index_source
from vec2face.interchange.workplace import is_complete, require_free, workplace
from vec2face.interchange.write import WrittenSet, facts_of, write_blocks
from vec2face.interchange.writers.base import SetWriter
from vec2face.interchange.writers.folder import FolderWriter
from vec2face.interchange.writers.lmdb import LmdbWriter
from vec2face.interchange.writers.parquet import ParquetWriter
from vec2face.interchange.writers.recordio import Im2recWriter, InsightfaceWriter
from vec2face.interchange.writers.webdataset import WebDatasetWriter
from vec2face.progress import ProgressReporter, SilentProgress

DESCRIPTION = "export.json"
# Raise it whenever equal sets begin to give other bytes.
FORMAT = 1
IMAGES_PER_FILE = 10_000

Format = Literal["recordio", "lmdb", "folder", "parquet", "webdataset"]
Dialect = Literal["insightface", "im2rec"]
_WRITERS: dict[str, type[SetWriter]] = {
    "lmdb": LmdbWriter,
    "folder": FolderWriter,
    "parquet": ParquetWriter,
    "webdataset": WebDatasetWriter,
}
_DIALECTS: dict[str, type[SetWriter]] = {"insightface": InsightfaceWriter, "im2rec": Im2recWriter}


@to_any_place
def export(
    source: str | Path,
    out: Path,
    *,
    to: Format,
    dialect: Dialect | None = None,
    features: str | None = None,
    images_per_file: int = IMAGES_PER_FILE,
    device: str = "cpu",
    people: People = "auto",
    progress: ProgressReporter | None = None,
) -> WrittenSet:
    """Write a face set in another format; a stopped run, called again, goes on to the same bytes.

    Args:
        source: a dataset, or any labelled face set that `open_reader` reads.
        out: folder of the export; it appears when all is written, until then `OUT.partial` grows.
        to: the format.
        dialect: of RecordIO; None takes "insightface".
        features: vectors to put beside the images, "stored" for those that are there, or an embedder's reference; None
            for none.
        images_per_file: images of one archive or parquet file, and of the unit of resuming.
        device: where an embedder runs.
        people: whether folders name people; see `open_reader`.
        progress: receives every stage.

    Raises:
        InputError: the set is unusable or does not fit the format, or `out` is taken.
        DatasetError: the dataset is damaged, or `OUT.partial` is of other settings.
        StorageError: the export cannot be written; what was written is kept.
    """
    progress = progress or SilentProgress()
    kind = _writer(to, dialect, features)
    require_free(out, DESCRIPTION)
    reader = open_reader(source, people=people)
    if out.resolve().is_relative_to(Path(reader.source).resolve()) and Path(reader.source).is_dir():
        raise InputError(f"{out} lies inside {source}; choose a folder elsewhere.")
    with workplace(out) as place:
        found = index_source(reader, cache=place.kept("index.npz"), progress=progress)
        selection = Selection.of(found)
        selection = selection.grouped() if kind.grouped else selection
        vectors = _vectors(features, found, selection, device, progress)
        facts = facts_of(selection, feature_dim=vectors.dim)
        determinants = {
            "export": FORMAT,
            "format": kind.format,
            "images_per_file": images_per_file,
            "features": vectors.describe(),
            "people": people,
            "source": found.identify(),
        }
        if is_complete(out, DESCRIPTION, determinants):
            return WrittenSet(out, kind.format, facts.images, len(facts.people), 0, 0.0)
        writer = kind(place.folder, facts, block=images_per_file)
        place.begin(determinants)
        written, seconds = write_blocks(
            place, writer, selection, stage=f"exporting to {kind.format}", vectors=vectors, progress=progress
        )
        write_labels(place.folder / LABELS_NAME, selection, facts.counts.tolist())
        _describe(place.folder, kind, determinants, found, selection, vectors, progress)
        place.publish()
    return WrittenSet(out, kind.format, facts.images, len(facts.people), written, seconds)


def write_labels(path: Path, selection: Selection, counts: list[int]) -> None:
    """Write the table of people. Raises `StorageError`."""
    with atomic_write(path, "w") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["label", "person", "images", "source", "source_label", "source_person"])
        for label, (person, images) in enumerate(zip(selection.people, counts, strict=True)):
            table.writerow([label, person.name, images, person.source, person.number, person.name_there])


def _writer(to: Format, dialect: Dialect | None, features: str | None) -> type[SetWriter]:
    if dialect is not None and to != "recordio":
        raise InputError(f"a dialect belongs to RecordIO; {to} has none.")
    kind = _DIALECTS[dialect or "insightface"] if to == "recordio" else _WRITERS[to]
    if features is not None and not kind.takes_features:
        takers = ", ".join(name for name, writer in _WRITERS.items() if writer.takes_features)
        raise InputError(f"{to} has no place for vectors beside the images; leave --features out, or use {takers}.")
    return kind


def _vectors(
    features: str | None, source: FaceSource, selection: Selection, device: str, progress: ProgressReporter
) -> VectorSource:
    if features is None:
        return NoFeatures()
    if features == STORED:
        return StoredFeatures(selection)
    from vec2face.checkpoints import digest, load_embedder
    from vec2face.evaluation.dataset import DatasetReader
    from vec2face.evaluation.embeddings import embed_dataset, move

    embedder, sha256 = move(load_embedder(features), device), digest(features, kind="embedder")
    if source.table is None or source.table.excluded or "origin" in source.table.description:
        return EmbedderFeatures(embedder, reference=features, digest=sha256)
    # What an audit has embedded is taken, and an audit will take what is embedded now.
    embedded = embed_dataset(
        DatasetReader(Path(source.reader.source)),
        embedder,
        embedder_digest=sha256,
        images_per_identity=None,
        batch_size=64,
        progress=progress,
    )
    return TableFeatures(embedded.vectors, reference=features, digest=sha256)


def _describe(
    folder: Path,
    kind: type[SetWriter],
    determinants: dict[str, Any],
    source: FaceSource,
    selection: Selection,
    vectors: VectorSource,
    progress: ProgressReporter,
) -> None:
    # Images of an image folder are files of their own; the table names them.
    files = sorted(
        path
        for path in (*folder.glob("*"), *folder.glob("data/*"))
        if path.is_file() and not path.name.startswith(".") and path.name != DESCRIPTION
    )
    progress.begin("hashing the export", total=len(files), unit="files")
    listed = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        listed.append({"name": name, "bytes": path.stat().st_size, "sha256": sha256_file(path)})
        progress.advance(1)
    write_json(
        folder / DESCRIPTION,
        {
            "vec2face": __version__,
            "fingerprint": fingerprint(determinants),
            "determinants": determinants,
            "format": kind.format,
            "images": len(selection),
            "people": len(selection.people),
            "columns": [field.name for field in selection.columns] if kind.takes_facts else [],
            "features": vectors.describe(),
            "source": source.lineage(),
            "files": listed,
        },
    )
