"""Losses of single samples, in units that can be added.

Every term is 0 where it is satisfied and grows by 1 for each tolerance that the measured value lies off. So terms in
degrees, years and grey levels can be added, and one that is met does not pull. The slope is constant: a far target
cannot drown the others, as a squared distance would. Nothing is averaged over the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from vec2face.steering.estimators import AttributeEstimator, measure

# A cosine this much below the floor counts as one tolerance, and this much above it is aimed at.
IDENTITY_TOLERANCE = 0.05
IDENTITY_MARGIN = 0.01


@dataclass(frozen=True)
class Term:
    """One term of each sample's loss.

    Attributes:
        loss: `(B,)`, in tolerances, 0 or more.
        measured: `(B,)` in the attribute's unit (identity: a cosine).
        met: `(B,)` bool, whether the measured value is accepted.
    """

    loss: Tensor
    measured: Tensor
    met: Tensor


def interval_term(values: Tensor, *, low: Tensor, high: Tensor, margin: Tensor, tolerance: float) -> Term:
    """How far `(B,)` values lie outside intervals made narrower by a margin, in tolerances.

    The loss is max(0, low + margin - x, x + margin - high) / tolerance.

    Args:
        values: `(B,)` in the attribute's unit.
        low, high: `(B,)` ends of the accepted intervals; infinite where there is none.
        margin: `(B,)` how far inside is aimed, at most half the interval.
        tolerance: the deviation that counts as 1.
    """
    outside = functional.relu(low + margin - values) + functional.relu(values + margin - high)
    return Term(outside / tolerance, values, (values >= low) & (values <= high))


def identity_term(embeddings: Tensor, references: Tensor, *, floor: float) -> Term:
    """How far the cosine of `(B, D)` embeddings to their `(B, D)` references lies below the floor.

    The loss is max(0, floor + 0.01 - cosine) / 0.05, a hinge: nothing is gained by more likeness than that.
    """
    cosine = functional.cosine_similarity(embeddings, references, dim=1)
    aimed = min(floor + IDENTITY_MARGIN, 1.0)
    return Term(functional.relu(aimed - cosine) / IDENTITY_TOLERANCE, cosine, cosine >= floor)


class AttributeObjective:
    """An estimator and the losses of its values.

    Args:
        estimator: measures the attribute.
    """

    def __init__(self, estimator: AttributeEstimator) -> None:
        self.estimator = estimator
        self.facts = estimator.facts

    def __call__(self, images: Tensor, *, low: Tensor, high: Tensor, margin: Tensor) -> Term:
        """Return the term of `(B, 3, 112, 112)` images; see `interval_term`."""
        values = measure(self.estimator, images)
        return interval_term(values, low=low, high=high, margin=margin, tolerance=self.facts.tolerance)


class IdentityObjective:
    """An embedder and how like its reference a picture stays.

    Args:
        embed: maps images to `(B, D)` raw embeddings.
        floor: cosine that is kept.
    """

    def __init__(self, embed: Callable[[Tensor], Tensor], *, floor: float) -> None:
        self._embed, self._floor = embed, floor

    def __call__(self, images: Tensor, references: Tensor) -> Term:
        """Return the term of images beside `(B, D)` reference vectors; see `identity_term`."""
        return identity_term(self._embed(images), references, floor=self._floor)
