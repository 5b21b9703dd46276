"""Measure an embedder on a verification set: pairs of faces, same person or not.

The protocol is insightface's: the embeddings of an image and its mirror image are summed and scaled to length 1, pairs
are compared by squared Euclidean distance, and accuracy is the mean over ten folds in file order, each with the
threshold that was best on the other nine.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vec2face.contracts import IMAGE_SIZE
from vec2face.errors import InputError
from vec2face.evaluation.embeddings import embed_pixels
from vec2face.evaluation.people import unit
from vec2face.evaluation.pickled import read_pickled_pairs
from vec2face.evaluation.rates import area_under_curve, equal_error_rate, operating_curve, tar_at_far
from vec2face.fileio.images import decode_image
from vec2face.progress import ProgressReporter, SilentProgress

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

FOLDS = 10
ACCURACY_THRESHOLDS = np.arange(0, 4, 0.01)
VAL_THRESHOLDS = np.arange(0, 4, 0.001)
VAL_FAR = 1e-3
TAR_FARS = (1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class VerificationPairs:
    """A verification set.

    Attributes:
        images: 2P encoded images; pair i is images 2i and 2i + 1.
        same: (P,) bool, whether pair i shows one person.
        name: the file's name without its ending.
    """

    images: list[bytes]
    same: NDArray[np.bool_]
    name: str


@dataclass(frozen=True)
class FoldAccuracy:
    """Ten-fold accuracy.

    Attributes:
        mean, std: of the folds' accuracies, in [0, 1]; std is the population's.
        folds: accuracy of each fold.
        thresholds: squared distance below which a fold's pairs were called one person.
    """

    mean: float
    std: float
    folds: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class FoldRate:
    """Validation rate: TAR at a target FAR, mean and population standard deviation of ten folds, and the FAR met."""

    mean: float
    std: float
    far: float
    target_far: float


@dataclass(frozen=True)
class VerificationResult:
    """What an embedder reaches on a verification set.

    Attributes:
        pairs, genuine: number of pairs, and of those that show one person.
        accuracy, val: ten-fold, see there.
        eer, auc: over all pairs, in [0, 1].
        tar_at_far: FAR as text -> TAR over all pairs, None where there are too few impostor pairs to tell.
    """

    embedder: str
    name: str
    pairs: int
    genuine: int
    accuracy: FoldAccuracy
    val: FoldRate
    eer: float
    auc: float
    tar_at_far: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_verification_set(path: Path) -> VerificationPairs:
    """Read an insightface `.bin` (see `read_pickled_pairs`).

    Raises:
        InputError: the file is unusable, its lists do not fit each other, or it has under 10 pairs or one kind.
    """
    images, same = read_pickled_pairs(path)
    if len(images) != 2 * len(same):
        raise InputError(
            f"{path} holds {len(images)} images for {len(same)} same-person flags, but each pair has two images; "
            "fetch it again."
        )
    if len(same) < FOLDS:
        raise InputError(f"{path} holds {len(same)} pairs; {FOLDS}-fold accuracy needs at least {FOLDS}.")
    if len(set(same)) < 2:
        raise InputError(f"{path} holds pairs of one kind only; a verification set needs same and different people.")
    return VerificationPairs(images, np.array(same, dtype=bool), path.stem)


def evaluate_verification(
    embedder: "FaceEmbedder",
    pairs: VerificationPairs,
    *,
    batch_size: int = 64,
    progress: ProgressReporter | None = None,
) -> VerificationResult:
    """Embed every image with its mirror image and compare the pairs.

    Raises:
        InputError: an image cannot be decoded or is not square.
        ContractError: the embedder expects another crop than the set holds.
    """
    progress = progress or SilentProgress()
    progress.begin("embedding", total=len(pairs.images), unit="images")
    parts = []
    for start in range(0, len(pairs.images), batch_size):
        block = pairs.images[start : start + batch_size]
        pixels = np.stack([_decode(data, f"{pairs.name}: image {start + n}") for n, data in enumerate(block)])
        mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
        parts.append(embed_pixels(embedder, pixels) + embed_pixels(embedder, mirrored))
        progress.advance(len(block))
    vectors = unit(np.concatenate(parts))
    distances = squared_distances(vectors[0::2], vectors[1::2])
    curve = operating_curve(-distances[pairs.same], -distances[~pairs.same])
    return VerificationResult(
        embedder=embedder.name,
        name=pairs.name,
        pairs=len(pairs.same),
        genuine=int(pairs.same.sum()),
        accuracy=ten_fold_accuracy(distances, pairs.same),
        val=ten_fold_val(distances, pairs.same),
        eer=equal_error_rate(curve),
        auc=area_under_curve(curve),
        tar_at_far={f"{far:g}": tar_at_far(curve, far) for far in TAR_FARS},
    )


def squared_distances(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared Euclidean distance of each two rows, (P,)."""
    return np.square(first.astype(np.float64) - second.astype(np.float64)).sum(axis=1)


def ten_fold_accuracy(distances: NDArray[np.floating], same: NDArray[np.bool_]) -> FoldAccuracy:
    """Accuracy of "same person if distance < threshold" over ten consecutive folds of the pairs, in order.

    A fold's threshold is the first of `ACCURACY_THRESHOLDS` (0 to 4 in steps of 0.01) that is best on the other nine.
    """
    accuracies, thresholds = [], []
    correct = np.stack([(distances < threshold) == same for threshold in ACCURACY_THRESHOLDS])
    for train, test in _folds(len(same)):
        best = int(np.argmax(correct[:, train].sum(axis=1)))
        thresholds.append(float(ACCURACY_THRESHOLDS[best]))
        accuracies.append(float(correct[best, test].mean()))
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies)), accuracies, thresholds)


def ten_fold_val(distances: NDArray[np.floating], same: NDArray[np.bool_]) -> FoldRate:
    """TAR at `VAL_FAR`, each fold with the threshold at which the other nine reach that FAR.

    The threshold is linear between the neighbouring points of `VAL_THRESHOLDS` (0 to 4 in steps of 0.001) whose FARs
    enclose the target; among thresholds of equal FAR the largest counts. It is 0 where the target is not reached.
    """
    rates, fars = [], []
    for train, test in _folds(len(same)):
        impostors = np.sort(distances[train][~same[train]])
        far = np.searchsorted(impostors, VAL_THRESHOLDS, side="left") / max(1, len(impostors))
        threshold = float(np.interp(VAL_FAR, far, VAL_THRESHOLDS)) if far[-1] >= VAL_FAR else 0.0
        accepted = distances[test] < threshold
        genuine = same[test]
        # A fold without pairs of one kind says nothing about that kind's rate.
        if genuine.any():
            rates.append(float(accepted[genuine].mean()))
        if not genuine.all():
            fars.append(float(accepted[~genuine].mean()))
    return FoldRate(float(np.mean(rates)), float(np.std(rates)), float(np.mean(fars)), VAL_FAR)


def _folds(count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(train, test) positions; the first `count % 10` folds are one longer, as in scikit-learn's unshuffled KFold."""
    parts = np.array_split(np.arange(count), FOLDS)
    return [(np.concatenate(parts[:n] + parts[n + 1 :]), test) for n, test in enumerate(parts)]


def _decode(data: bytes, where: str) -> NDArray[np.uint8]:
    pixels = decode_image(data, where=where)
    height, width, _ = pixels.shape
    if height != width:
        raise InputError(f"{where} is {width}x{height}; a verification set holds square, aligned faces.")
    if width != IMAGE_SIZE:
        resized = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
        return np.asarray(resized)
    return pixels
