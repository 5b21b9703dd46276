"""The statistics of real features that identities are drawn from: mean, principal directions and their variances.

File format: safetensors with float32 tensors `mean` `(D,)`, `components` `(K, D)` (orthonormal rows, largest variance
first) and `variances` `(K,)`, and one metadata entry `feature_statistics`, JSON `{"format", "feature_space", "count"}`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from vec2face.errors import InputError
from vec2face.fileio.atomic import canonical_json, write_bytes
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import reading

STATISTICS_FORMAT = "vec2face-statistics/1"
EMBEDDED_STATISTICS = Path(__file__).resolve().parent.parent / "weights" / "identities" / "statistics.safetensors"
_METADATA_KEY = "feature_statistics"
_BLOCK = 4096
_ORTHONORMAL_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Gaussian statistics of a feature space.

    Attributes:
        mean: float32 `(D,)`, raw feature units.
        components: float32 `(K, D)`, orthonormal rows, largest variance first.
        variances: float32 `(K,)`, squared raw feature units.
        feature_space: name of the embedder whose vectors were measured.
        count: number of vectors measured.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    feature_space: str
    count: int

    @property
    def width(self) -> int:
        """Number of features, D."""
        return int(self.mean.shape[0])

    def save(self, path: Path) -> None:
        """Write the statistics atomically; equal statistics give equal bytes. Raises `StorageError`."""
        document = {"format": STATISTICS_FORMAT, "feature_space": self.feature_space, "count": self.count}
        tensors = {"mean": self.mean, "components": self.components, "variances": self.variances}
        contiguous = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
        write_bytes(path, safetensors.numpy.save(contiguous, {_METADATA_KEY: canonical_json(document).decode()}))

    @classmethod
    def load(cls, place: Location | str) -> "FeatureStatistics":
        """Read and validate statistics.

        Raises:
            InputError: the file is missing, damaged, of another kind, or its tensors do not fit each other.
            StorageError: a store cannot be read.
        """
        with reading(place) as path:
            return cls._read(path)

    @classmethod
    def _read(cls, path: Path) -> "FeatureStatistics":
        if not path.is_file():
            raise InputError(f"there is no file of feature statistics {path}.")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            document = json.loads(metadata[_METADATA_KEY])
            known = document["format"] == STATISTICS_FORMAT
            feature_space, count = str(document["feature_space"]), int(document["count"])
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot read the feature statistics {path}: {error}.") from None
        except (KeyError, ValueError, TypeError):
            raise InputError(f"{path} does not describe itself as feature statistics; write one with a fit.") from None
        if not known:
            raise InputError(f"{path} is of format {document['format']!r}; this version reads {STATISTICS_FORMAT!r}.")
        _check_tensors(tensors, path)
        return cls(tensors["mean"], tensors["components"], tensors["variances"], feature_space, count)


def fit(features: np.ndarray, *, feature_space: str, components: int | None = None) -> FeatureStatistics:
    """Measure mean and principal directions (PCA of the sample covariance, in float64).

    Args:
        features: `(N, D)` raw embeddings, N >= 2; for identities, the mean vector of each real person.
        feature_space: name of the embedder that gave the vectors.
        components: how many directions to keep; None keeps all that N vectors can span, `min(D, N - 1)`.

    Raises:
        InputError: fewer than two vectors, not finite, or more components than there are.
    """
    if features.ndim != 2 or len(features) < 2:
        raise InputError(f"feature statistics need at least two vectors (N, D), not {features.shape}.")
    if not np.isfinite(features).all():
        raise InputError("feature statistics need finite features; remove the rows with NaN or infinity.")
    count, width = features.shape
    available = min(width, count - 1)
    kept = available if components is None else components
    if not 1 <= kept <= available:
        raise InputError(f"{count} vectors of width {width} give 1 to {available} components, not {kept}.")
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((width, width))
    for start in range(0, count, _BLOCK):
        centred = features[start : start + _BLOCK].astype(np.float64) - mean
        scatter += centred.T @ centred
    variances, directions = np.linalg.eigh(scatter / (count - 1))
    rows = directions.T[::-1][:kept]
    # An eigenvector's sign is arbitrary: make the largest entry positive, so that equal features give equal files.
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    rows = rows * np.sign(largest)
    return FeatureStatistics(
        mean.astype(np.float32),
        np.ascontiguousarray(rows, dtype=np.float32),
        np.maximum(variances[::-1][:kept], 0.0).astype(np.float32),
        feature_space,
        count,
    )


def _check_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    if sorted(tensors) != ["components", "mean", "variances"]:
        raise InputError(f"{path} must hold the tensors mean, components and variances, not {', '.join(tensors)}.")
    mean, components, variances = tensors["mean"], tensors["components"], tensors["variances"]
    shapes = f"mean {mean.shape}, components {components.shape}, variances {variances.shape}"
    if mean.ndim != 1 or components.ndim != 2 or (len(variances), mean.size) != components.shape or variances.ndim != 1:
        raise InputError(f"{path}: the shapes do not fit each other ({shapes}); expected (D,), (K, D) and (K,).")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise InputError(f"{path}: the tensor {name} must be finite float32.")
    if (variances < 0).any() or not variances.any():
        raise InputError(f"{path}: the variances must not be negative, and not all zero.")
    gram = components.astype(np.float64) @ components.astype(np.float64).T
    if np.abs(gram - np.eye(len(gram))).max() > _ORTHONORMAL_TOLERANCE:
        raise InputError(f"{path}: the components are not orthonormal rows; fit the statistics again.")
