"""Measure an embedder on verification sets: pairs of faces, same person or not.

The protocol is insightface's: the embeddings of an image and its mirror image are summed and scaled to length 1, pairs
are compared by squared Euclidean distance, and accuracy is the mean over ten folds in file order, each with the
threshold that was best on the other nine. Everything after the network is float64, as there.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.evaluation.bootstrap import RESAMPLES, Intervals, bootstrap
from vec2face.evaluation.folds import FoldAccuracy, FoldRate, fold_accuracy, fold_val
from vec2face.evaluation.image_lists import ImageList, unique_positions
from vec2face.evaluation.rates import area_under_curve, equal_error_rate, operating_curve, tar_at_far
from vec2face.evaluation.subjects import NetworkSubject, Subject, embed_with_mirror
from vec2face.evaluation.verification_sets import VerificationSet
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.progress import ProgressReporter, SilentProgress

TAR_FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class SetResult:
    """What an embedder reaches on a verification set.

    Attributes:
        name, group, source, kind, digest: of the set, see `VerificationSet`.
        pairs, genuine: number of pairs, and of those that show one person.
        images: how many different images the pairs are made of.
        folds: number of folds.
        accuracy, val: over the folds, see there.
        eer, auc: over all pairs, in [0, 1].
        tar_at_far: FAR as text -> TAR over all pairs, None where there are too few impostor pairs to tell.
        intervals: how far the figures could have come out otherwise.
        seconds: wall time of embedding and comparing.
    """

    name: str
    group: str | None
    source: str
    kind: str
    digest: str
    pairs: int
    genuine: int
    images: int
    folds: int
    accuracy: FoldAccuracy
    val: FoldRate
    eer: float
    auc: float
    tar_at_far: dict[str, float | None]
    intervals: Intervals
    seconds: float

    @property
    def title(self) -> str:
        """The name, with the group before it where there is one."""
        return self.name if self.group is None else f"{self.group}/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """A set's result, and the squared distances (P,) and flags (P,) that it comes from."""

    result: SetResult
    distances: NDArray[np.float64]
    same: NDArray[np.bool_]


def measure_sets(
    subject: Subject,
    sets: Sequence[VerificationSet],
    *,
    batch_size: int = 64,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: ProgressReporter | None = None,
) -> list[Measured]:
    """Measure a subject on every set. Every image is decoded, or every embedding read, before the first is measured.

    Args:
        batch_size: images in one forward pass; it changes speed only.
        resamples, seed: of the bootstrap.

    Raises:
        InputError: an image cannot be decoded or is oblong, or stored embeddings do not fit the sets.
        ContractError: the network expects another crop, or gives values that are not finite.
    """
    progress = progress or SilentProgress()
    if isinstance(subject, NetworkSubject):
        check_images([found.images for found in sets], progress)
        stored: list[NDArray[np.float64]] = []
    else:
        stored = [subject.vectors(found.title, 2 * len(found.same), only=len(sets) == 1) for found in sets]
        if len({vectors.shape[1] for vectors in stored}) > 1:
            widths = ", ".join(f"{f.title} {v.shape[1]}" for f, v in zip(sets, stored, strict=True))
            raise InputError(f"{subject.path} holds embeddings of different widths ({widths}); one network gives one.")
    measured = []
    for number, found in enumerate(sets):
        started = time.perf_counter()
        if isinstance(subject, NetworkSubject):
            raw = subject.embed(found.images, name=found.title, batch_size=batch_size, progress=progress)
        else:
            raw = stored[number]
        measured.append(_measure(raw, found, started, resamples=resamples, seed=seed))
    return measured


def accuracy_of(network: FaceEmbedder, found: VerificationSet, *, batch_size: int = 64) -> float:
    """Accuracy over folds of a network in eval mode on one set, in [0, 1]: the figure alone, for use during training.

    Raises:
        InputError, ContractError: see `measure_sets`.
    """
    raw = embed_with_mirror(network, found.images, name=found.title, batch_size=batch_size, progress=SilentProgress())
    return fold_accuracy(pair_distances(raw), found.same, folds=found.folds).mean


def check_images(lists: Sequence[ImageList], progress: ProgressReporter) -> None:
    """Decode every image once, so that a damaged one is told before a network has run. Raises `InputError`."""
    chosen = [unique_positions(images)[0] for images in lists]
    progress.begin("checking the images", total=sum(map(len, chosen)), unit="images")
    for images, positions in zip(lists, chosen, strict=True):
        for index in positions:
            images.pixels(int(index))
            progress.advance(1)


def pair_distances(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared Euclidean distances (P,) of embeddings (2P, D), pair i in rows 2i and 2i + 1, scaled to length 1."""
    vectors = unit_rows(raw)
    return np.square(vectors[0::2] - vectors[1::2]).sum(axis=1)


def unit_rows(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale each row to length 1, in float64; a zero row stays zero."""
    vectors = np.asarray(raw, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1.0, norms)


def _measure(
    raw: NDArray[np.float64], found: VerificationSet, started: float, *, resamples: int, seed: int
) -> Measured:
    distances = pair_distances(raw)
    curve = operating_curve(-distances[found.same], -distances[~found.same])
    result = SetResult(
        name=found.name,
        group=found.group,
        source=found.source,
        kind=found.kind,
        digest=found.digest,
        pairs=len(found.same),
        genuine=int(found.same.sum()),
        images=len(unique_positions(found.images)[0]),
        folds=found.folds,
        accuracy=fold_accuracy(distances, found.same, folds=found.folds),
        val=fold_val(distances, found.same, folds=found.folds),
        eer=equal_error_rate(curve),
        auc=area_under_curve(curve),
        tar_at_far={f"{far:g}": tar_at_far(curve, far) for far in TAR_FARS},
        intervals=bootstrap(distances, found.same, folds=found.folds, fars=TAR_FARS, resamples=resamples, seed=seed),
        seconds=time.perf_counter() - started,
    )
    return Measured(result, distances, found.same)
