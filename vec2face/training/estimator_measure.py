"""What an estimator's `config.json` says of its attributes: from labels before training, held-out faces after it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vec2face.config.estimators import EstimatedAttribute, EstimatorRecipe, Mirrored
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.seeding import rng_for
from vec2face.training.augment import AugmentStrength, augment
from vec2face.training.degraded_faces import DegradedFaces
from vec2face.training.estimator_data import EstimatorStream
from vec2face.training.estimator_errors import RANGE, held_out_errors
from vec2face.training.examples import Examples

_BATCH = 64
_STILL = AugmentStrength(shift_pixels=0, zoom=0, rotate_degrees=0, color=0, soften_probability=0)
PERCENT = "percent of the identity"


def describe_labels(name: str, unit: str, labels: np.ndarray, *, mirrored: Mirrored) -> EstimatedAttribute:
    """Describe an attribute by its training labels `(N,)`, two or more that differ, and by what it is in a mirror."""
    low, high = (float(end) for end in np.percentile(labels, RANGE))
    spread = float(labels.std())
    return EstimatedAttribute(
        name=name,
        unit=unit,
        centre=float(np.median(labels)),
        spread=spread,
        low=low,
        high=high,
        tolerance=spread,
        mirrored=mirrored,
    )


def describe_errors(
    known: EstimatedAttribute, errors: dict[str, Any] | None, tolerance: float | None
) -> EstimatedAttribute:
    """Describe an attribute by its held-out errors; one of which no held-out face has a label keeps what it was."""
    if errors is None:
        return known.model_copy(update={"tolerance": tolerance or known.tolerance})
    # An estimator without error, of made-up labels, still needs a tolerance.
    smallest = (errors["high"] - errors["low"]) / 1000
    return known.model_copy(
        update={
            "low": errors["low"],
            "high": errors["high"],
            "error": errors["error"],
            "tolerance": tolerance or max(errors["error"], smallest),
        }
    )


class HeldOutFaces:
    """The faces that an estimator is measured on.

    Each face is shown as it is and as its mirror image. Attributes that a rotation changes are measured on pictures
    turned by known angles; what is learnt from damaged pictures is measured on damaged ones.

    Args:
        stream: gives the faces.
        rows: labelled rows that are held out.
        damaged: labelled damaged pictures of held-out faces, or None.
        recipe: names the attributes.
    """

    def __init__(
        self, stream: EstimatorStream, rows: np.ndarray, damaged: DegradedFaces | None, recipe: EstimatorRecipe
    ) -> None:
        self._stream, self._damaged, self._recipe = stream, damaged, recipe
        self._rows, self._mirrored = np.repeat(rows, 2), np.tile([False, True], len(rows))
        angles = rng_for(recipe.run.seed, "held-out-turn").uniform(-1, 1, 2 * len(rows)) * recipe.turn_degrees
        self._angles = torch.from_numpy(angles.astype(np.float32))

    def errors(self, network: AttributeNetwork, *, guesses: dict[str, float]) -> dict[str, dict[str, Any]]:
        """Return `held_out_errors` of each attribute that has two held-out labels or more that differ.

        Args:
            network: in eval mode.
            guesses: by attribute, what a guess says that looks at no face.
        """
        still, added = self._recipe.attributes, [one for one in self._recipe.attributes if one.turned == "added"]
        found: dict[str, dict[str, Any]] = {}
        for chosen, angles in (
            ([one for one in still if one.turned == "same"], None),
            (added, self._angles),
        ):
            if not chosen:
                continue
            values, labels = _predict(network, self._plain(angles))
            for one in chosen:
                column = self._recipe.attributes.index(one)
                turned = 0.0 if angles is None else angles.numpy()
                _compare(found, one.name, values[:, column], labels[:, column] + turned, guesses, one.range)
        if self._damaged is not None and self._recipe.degraded is not None:
            values, labels = _predict(network, self._pictures(self._damaged))
            _compare(found, self._recipe.degraded.name, values[:, -1], labels[:, -1], guesses)
        return found

    def _plain(self, angles: Tensor | None) -> Iterator[Examples]:
        for start in range(0, len(self._rows), _BATCH):
            part = slice(start, start + _BATCH)
            batch = self._stream.plain(self._rows[part], self._mirrored[part])
            if angles is not None:
                turned = angles[part]
                batch = Examples(augment(batch.images, _STILL, torch.Generator(), turned=turned), batch.targets)
            yield batch

    def _pictures(self, damaged: DegradedFaces) -> Iterator[Examples]:
        for start in range(0, damaged.count, _BATCH):
            yield self._stream.damaged(damaged, np.arange(start, min(start + _BATCH, damaged.count)))


@torch.no_grad()
def _predict(network: AttributeNetwork, batches: Iterator[Examples]) -> tuple[np.ndarray, np.ndarray]:
    device = next(network.parameters()).device
    values, labels = [], []
    for batch in batches:
        values.append(network.estimate(batch.images.to(device)).cpu().numpy())
        labels.append(batch.targets.numpy())
    if not values:
        return np.empty((0, len(network.attributes)), np.float32), np.empty((0, len(network.attributes)), np.float32)
    return np.concatenate(values), np.concatenate(labels)


def _compare(
    found: dict[str, dict[str, Any]],
    name: str,
    values: np.ndarray,
    labels: np.ndarray,
    guesses: dict[str, float],
    stated: tuple[float, float] | None = None,
) -> None:
    known = np.isfinite(labels)
    if len(np.unique(labels[known])) > 1:
        found[name] = held_out_errors(values[known], labels[known], guess=guesses[name], stated=stated)
