"""Images grouped by person, and the cosine they are compared with.

Images come sorted by identity; people are addressed by their position 0..K-1 among the identities that have images, in
rising order of identity index.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Gather = Callable[[NDArray[np.integer]], Array]
"""Takes positions of images, gives their raw vectors (n, D)."""

BLOCK = 4096


@dataclass(frozen=True)
class People:
    """Where the images of each identity stand.

    Attributes:
        identities: (K,) identity index of each person, rising.
        starts: (K + 1,) the images of person k are positions starts[k] to starts[k + 1] - 1.
    """

    identities: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, identity: NDArray[np.integer]) -> "People":
        """Group sorted identity labels (N,)."""
        identities, starts = np.unique(identity, return_index=True)
        return cls(identities.astype(np.int64), np.append(starts, len(identity)).astype(np.int64))

    @property
    def counts(self) -> NDArray[np.int64]:
        """(K,) images of each person."""
        return np.diff(self.starts)

    @property
    def genuine_pairs(self) -> int:
        return int((self.counts * (self.counts - 1) // 2).sum())

    @property
    def impostor_pairs(self) -> int:
        total = int(self.starts[-1])
        return (total * total - int((self.counts**2).sum())) // 2

    def __len__(self) -> int:
        return len(self.identities)


def unit(vectors: NDArray[np.floating]) -> Array:
    """Scale each row to length 1; a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)
