"""Where identity vectors may lie: what a vector keeps of itself while it is moved away from others.

In the whitened principal coordinates z of real features (zero mean, unit variance) a Gaussian's density depends on the
radius |z| alone. Here every vector keeps its radius, and not only over all coordinates but inside every band of
consecutive ones: it stays exactly as likely as it was drawn, the bank keeps the drawn share of every part of the
spectrum, and no likelihood is gained by hiding differences in directions in which real faces hardly differ.
"""

from dataclasses import dataclass

import numpy as np

from vec2face.errors import InputError
from vec2face.identities.sources import CandidateSource, GaussianSource, PcaSource

BAND = 16  # principal components whose radius is kept together
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Manifold:
    """Whitened coordinates around a mean, cut into bands.

    Attributes:
        mean: float64 `(D,)`, raw feature units.
        scale: float64 `(K,)`, standard deviation along each component, above 0, raw feature units.
        components: float64 `(K, D)`, orthonormal rows; None stands for the coordinate axes (K = D).
        bands: first component of each band, rising from 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray | None
    bands: tuple[int, ...]

    @property
    def mean_coordinates(self) -> tuple[np.ndarray, float]:
        """The mean along each component `(K,)`, and the length of what is left of it across all of them."""
        if self.components is None:
            return self.mean, 0.0
        along = self.components @ self.mean
        return along, float(np.linalg.norm(self.mean - along @ self.components))

    def whiten(self, vectors: np.ndarray) -> np.ndarray:
        """Return the coordinates z of `vectors` `(N, D)`, float32 `(N, K)`."""
        whitened = np.empty((len(vectors), len(self.scale)), dtype=np.float32)
        for start in range(0, len(vectors), _BLOCK):
            centred = vectors[start : start + _BLOCK].astype(np.float64) - self.mean
            along = centred if self.components is None else centred @ self.components.T
            whitened[start : start + _BLOCK] = along / self.scale
        return whitened

    def vectors(self, whitened: np.ndarray) -> np.ndarray:
        """Return the vectors of coordinates z `(N, K)`, float32 `(N, D)`, raw feature units."""
        vectors = np.empty((len(whitened), len(self.mean)), dtype=np.float32)
        for start in range(0, len(whitened), _BLOCK):
            along = whitened[start : start + _BLOCK].astype(np.float64) * self.scale
            vectors[start : start + _BLOCK] = self.mean + (
                along if self.components is None else along @ self.components
            )
        return vectors

    def radii(self, whitened: np.ndarray) -> np.ndarray:
        """Return the radius of each vector in each band, float32 `(N, bands)`."""
        squares = np.add.reduceat(np.square(whitened), self.bands, axis=1)
        radii: np.ndarray = np.sqrt(squares)
        return radii

    def restore_radii(self, whitened: np.ndarray, radii: np.ndarray) -> None:
        """Rescale `whitened` `(N, K)` in place, band by band, to `radii` `(N, bands)`."""
        now = self.radii(whitened)
        factors = np.divide(radii, now, out=np.ones_like(now), where=now > 0)
        widths = np.diff([*self.bands, whitened.shape[1]])
        whitened *= np.repeat(factors, widths, axis=1)


def manifold_of(source: CandidateSource) -> Manifold:
    """Return the manifold that a source draws from.

    For `PcaSource` bands of `BAND` components; for `GaussianSource`, which is the same in every direction, one band: a
    vector keeps its norm.

    Raises:
        InputError: the source has vectors of its own, which are taken as they are.
    """
    if isinstance(source, GaussianSource):
        return Manifold(np.zeros(source.width), np.full(source.width, source.std), None, (0,))
    if isinstance(source, PcaSource):
        facts = source.statistics
        kept = facts.variances > 0
        return Manifold(
            facts.mean.astype(np.float64),
            np.sqrt(facts.variances[kept].astype(np.float64)),
            facts.components[kept].astype(np.float64),
            tuple(range(0, int(kept.sum()), BAND)),
        )
    raise InputError("packing moves vectors; those of a file are taken as they are, so choose among them by rejection.")
