"""What a plan knows of attributes: what is asked of each image, and what decides how it is steered. No torch here.

Targets are stratified inside each identity: of n images, each takes its target from another n-th of the distribution,
at a random place in it, in an order shuffled for each attribute by itself (Latin hypercube sampling). So every identity
has about the same distribution, and attributes are not tied to each other.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vec2face.config.steering import RecipeSteering
from vec2face.fileio.atomic import fingerprint
from vec2face.seeding import rng_for
from vec2face.steering.distributions import AttributeRequest, Wanted

# Raise it whenever equal recipes begin to be steered otherwise.
FORMAT = 1

# Decided by digests instead, or of no influence on a picture once directions are there.
_DIGESTED = {"estimators", "embedder", "directions", "direction_pictures"}


def positions(images: int, *, seed: int, attribute: str, identity: int) -> np.ndarray:
    """Return places in a distribution for the images of one identity: float64 `(images,)` in [0, 1).

    One lies in each of the intervals [i / images, (i + 1) / images); the order is shuffled. All of it is keyed by seed,
    attribute and identity.
    """
    rng = rng_for(seed, f"target:{attribute}", identity)
    strata = rng.permutation(images)
    placed: np.ndarray = (strata + rng.random(images)) / images
    return placed


@dataclass(frozen=True)
class AttributePlan:
    """How a dataset is steered. Made by `generation.steering_inputs.plan_attributes`.

    Attributes:
        requests: what is asked, in the recipe's order.
        settings: the recipe's section, resolved.
        estimators: {attribute: digest of what measures it}.
        embedder: reference of the embedder that watches identity.
        embedder_sha256: digest of its weights.
        slopes: {attribute: float32 `(D + A,)`} directions to jump along; empty for none.
        slopes_asked: digest of how the slopes were asked for, so that a resumed run need not estimate them again.
    """

    requests: tuple[AttributeRequest, ...]
    settings: RecipeSteering
    estimators: Mapping[str, str]
    embedder: str
    embedder_sha256: str
    slopes: Mapping[str, np.ndarray]
    slopes_asked: str

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes, in order."""
        return tuple(request.facts.name for request in self.requests)

    def wanted(self, images: int, *, seed: int, identity: int) -> list[tuple[Wanted, ...]]:
        """Return what is asked of each image of an identity, attribute by attribute."""
        placed = [positions(images, seed=seed, attribute=name, identity=identity) for name in self.names]
        return [
            tuple(request.at(float(column[image])) for request, column in zip(self.requests, placed, strict=True))
            for image in range(images)
        ]

    def determinants(self) -> dict[str, Any]:
        """What of it decides the dataset's bytes, by the names that users know."""
        settings = self.settings.model_dump(mode="json", exclude=_DIGESTED)
        return {
            "steering.format": FORMAT,
            **{f"attributes.{one.facts.name}": str(one.form) for one in self.requests},
            **{
                f"attributes.{one.facts.name} (range and tolerance)": [
                    one.facts.low,
                    one.facts.high,
                    one.facts.tolerance,
                ]
                for one in self.requests
            },
            **{f"estimator of {name} (sha256)": digest for name, digest in self.estimators.items()},
            **{f"steering.{name}": value for name, value in settings.items()},
            "steering.embedder (sha256)": self.embedder_sha256,
            "steering.directions (sha256)": self._slopes_digest(),
        }

    def describe(self) -> dict[str, Any]:
        """Return what `dataset.json` says of it besides: facts of the attributes, and the slopes (float32, base64)."""
        return {
            "attributes": [{**asdict(one.facts), "asked": str(one.form)} for one in self.requests],
            "directions": {name: encode_slope(row) for name, row in self.slopes.items()},
            "directions_asked": self.slopes_asked,
        }

    def _slopes_digest(self) -> str | None:
        return fingerprint({name: encode_slope(row) for name, row in self.slopes.items()}) if self.slopes else None


def encode_slope(row: np.ndarray) -> str:
    """Write a float32 row as text: its little-endian bytes in base64."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def decode_slope(text: str) -> np.ndarray:
    """Read what `encode_slope` wrote."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
