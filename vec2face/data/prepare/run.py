"""The whole of preparing: shard after shard, then the lists, the sheets and, last, the description."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vec2face.checkpoints import digest as weights_digest
from vec2face.checkpoints import load_embedder
from vec2face.config.preparing import PrepareOptions
from vec2face.data.prepare.duplicates import NearDuplicates, SameFiles
from vec2face.data.prepare.examine import REASONS, Aligner, DetectorAligner, Examiner, TableAligner
from vec2face.data.prepare.features import FeatureExtractor
from vec2face.data.prepare.folder import PreparedFolder, ShardManifest
from vec2face.data.prepare.shard import Memory, ShardWriter
from vec2face.data.prepare.sheets import write_sheets
from vec2face.data.prepare.workers import Examination
from vec2face.data.readers import FaceReader
from vec2face.errors import InputError
from vec2face.fileio.atomic import atomic_write, sha256_file, write_json
from vec2face.fileio.outputs import require_writable
from vec2face.progress import ProgressReporter

FORMAT = "vec2face-prepared/1"


@dataclass(frozen=True)
class PrepareSummary:
    """What came of a run.

    Attributes:
        images: images in the source.
        kept: images in the shards.
        people: people among the kept, or None in a source without people.
        dropped: images left out, by reason.
        passed_over: files of the source that are no images by their name, and the first of them.
    """

    images: int
    kept: int
    people: int | None
    dropped: dict[str, int]
    passed_over: tuple[int, str]


def prepare(
    reader: FaceReader,
    options: PrepareOptions,
    out: Path,
    *,
    detector: Path | None = None,
    landmarks: Path | None = None,
    workers: int = 1,
    progress: ProgressReporter,
) -> PrepareSummary:
    """Prepare every image of a source, or go on where a run with the same settings ended, to the same bytes.

    Args:
        reader: the source.
        options: what is done; see `PrepareOptions`.
        out: the folder to be written: new, empty, or begun.
        detector: face detector, for `options.alignment` "detector".
        landmarks: table of landmarks, for "landmarks".
        workers: processes that decode, detect and align; the bytes do not depend on it.
        progress: told of each batch.

    Raises:
        InputError: an input is missing or damaged, or not one image of the source can be used.
        DatasetError: the folder belongs to other settings or to something else.
        StorageError: it cannot be written; finished shards are kept.
    """
    _check_place(reader, out)
    aligner = _aligner(options, detector, landmarks)
    folder = PreparedFolder(out)
    images = len(reader)
    extractor = FeatureExtractor(load_embedder(options.embedder), device=options.device)
    weights = weights_digest(options.embedder, kind="embedder")
    network = {"sha256": weights, "feature_space": extractor.space, "width": extractor.width}
    determinants = {
        "options": options.model_dump(mode="json"),
        "source": {"format": reader.format, "images": images, "files": _listing_digest(reader)},
        "embedder": network,
        "detector": sha256_file(detector) if detector is not None else None,
        "landmarks": sha256_file(landmarks) if landmarks is not None else None,
    }
    plan = folder.begin(determinants)
    bounds = [(start, min(start + options.shard_size, images)) for start in range(0, images, options.shard_size)]
    done = [folder.finished(shard, plan) for shard in range(len(bounds))]
    examiner = Examiner(reader, options, aligner)
    if not all(done):
        folder.index.unlink(missing_ok=True)
        _write_shards(folder, plan, options, examiner, extractor, bounds, done, workers, progress)
    manifests = [manifest for manifest in done if manifest is not None]
    summary = _summarise(reader, folder, manifests, images)
    if not folder.index.exists():
        write_sheets(folder, examiner, len(bounds))
        _describe(folder, summary, reader, options, determinants, plan)
    if not summary.kept:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in summary.dropped.items())
        raise InputError(
            f"none of the {images} images of {reader.source} can be used ({reasons}); see {folder.dropped}."
        )
    return summary


def _check_place(reader: FaceReader, out: Path) -> None:
    source, target = Path(reader.source).resolve(), out.resolve()
    if source.is_dir() and target.is_relative_to(source):
        raise InputError(f"{out} lies inside the source {reader.source}; choose a folder elsewhere.")
    require_writable(target.parent, output=out)


def _aligner(options: PrepareOptions, detector: Path | None, landmarks: Path | None) -> Aligner | None:
    given = {"detector": detector, "landmarks": landmarks}
    for name, path in given.items():
        if (path is not None) != (options.alignment == name):
            raise InputError(f"the alignment {options.alignment!r} {'needs a' if path is None else 'takes no'} {name}.")
    if detector is not None:
        return DetectorAligner(detector, options)
    return TableAligner(landmarks) if landmarks is not None else None


def _listing_digest(reader: FaceReader) -> str:
    listing = hashlib.sha256()
    for name, size in reader.files():
        listing.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return listing.hexdigest()


def _write_shards(
    folder: PreparedFolder,
    plan: str,
    options: PrepareOptions,
    examiner: Examiner,
    extractor: FeatureExtractor,
    bounds: list[tuple[int, int]],
    done: list[ShardManifest | None],
    workers: int,
    progress: ProgressReporter,
) -> None:
    """Write the shards that `done` lacks, in order, and fill it."""
    images = bounds[-1][1]
    finished = sum(stop - start for (start, stop), manifest in zip(bounds, done, strict=True) if manifest)
    progress.begin("preparing faces", total=images, unit="images", done=finished)
    near = None
    try:
        if options.dedupe < 1:
            folder.root.mkdir(parents=True, exist_ok=True)
            near = NearDuplicates(folder.vectors, width=extractor.width, capacity=images, threshold=options.dedupe)
        writer = ShardWriter(
            folder,
            plan,
            options,
            reader=examiner.reader,
            extractor=extractor,
            memory=Memory(SameFiles(), near),
            on_images=progress.advance,
        )
        last = max(shard for shard, manifest in enumerate(done) if manifest is None)
        with Examination(examiner, workers) as examination:
            for shard, (start, stop) in enumerate(bounds[: last + 1]):
                if done[shard] is not None:
                    writer.recall(shard)
                    continue
                step = options.feature_batch
                ranges = [(first, min(first + step, stop)) for first in range(start, stop, step)]
                done[shard] = writer.write(shard, examination.run(ranges))
                progress.advance(0, note=f"{shard + 1} of {len(bounds)} shards")
    finally:
        folder.vectors.unlink(missing_ok=True)


def _rows(folder: PreparedFolder, shards: int) -> Iterator[dict[str, Any]]:
    for shard in range(shards):
        yield from folder.read_table(shard)


def _summarise(
    reader: FaceReader, folder: PreparedFolder, manifests: list[ShardManifest], images: int
) -> PrepareSummary:
    dropped: Counter[str] = Counter()
    for manifest in manifests:
        dropped.update(manifest.dropped)
    people: int | None = None
    if reader.labelled:
        people = len({row["label"] for row in _rows(folder, len(manifests)) if not row["reason"]})
    return PrepareSummary(
        images=images,
        kept=sum(manifest.kept for manifest in manifests),
        people=people,
        dropped={reason: dropped[reason] for reason in REASONS if dropped[reason]},
        passed_over=reader.passed_over,
    )


def _describe(
    folder: PreparedFolder,
    summary: PrepareSummary,
    reader: FaceReader,
    options: PrepareOptions,
    determinants: dict[str, Any],
    plan: str,
) -> None:
    shards = -(-summary.images // options.shard_size)
    content = hashlib.sha256()
    with atomic_write(folder.dropped, "w") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["index", "source", "person", "reason", "detail"])
        for row in _rows(folder, shards):
            content.update(row["sha256"])
            if row["reason"]:
                table.writerow([row["index"], row["source"], row["person"], row["reason"], row["detail"]])
    if not summary.kept:
        return
    write_json(
        folder.index,
        {
            "format": FORMAT,
            "plan": plan,
            "shards": shards,
            "images": summary.kept,
            "people": summary.people,
            "dropped": summary.dropped,
            "source": {
                "name": Path(reader.source).name,
                "format": reader.format,
                "images": summary.images,
                "sha256": content.hexdigest(),
                "files_passed_over": summary.passed_over[0],
            },
            "embedder": {"reference": options.embedder, **determinants["embedder"]},
            "detector": determinants["detector"],
            "landmarks": determinants["landmarks"],
            "options": determinants["options"],
        },
    )
