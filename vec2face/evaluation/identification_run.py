"""Run closed-set identification on a subject and state the facts of the result."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

import vec2face
from vec2face.data.readers import FaceReader, open_reader
from vec2face.errors import InputError
from vec2face.evaluation.benchmark import FORMAT
from vec2face.evaluation.identification import NOBODY, RANKS, identify
from vec2face.evaluation.image_lists import decode_face_square
from vec2face.evaluation.plots import plot_cmc
from vec2face.evaluation.stored_embeddings import read_embeddings
from vec2face.evaluation.subjects import NetworkSubject, StoredSubject, Subject
from vec2face.evaluation.verification import check_images
from vec2face.fileio.location import Location
from vec2face.progress import ProgressReporter, SilentProgress

CMC_FILE = "cmc.png"
CMC_DEPTH = 100
PARTS = ("probes", "gallery", "distractors")

PeopleFrom = Literal["folders", "file-names"]


@dataclass(frozen=True)
class LabelledFaces:
    """Images of one part of the protocol.

    Attributes:
        part: "probes", "gallery" or "distractors".
        source: what was opened.
        images: the images.
        people: name of each image's person; empty strings for distractors.
        digest: SHA-256 of names and stored bytes.
    """

    part: str
    source: str
    images: "ReaderImages"
    people: list[str]
    digest: str


@dataclass(frozen=True)
class EmbeddedPart:
    """Raw embeddings (N, D) of a part, and the number of each one's person."""

    vectors: NDArray[np.float64]
    people: NDArray[np.int64]


class ReaderImages:
    """The images of a face set; an `ImageList`."""

    def __init__(self, reader: FaceReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader)

    def key(self, index: int) -> int:
        return index

    def pixels(self, index: int) -> NDArray[np.uint8]:
        record = self._reader.record(index)
        return decode_face_square(record.data, record.where)


def open_part(
    part: str, source: Location, *, people_from: PeopleFrom, progress: ProgressReporter | None = None
) -> LabelledFaces:
    """Open one part: an image folder or any other face set.

    Args:
        part: one of `PARTS`; distractors need no people.
        people_from: "folders" takes a folder (or the set's own labels) for a person, "file-names" what stands before
            the first underscore of a file's name, as TinyFace's files are named.

    Raises:
        InputError: there is no such set, or it does not say who is in its pictures.
    """
    progress = progress or SilentProgress()
    nobody = part == "distractors"
    reader = open_reader(source, people="auto" if people_from == "folders" and not nobody else "none")
    if people_from == "folders" and not nobody and not reader.labelled:
        raise InputError(
            f"{source} does not say who is in its pictures; give each person a folder, or say --people-from file-names."
        )
    people, digest = [], hashlib.sha256()
    progress.begin(f"listing the {part}", total=len(reader), unit="images")
    for record in reader:
        stem = record.key.rpartition("/")[2]
        if nobody:
            people.append("")
        elif people_from == "folders":
            people.append(str(record.person))
        elif "_" in stem:
            people.append(stem.partition("_")[0])
        else:
            raise InputError(f"{record.where} is not named PERSON_NUMBER, so its person is not known.")
        for data in (record.key.encode("utf-8", "surrogateescape"), record.data):
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
        progress.advance(1)
    return LabelledFaces(part, str(source), ReaderImages(reader), people, digest.hexdigest())


