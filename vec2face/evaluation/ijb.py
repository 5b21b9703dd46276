"""The 1:1 protocol of IJB-B and IJB-C: sets of images of a person, called templates, are compared with each other.

The arithmetic is that of insightface's scripts. An image's embedding is the sum of its own and its mirror image's (F2).
Its length is kept (N1) or not (N0), and it is weighed by the detector's score (D1) or not (D0). Embeddings of one
medium are averaged, those of a template's media summed, and the sum is scaled to length 1; cosines compare the pairs.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError
from vec2face.evaluation.ijb_files import TemplateProtocol
from vec2face.evaluation.rates import OperatingCurve, area_under_curve, equal_error_rate, operating_curve
from vec2face.evaluation.verification import unit_rows
from vec2face.progress import ProgressReporter, SilentProgress

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_BLOCK = 100_000

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """How images are weighed in their template.

    Attributes:
        keep_length: whether the embedding's length weighs it (N1).
        detector_score: whether the detector's score weighs it (D1).
    """

    keep_length: bool
    detector_score: bool

    @property
    def name(self) -> str:
        """N1D1 and so on, as papers call it."""
        return f"N{int(self.keep_length)}D{int(self.detector_score)}"


@dataclass(frozen=True)
class TemplateResult:
    """What an embedder reaches in one setting.

    Attributes:
        setting: such as "N1D1".
        tar_at_far: FAR as text -> TAR at the point of the ROC whose FAR is nearest, None where there are fewer impostor
            pairs than 1 / FAR.
        eer, auc: over all pairs.
    """

    setting: str
    tar_at_far: dict[str, float | None]
    eer: float
    auc: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_templates(
    vectors: Vectors,
    protocol: TemplateProtocol,
    *,
    score: NDArray[np.floating] | None,
    settings: tuple[Setting, ...],
    progress: ProgressReporter | None = None,
) -> tuple[list[TemplateResult], dict[str, OperatingCurve]]:
    """Compare every pair of templates, in each setting; return the results, and each setting's curve.

    Args:
        vectors: (N, D) sum of each face's and its mirror image's embedding.
        score: (N,) the detector's score of each face; needed by settings that weigh by it.

    Raises:
        InputError: `vectors` or `score` are not one for each face, a template's embeddings sum to zero, or the
            detector's score is asked for and is not there.
    """
    if len(vectors) != len(protocol.images):
        raise InputError(
            f"there are {len(vectors):,} embeddings for {len(protocol.images):,} faces; give one for each, in order."
        )
    progress = progress or SilentProgress()
    progress.begin("comparing templates", total=len(settings) * len(protocol.same), unit="pairs")
    results, curves = [], {}
    for setting in settings:
        weighed = weigh(vectors, setting, score)
        templates, numbers = template_vectors(weighed, protocol.template, protocol.medium)
        scores = _compare(templates, numbers, protocol, progress)
        curve = operating_curve(scores[protocol.same], scores[~protocol.same])
        results.append(
            TemplateResult(
                setting.name,
                {f"{far:g}": tar_nearest(curve, far) for far in FARS},
                equal_error_rate(curve),
                area_under_curve(curve),
            )
        )
        curves[setting.name] = curve
    return results, curves


def weigh(vectors: Vectors, setting: Setting, score: NDArray[np.floating] | None) -> Vectors:
    """Weigh the faces' embeddings (N, D) as a setting says. Raises `InputError` if the scores are missing."""
    if not setting.keep_length:
        vectors = unit_rows(vectors)
    if setting.detector_score:
        if score is None:
            raise InputError(
                f"the setting {setting.name} weighs faces by the detector's score, which is not known; "
                "give the list of landmarks and scores, or choose a setting with D0."
            )
        vectors = vectors * np.asarray(score, np.float64)[:, None]
    return vectors


def template_vectors(
    vectors: Vectors, template: NDArray[np.integer], medium: NDArray[np.integer]
) -> tuple[Vectors, NDArray[np.int64]]:
    """Join faces to templates: the mean of each medium, the sum over a template's media, scaled to length 1.

    Args:
        vectors: (N, D) weighed embeddings.
        template, medium: (N,) numbers; a medium counts within its template.

    Returns:
        (T, D) vectors of length 1, and the T template numbers, rising.

    Raises:
        InputError: a template's embeddings sum to zero.
    """
    order = np.lexsort((medium, template))
    sorted_template, sorted_medium = np.asarray(template)[order], np.asarray(medium)[order]
    new = np.ones(len(order), bool)
    new[1:] = (sorted_template[1:] != sorted_template[:-1]) | (sorted_medium[1:] != sorted_medium[:-1])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(order)))
    media = np.add.reduceat(vectors[order], starts, axis=0) / sizes[:, None]
    numbers, first = np.unique(sorted_template[starts], return_index=True)
    sums = np.add.reduceat(media, first, axis=0)
    empty = ~sums.any(axis=1)
    if empty.any():
        raise InputError(f"the embeddings of template {int(numbers[np.argmax(empty)])} sum to zero.")
    return unit_rows(sums), numbers.astype(np.int64)


def tar_nearest(curve: OperatingCurve, far: float) -> float | None:
    """TAR at the point of the ROC whose FAR is nearest, the highest one of them; None with under 1 / `far` impostors.

    This is how insightface reads its tables: without interpolation, and the nearest point may lie above the target.
    Points between two corners of the ROC do not count, as scikit-learn's `roc_curve` leaves them out.
    """
    if curve.impostor * far < 1.0 - 1e-9:
        return None
    tar = 1.0 - curve.fnmr
    corner = np.ones(len(tar), bool)
    # Inside a straight run both rates' second differences vanish; the curve's origin takes no part in that, as there.
    corner[2:-1] = (_second(curve.fmr[1:], curve.impostor) != 0) | (_second(curve.fnmr[1:], curve.genuine) != 0)
    fmr, tar = curve.fmr[corner], tar[corner]
    gaps = np.abs(fmr - far)
    return float(tar[np.flatnonzero(gaps == gaps.min())[-1]])


def _second(rates: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Second differences of a rate as whole numbers of pairs, free of rounding."""
    accepted = np.rint(rates * count).astype(np.int64)
    return accepted[2:] - 2 * accepted[1:-1] + accepted[:-2]


def _compare(
    templates: Vectors, numbers: NDArray[np.int64], protocol: TemplateProtocol, progress: ProgressReporter
) -> NDArray[np.float64]:
    first, second = np.searchsorted(numbers, protocol.first), np.searchsorted(numbers, protocol.second)
    scores = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.einsum("pd,pd->p", templates[first[block]], templates[second[block]])
        progress.advance(len(scores[block]))
    return scores
