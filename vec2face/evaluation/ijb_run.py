"""Run the template protocol of IJB-B or IJB-C on a subject and state the facts of the result."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vec2face
from vec2face.errors import InputError
from vec2face.evaluation.benchmark import FORMAT, ROC_FILE
from vec2face.evaluation.ijb import Setting, measure_templates
from vec2face.evaluation.ijb_files import (
    IMAGES_FOLDER,
    AlignedCrops,
    Landmarks,
    TemplateProtocol,
    read_landmarks,
    read_protocol,
)
from vec2face.evaluation.plots import plot_roc
from vec2face.evaluation.stored_embeddings import read_embeddings
from vec2face.evaluation.subjects import NetworkSubject, Subject
from vec2face.fileio.atomic import atomic_write, fingerprint, sha256_file
from vec2face.progress import ProgressReporter

BENCHMARKS = {"ijbb": "IJB-B", "ijbc": "IJB-C"}
SETTINGS = {
    "N1D1": Setting(keep_length=True, detector_score=True),
    "N1D0": Setting(keep_length=True, detector_score=False),
    "N0D1": Setting(keep_length=False, detector_score=True),
    "N0D0": Setting(keep_length=False, detector_score=False),
}


@dataclass(frozen=True)
class IjbSet:
    """IJB-B or IJB-C, opened.

    Attributes:
        name: "ijbb" or "ijbc".
        root: its folder.
        protocol: templates and pairs.
        landmarks: None where the list is absent; then images cannot be aligned, nor weighed by the detector's score.
        digest: fingerprint of the lists.
    """

    name: str
    root: Path
    protocol: TemplateProtocol
    landmarks: Landmarks | None
    digest: str


def open_ijb(root: Path, name: str) -> IjbSet:
    """Read the lists below `root`. Raises `InputError` if one is missing or damaged; see `ijb_files`."""
    meta = root / "meta"
    faces, pairs = meta / f"{name}_face_tid_mid.txt", meta / f"{name}_template_pair_label.txt"
    points = meta / f"{name}_name_5pts_score.txt"
    protocol = read_protocol(faces, pairs)
    landmarks = read_landmarks(points, protocol) if points.is_file() else None
    lists = [faces, pairs, *([points] if landmarks is not None else [])]
    return IjbSet(name, root, protocol, landmarks, fingerprint([sha256_file(path) for path in lists]))


def run_ijb(
    subject: Subject,
    found: IjbSet,
    *,
    settings: Sequence[str],
    batch_size: int,
    embeddings: Path | None = None,
    figures: Path | None = None,
    progress: ProgressReporter | None = None,
) -> dict[str, Any]:
    """Embed every face, compare the templates, and return the facts of the result.

    Args:
        settings: names out of `SETTINGS`.
        embeddings: `.npy` file to keep the embeddings in, which can be measured again without the network.
        figures: folder for the ROC plot; None draws none.

    Raises:
        InputError: images or landmarks are missing, an image is damaged, embeddings do not fit the faces, or a setting
            needs scores that are not there.
        StorageError: a file cannot be written.
    """
    chosen = tuple(SETTINGS[name] for name in settings)
    score = None if found.landmarks is None else found.landmarks.score
    if score is None and any(setting.detector_score for setting in chosen):
        raise InputError(
            f"{found.root / 'meta'} has no {found.name}_name_5pts_score.txt, so the detector's scores are not known; "
            "choose settings with D0."
        )
    started = time.perf_counter()
    vectors = _embed(subject, found, batch_size, embeddings, progress)
    results, curves = measure_templates(vectors, found.protocol, score=score, settings=chosen, progress=progress)
    if figures is not None:
        plot_roc(figures / ROC_FILE, curves, title=f"{BENCHMARKS[found.name]}, 1:1")
    same = found.protocol.same
    return {
        "format": FORMAT,
        "protocol": "ijb",
        "vec2face": vec2face.__version__,
        "benchmark": BENCHMARKS[found.name],
        "subject": subject.facts,
        "training": subject.training if isinstance(subject, NetworkSubject) else None,
        "options": {"batch_size": batch_size, "settings": list(settings)},
        "sets": [{"name": found.name, "group": None, "source": str(found.root), "digest": found.digest}],
        "counts": {
            "images": len(found.protocol.images),
            "templates": len(np.unique(found.protocol.template)),
            "genuine": int(same.sum()),
            "impostor": int((~same).sum()),
        },
        "settings": [result.to_dict() for result in results],
        "figures": {"roc": ROC_FILE} if figures is not None else None,
        "seconds": time.perf_counter() - started,
    }


def _embed(
    subject: Subject, found: IjbSet, batch_size: int, keep: Path | None, progress: ProgressReporter | None
) -> NDArray[np.float64]:
    if not isinstance(subject, NetworkSubject):
        if keep is not None:
            raise InputError(f"{subject.path} holds embeddings already; leave the file to keep them in out.")
        return read_embeddings(subject.path, name=found.name, count=len(found.protocol.images))
    if found.landmarks is None:
        raise InputError(
            f"{found.root / 'meta'} has no {found.name}_name_5pts_score.txt, by which the faces are aligned."
        )
    crops = AlignedCrops(found.root / IMAGES_FOLDER, found.landmarks)
    vectors = subject.embed(crops, name=BENCHMARKS[found.name], batch_size=batch_size, progress=progress)
    if keep is not None:
        with atomic_write(keep) as stream:
            np.save(stream, vectors.astype(np.float32))
    return vectors