def run_identification(
    subject: Subject,
    parts: Sequence[LabelledFaces],
    *,
    batch_size: int,
    figures: Path | None = None,
    progress: ProgressReporter | None = None,
) -> dict[str, Any]:
    """Embed the parts, search the gallery and return the facts of the result.

    Args:
        parts: probes, gallery and, if there are any, distractors; empty for stored embeddings, which bring their own.
        figures: folder for the plot; None draws none.

    Raises:
        InputError: an image is damaged or oblong, stored embeddings do not fit, or a probe's person is not in the
            gallery.
        StorageError: the plot cannot be written.
    """
    started = time.perf_counter()
    if isinstance(subject, NetworkSubject):
        _require_known({part.part: part.people for part in parts})
        check_images([part.images for part in parts], progress or SilentProgress())
        names = sorted({name for part in parts for name in part.people if name})
        numbers = {name: number for number, name in enumerate(names)} | {"": NOBODY}
        embedded = {
            part.part: EmbeddedPart(
                subject.embed(part.images, name=f"the {part.part}", batch_size=batch_size, progress=progress),
                np.array([numbers[name] for name in part.people], np.int64),
            )
            for part in parts
        }
        sets = [{"name": p.part, "group": None, "source": p.source, "digest": p.digest} for p in parts]
    else:
        embedded = read_parts(subject)
        sets = [
            {"name": part, "group": None, "source": str(subject.path), "digest": subject.facts["digest"]}
            for part in embedded
        ]
    probes, gallery = embedded["probes"], [embedded[part] for part in PARTS[1:] if part in embedded]
    if len({part.vectors.shape[1] for part in gallery}) > 1:
        raise InputError("the gallery's and the distractors' embeddings differ in width; both must be one network's.")
    found = identify(
        probes.vectors,
        probes.people,
        np.concatenate([part.vectors for part in gallery]),
        np.concatenate([part.people for part in gallery]),
        progress=progress,
    )
    if figures is not None:
        plot_cmc(figures / CMC_FILE, found.cmc(CMC_DEPTH), title="Cumulative match characteristic")
    return {
        "format": FORMAT,
        "protocol": "identification",
        "vec2face": vec2face.__version__,
        "subject": subject.facts,
        "training": subject.training if isinstance(subject, NetworkSubject) else None,
        "options": {"batch_size": batch_size},
        "sets": sets,
        "counts": {
            "probes": len(probes.vectors),
            "probe_people": len(np.unique(probes.people)),
            "gallery": len(embedded["gallery"].vectors),
            "gallery_people": len(np.unique(embedded["gallery"].people)),
            "distractors": len(embedded["distractors"].vectors) if "distractors" in embedded else 0,
        },
        "rank_rates": {str(rank): found.rate(rank) for rank in RANKS},
        "cmc": found.cmc(CMC_DEPTH).tolist(),
        "figures": {"cmc": CMC_FILE} if figures is not None else None,
        "seconds": time.perf_counter() - started,
    }


def read_parts(subject: StoredSubject) -> dict[str, EmbeddedPart]:
    """Read stored embeddings: `probes`, `gallery` and perhaps `distractors`, with `probes_people`, `gallery_people`.

    Raises:
        InputError: an array is missing or unusable, or people are not one whole number, 0 or more, for each embedding.
    """
    if subject.path.suffix != ".safetensors":
        raise InputError(
            f"{subject.path} cannot hold people; identification takes a .safetensors file with the arrays probes, "
            "gallery, probes_people, gallery_people and, if there are any, distractors."
        )
    try:
        with safe_open(subject.path, framework="np") as file:
            keys = set(file.keys())
            people = {key: file.get_tensor(key) for key in keys if key.endswith("_people")}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{subject.path} is not readable ({str(error).splitlines()[0]}).") from None
    parts = {}
    for part in PARTS:
        if part == "distractors" and part not in keys:
            continue
        vectors = read_embeddings(subject.path, name=part)
        labels = people.get(f"{part}_people", np.full(len(vectors), NOBODY) if part == "distractors" else None)
        if labels is None or labels.dtype.kind not in "iu" or labels.shape != (len(vectors),):
            raise InputError(
                f"{subject.path} must hold {part}_people, a whole number for each of the {len(vectors):,} {part}."
            )
        if part != "distractors" and (labels < 0).any():
            raise InputError(f"{subject.path}: {part}_people must be 0 or more.")
        parts[part] = EmbeddedPart(vectors, labels.astype(np.int64))
    return parts


def _require_known(people: dict[str, list[str]]) -> None:
    known = set(people["gallery"])
    absent = [name for name in people["probes"] if name not in known]
    if absent:
        raise InputError(
            f"{len(absent):,} of the {len(people['probes']):,} probes show people who are not in the gallery, the "
            f"first is {absent[0]!r}; in closed-set identification everybody is."
        )
