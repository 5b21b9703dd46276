"""Directions along which attributes change, for a generator: mean slopes over random people, masks and codes.

For normally distributed inputs the slope of a linear regression equals the mean gradient (Stein's lemma). The mean
gradient is taken here: one pass gives the slope in every dimension, where a regression needs several pictures for each.

File: safetensors with a float32 tensor for each attribute, `(D + A,)`: change of its value for one sigma unit in each
dimension of the vector, then for one standard deviation in each dimension of the code. The metadata entry `directions`
is JSON: format, the generator's SHA-256, D, A, how many pictures, and `explained`, by attribute the squared correlation
of the linear prediction with the measured values.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import nn

from vec2face.config.steering import SteeringOptions
from vec2face.errors import ContractError, InputError
from vec2face.fileio.atomic import canonical_json, write_bytes
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.steering.estimators import AttributeEstimator, measure
from vec2face.steering.optimise import exact_convolutions, free_numbers, moved_inputs
from vec2face.steering.samples import SteeringInputs
from vec2face.steering.warm_start import WarmStart

FORMAT = "vec2face-directions/1"
_METADATA = "directions"


@dataclass(frozen=True, eq=False)
class Directions:
    """Slopes of attributes for one generator.

    Attributes:
        slopes: {attribute: float32 `(D + A,)`}.
        generator: SHA-256 of the generator's weights.
        feature_dim, code_dim: D and A.
        pictures: how many they were estimated from.
        explained: {attribute: squared correlation, 0 to 1}.
    """

    slopes: Mapping[str, np.ndarray]
    generator: str
    feature_dim: int
    code_dim: int
    pictures: int
    explained: Mapping[str, float]

    def save(self, path: Path) -> None:
        """Write the file atomically. Raises `StorageError`."""
        facts = {name: value for name, value in vars(self).items() if name != "slopes"}
        metadata = {_METADATA: canonical_json({"format": FORMAT, **facts}).decode()}
        write_bytes(path, safetensors.numpy.save(dict(self.slopes), metadata=metadata))

    @classmethod
    def load(cls, path: Path) -> "Directions":
        """Read a file. Raises `InputError` if it is missing, damaged, or of another kind."""
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                document: dict[str, Any] = json.loads((file.metadata() or {})[_METADATA])
                slopes = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            if document.pop("format") != FORMAT:
                raise InputError(f"{path} holds directions of another version; this one reads {FORMAT}.")
            found = cls(slopes=slopes, **document)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} holds no readable directions ({error}); make them with 'attributes directions'."
            ) from None
        if any(row.shape != (found.feature_dim + found.code_dim,) for row in slopes.values()):
            raise InputError(
                f"{path}: the slopes do not have the {found.feature_dim} + {found.code_dim} numbers stated."
            )
        return found

    def warm_start(self, names: Sequence[str], *, generator: str, options: SteeringOptions) -> WarmStart | None:
        """Return the warm start for some attributes; None where none of them has a direction.

        Args:
            names: what is steered.
            generator: SHA-256 of the generator that is steered.
            options: say which numbers may move.

        Raises:
            ContractError: the directions are those of another generator.
        """
        if generator != self.generator:
            raise ContractError("the directions were made for another generator; make them for this one.")
        kept = np.concatenate(
            [np.full(self.feature_dim, options.steer_vector), np.full(self.code_dim, options.steer_code)]
        )
        slopes = {name: self.slopes[name][kept] for name in names if name in self.slopes}
        return WarmStart(slopes) if slopes else None


def estimate_directions(
    generator: Vec2FaceGenerator,
    estimators: Sequence[AttributeEstimator],
    inputs: SteeringInputs,
    *,
    digest: str,
    batch_size: int,
    device: str = "cpu",
    on_pictures: Callable[[int], None] | None = None,
) -> Directions:
    """Estimate slopes from what samples would be unsteered.

    Args:
        generator: moved to the device, set to eval mode and frozen, as are the estimators' networks.
        estimators: measure the attributes.
        inputs: N samples of many people, 2 or more.
        digest: SHA-256 of the generator's weights.
        batch_size: pictures in one pass.
        device: "cpu" or "cuda".
        on_pictures: called with the number of pictures of each pass.

    Raises:
        InputError: fewer than two samples, an attribute whose values or slopes are not finite, or an estimator that
            raises.
    """
    if len(inputs) < 2:
        raise InputError("directions need two pictures or more; ask for some hundreds.")
    networks: list[nn.Module] = [generator, *(network for one in estimators for network in one.networks)]
    for network in networks:
        network.eval().requires_grad_(False).to(device)
    free = free_numbers(generator, SteeringOptions(steer_vector=True, steer_code=True))
    sums = {one.facts.name: np.zeros(free.width) for one in estimators}
    values: dict[str, list[np.ndarray]] = {name: [] for name in sums}
    rows = np.stack([free.start(code) for code in inputs.codes])
    for start in range(0, len(inputs), batch_size):
        part = slice(start, start + batch_size)
        moved = torch.tensor(rows[part], device=device, requires_grad=True)
        vectors, noise, rate = (
            torch.tensor(table[part], device=device) for table in (inputs.vectors, inputs.mask_noise, inputs.mask_rate)
        )
        with torch.enable_grad(), exact_convolutions():
            features, codes = moved_inputs(free, vectors, moved[:, free.feature_dim :], moved)
            appearance = codes if codes.shape[1] else None
            image = generator(features, mask_noise=noise, mask_rate=rate, appearance=appearance).image.clamp(-1, 1)
            for one in estimators:
                measured = measure(one, image)
                (gradient,) = torch.autograd.grad(measured.sum(), moved, retain_graph=True)
                sums[one.facts.name] += gradient.double().sum(dim=0).cpu().numpy()
                values[one.facts.name].append(measured.detach().cpu().numpy())
        if on_pictures is not None:
            on_pictures(len(rows[part]))
    slopes = {name: (total / len(inputs)).astype(np.float32) for name, total in sums.items()}
    measured_by = {name: np.concatenate(parts) for name, parts in values.items()}
    for name, slope in slopes.items():
        if not (np.isfinite(slope).all() and np.isfinite(measured_by[name]).all()):
            raise InputError(
                f"the estimator of {name} gave values or slopes that are not finite; mend it, or steer "
                "without directions (0 direction pictures)."
            )
    # Along the inputs themselves: vectors in sigma units, then codes.
    position = np.concatenate([inputs.vectors / free.sigma_unit, rows[:, free.feature_dim :]], axis=1)
    explained = {name: _explained(position @ slope, measured_by[name]) for name, slope in slopes.items()}
    return Directions(slopes, digest, free.feature_dim, free.code_dim, len(inputs), explained)


def _explained(predicted: np.ndarray, measured: np.ndarray) -> float:
    if not (np.ptp(predicted) and np.ptp(measured)):
        return 0.0
    return float(np.corrcoef(predicted, measured)[0, 1] ** 2)
