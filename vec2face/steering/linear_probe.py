"""A linear probe: an attribute read off an embedder's features by one weight each.

Folder:
```
PROBE/
  probe.json           format, name, unit, kind, features, range, tolerance, error, embedder, and what it was fitted on
  probe.safetensors    `weight` float32 (F,) and `bias` float32 (1,)
```
A regression's value is weight . features + bias; a logistic one's is the logistic function of that.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from vec2face.checkpoints import digest, load_embedder
from vec2face.errors import ConfigError, ContractError, InputError
from vec2face.fileio.atomic import write_bytes, write_json
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.targets import AttributeFacts

Kind = Literal["regression", "logistic"]
Features = Literal["embedding", "maps"]

FORMAT = "vec2face-probe/1"
_QUARTERS = 2


@dataclass(frozen=True, eq=False)
class ProbeWeights:
    """A fitted probe, before it is joined to its network.

    Attributes:
        weight: float32 `(F,)`.
        bias: of the linear part.
        kind: "regression" or "logistic".
        features: "embedding": the raw embedding. "maps": every stage's feature map, averaged over each quarter.
        facts: name, unit, range, tolerance and held-out error.
        embedder: its reference.
        embedder_sha256: SHA-256 of its weights.
        fitted_on: what the probe was fitted on, JSON values.
    """

    weight: np.ndarray
    bias: float
    kind: Kind
    features: Features
    facts: AttributeFacts
    embedder: str
    embedder_sha256: str
    fitted_on: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the folder. Raises `StorageError`."""
        arrays = {"weight": self.weight.astype(np.float32), "bias": np.array([self.bias], np.float32)}
        write_bytes(folder / "probe.safetensors", safetensors.numpy.save(arrays))
        document = {
            "format": FORMAT,
            "kind": self.kind,
            "features": self.features,
            "facts": asdict(self.facts),
            "embedder": self.embedder,
            "embedder_sha256": self.embedder_sha256,
            "fitted_on": self.fitted_on,
        }
        write_json(folder / "probe.json", document)

    @classmethod
    def load(cls, folder: Path) -> "ProbeWeights":
        """Read a folder. Raises `InputError` if it holds no probe, or a damaged one."""
        try:
            document = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
            arrays = safetensors.numpy.load_file(folder / "probe.safetensors")
            if document.pop("format") != FORMAT:
                raise InputError(f"{folder} holds a probe of another version; this one reads {FORMAT}.")
            facts = AttributeFacts(**document.pop("facts"))
            found = cls(weight=arrays["weight"], bias=float(arrays["bias"][0]), facts=facts, **document)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise InputError(f"{folder} holds no readable probe ({error}); make one with 'attributes fit'.") from None
        if found.kind not in ("regression", "logistic") or found.features not in ("embedding", "maps"):
            raise InputError(f"{folder}: a probe of kind {found.kind!r} on {found.features!r} is not known here.")
        return found


class LinearProbe(AttributeEstimator):
    """The estimator of a probe.

    Args:
        probe: its weights.
        embedder: the network they were fitted on.

    Raises:
        ContractError: the embedder passes no gradient or has no feature maps, or its features are of another width.
    """

    def __init__(self, probe: ProbeWeights, embedder: FaceEmbedder) -> None:
        if not isinstance(embedder, nn.Module):
            raise ContractError(
                f"the embedder {embedder.name} passes no gradient, which steering needs; import it first."
            )
        self.facts, self.networks, self._kind = probe.facts, (embedder,), probe.kind
        missed, mistaken = probe.fitted_on.get("missed"), probe.fitted_on.get("mistaken")
        if missed is not None and mistaken is not None:
            self.misjudged = (missed, mistaken)
        self._features = features_of(embedder, probe.features)
        self._weight, self._bias = torch.tensor(probe.weight), probe.bias

    @classmethod
    def load(cls, folder: Path) -> "LinearProbe":
        """Load a probe and its embedder.

        Raises:
            InputError: the folder holds no probe.
            WeightsError: its embedder cannot be loaded.
            ContractError: the embedder has changed since the probe was fitted.
        """
        probe = ProbeWeights.load(folder)
        if digest(probe.embedder, kind="embedder") != probe.embedder_sha256:
            raise ContractError(
                f"the embedder {probe.embedder} is not the one that {folder} was fitted on; fit it again."
            )
        return cls(probe, load_embedder(probe.embedder))

    def estimate(self, images: Tensor) -> Tensor:
        features = self._features(images)
        if features.shape[1:] != self._weight.shape:
            raise ContractError(
                f"the probe of {self.facts.name} has {len(self._weight)} weights for {features.shape[1]} features."
            )
        # A sum of products, not a matrix product: it rounds alike wherever a row stands in the batch.
        value = (features * self._weight.to(features.device)).sum(dim=1) + self._bias
        return torch.sigmoid(value) if self._kind == "logistic" else value


def features_of(embedder: FaceEmbedder, features: Features) -> Callable[[Tensor], Tensor]:
    """Return what maps `(B, 3, 112, 112)` images to the `(B, F)` features of a probe.

    Raises:
        ContractError: feature maps are asked of an embedder that shows none.
    """
    if features == "embedding":
        return embedder.embed
    if not isinstance(embedder, CompactEmbedder):
        raise ContractError(f"the embedder {embedder.name} shows no feature maps; use its embedding.")

    def quarters(images: Tensor) -> Tensor:
        _, maps = embedder.embed_with_features(images)
        pooled = [functional.adaptive_avg_pool2d(one, _QUARTERS).flatten(1) for one in maps]
        return torch.cat(pooled, dim=1)

    return quarters
