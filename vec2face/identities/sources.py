"""Where candidate identity vectors come from.

A random source draws candidate i from a stream keyed by (seed, i // KEY_BLOCK), always computing whole key blocks, so a
candidate is the same whichever block it is asked for in.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from vec2face.errors import InputError
from vec2face.fileio.location import Location
from vec2face.identities.bank import IdentityBank
from vec2face.identities.statistics import EMBEDDED_STATISTICS, FeatureStatistics
from vec2face.seeding import rng_for

KEY_BLOCK = 1024

# Squares of features must stay within float32.
_LARGEST_STD = 1e15


class CandidateSource(Protocol):
    """A sequence of candidate vectors, addressed by index."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of features, D."""

    @property
    @abstractmethod
    def limit(self) -> int | None:
        """How many candidates there are; None where they never run out (each is then drawn independently)."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """JSON values for the bank: at least `source`, and `feature_space` where it is known."""

    @abstractmethod
    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        """Return the candidates `start` to `start + count - 1` as float32 `(count, D)`, raw feature units."""


class PcaSource:
    """Gaussian candidates with the mean and covariance of real features.

    candidate = mean + (z * sqrt(variances)) @ components, z standard normal. This is how the paper's identity vectors
    were made (arXiv 2409.02979, section 3). The vectors keep the norms that this Gaussian gives them.
    """

    limit: int | None = None

    def __init__(self, statistics_path: Location = EMBEDDED_STATISTICS) -> None:
        """Read the statistics. Raises `InputError` if they are missing or unusable; see `FeatureStatistics.load`."""
        self.statistics = FeatureStatistics.load(statistics_path)
        scale = np.sqrt(self.statistics.variances.astype(np.float64))
        self._directions = self.statistics.components.astype(np.float64) * scale[:, None]
        self._mean = self.statistics.mean.astype(np.float64)

    @property
    def width(self) -> int:
        return self.statistics.width

    @property
    def provenance(self) -> dict[str, Any]:
        facts = self.statistics
        return {
            "source": "pca",
            "feature_space": facts.feature_space,
            "components": len(facts.variances),
            "statistics_count": facts.count,
        }

    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        return _keyed_rows(seed, start, count, self.width, self._key_block)

    def _key_block(self, rng: np.random.Generator) -> np.ndarray:
        # In float64, so that the rounded result does not depend on how this machine orders a matrix product.
        z = rng.standard_normal((KEY_BLOCK, len(self._directions)))
        return (self._mean + z @ self._directions).astype(np.float32)


class GaussianSource:
    """Isotropic Gaussian candidates around zero: no data needed, but not where real faces lie in feature space."""

    limit: int | None = None

    def __init__(self, dim: int, std: float) -> None:
        """Take `dim` features, each of standard deviation `std` in raw feature units. Raises `InputError`."""
        if dim < 1:
            raise InputError(f"the feature width must be 1 or more, not {dim}.")
        if not 0 < std <= _LARGEST_STD:  # neither is NaN
            raise InputError(
                f"the standard deviation of the candidates must be above 0 and at most {_LARGEST_STD:g}, not {std}."
            )
        self.width = dim
        self.std = std

    @property
    def provenance(self) -> dict[str, Any]:
        return {"source": "gaussian", "std": self.std}

    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        return _keyed_rows(seed, start, count, self.width, self._key_block)

    def _key_block(self, rng: np.random.Generator) -> np.ndarray:
        return (self.std * rng.standard_normal((KEY_BLOCK, self.width))).astype(np.float32)


class FileSource:
    """The vectors of a file (see `IdentityBank.load`), in file order, each once; the seed plays no part."""

    def __init__(self, path: Location) -> None:
        """Read the file. Raises `InputError` if it is missing or unusable."""
        self.bank = IdentityBank.load(path)
        self._file = path.name

    @property
    def width(self) -> int:
        return self.bank.width

    @property
    def limit(self) -> int | None:
        return len(self.bank)

    @property
    def provenance(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"source": "file", "file": self._file}
        if "feature_space" in self.bank.provenance:
            facts["feature_space"] = self.bank.provenance["feature_space"]
        return facts

    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        if start + count > len(self.bank):
            raise InputError(
                f"{self._file} holds {len(self.bank)} vectors; candidate {start + count - 1} is beyond them."
            )
        return self.bank.vectors[start : start + count]


def _keyed_rows(
    seed: int, start: int, count: int, width: int, key_block: Callable[[np.random.Generator], np.ndarray]
) -> np.ndarray:
    rows = np.empty((count, width), dtype=np.float32)
    done = 0
    while done < count:
        block, offset = divmod(start + done, KEY_BLOCK)
        taken = min(KEY_BLOCK - offset, count - done)
        drawn = key_block(rng_for(seed, "identity-candidate", block))
        rows[done : done + taken] = drawn[offset : offset + taken]
        done += taken
    return rows
