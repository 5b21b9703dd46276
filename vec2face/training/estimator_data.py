"""Batches that estimators learn from: labelled faces, and damaged pictures with what is still true of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vec2face.config.estimators import EstimatorRecipe
from vec2face.data.facepack import FacePack
from vec2face.seeding import rng_for
from vec2face.training.batches import BatchStream, read_batch
from vec2face.training.degraded_faces import DegradedFaces
from vec2face.training.examples import Examples
from vec2face.training.portion import Portion
from vec2face.training.rare_values import showings


@dataclass(frozen=True)
class LabelledFaces:
    """A pack and what is known of its faces.

    Attributes:
        faces: the pack.
        values: float32 `(N, L)` by row of the pack, a column for each of the recipe's `attributes`; NaN where unknown.
        negated: bool `(L,)`, whether the attribute has the other sign in a mirror image.
    """

    faces: FacePack
    values: np.ndarray
    negated: np.ndarray

    def of(self, rows: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """Return the `(B, L)` labels of rows, as they are in the mirror image where `mirrored`."""
        labels = self.values[rows]
        return np.where(mirrored[:, None] & self.negated, -labels, labels)

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Return those of the rows that have a label."""
        return rows[np.isfinite(self.values[rows]).any(axis=1)]


class EstimatorStream:
    """Random access to the batches of a training of estimators.

    The first samples of a batch are labelled faces, the last ones damaged pictures. A target is `(A,)`: the labels,
    then the quality where the recipe asks for it; NaN where it is unknown.

    Args:
        labelled: the faces.
        rows: rows to train on.
        damaged: labelled damaged pictures of such rows, or None.
        recipe: shares of a batch, and the seed.
    """

    def __init__(
        self, labelled: LabelledFaces, rows: np.ndarray, damaged: DegradedFaces | None, recipe: EstimatorRecipe
    ) -> None:
        self._labelled, self._damaged, self._recipe = labelled, damaged, recipe
        total = recipe.schedule.batch_size
        share = recipe.degraded.share if recipe.degraded else 0.0
        self._plain = total if damaged is None else total - round(share * total) if recipe.attributes else 0
        known = labelled.known(rows)
        balanced = [place for place, one in enumerate(recipe.attributes) if one.balanced]
        known = np.repeat(known, showings(labelled.values[known][:, balanced]))
        self._stream = BatchStream(labelled.faces, known, batch_size=max(self._plain, 1), seed=recipe.run.seed)

    def read(self, portion: Portion) -> Examples:
        """Read a portion of a step."""
        plain, damaged = portion.split(self._plain)
        parts = []
        if len(plain):
            batch = self._stream.read(plain)
            labels = self._labelled.of(batch.rows, batch.mirrored)
            parts.append(Examples(batch.images, self._targets(labels, np.full(len(labels), np.nan))))
        if self._damaged is not None and len(damaged):
            key = rng_for(self._recipe.run.seed, "degraded-choice", portion.step)
            chosen = key.choice(self._damaged.count, damaged.total, replace=False)
            parts.append(self.damaged(self._damaged, damaged.of(chosen)))
        return Examples.join(parts)

    def damaged(self, pictures: DegradedFaces, numbers: np.ndarray) -> Examples:
        """Return damaged pictures; where little of a face is left, its quality alone is known."""
        images, rows, mirrored = pictures.pictures(numbers)
        quality = pictures.quality[numbers]
        labels = self._labelled.of(rows, mirrored)
        if self._recipe.degraded is not None:
            labels[quality < self._recipe.degraded.known_above] = np.nan
        return Examples(images, self._targets(labels, quality))

    def plain(self, rows: np.ndarray, mirrored: np.ndarray) -> Examples:
        """Return labelled faces as they are, or their mirror images where `mirrored`."""
        images = read_batch(self._labelled.faces, rows, mirrored).images
        return Examples(images, self._targets(self._labelled.of(rows, mirrored), np.full(len(rows), np.nan)))

    def _targets(self, labels: np.ndarray, quality: np.ndarray) -> Tensor:
        columns = [labels, quality[:, None]] if self._damaged is not None else [labels]
        return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))
