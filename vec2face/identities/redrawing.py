"""Other vectors for some identities of a bank, below the same ceiling to all that stay.

Those that stay are not moved. A candidate is taken if it keeps apart as it is; in a bank that was packed it may be
moved first, as packing moves vectors (see `vec2face.identities.packing`), but alone against a crowd that holds still.
"""

from dataclasses import dataclass

import numpy as np

from vec2face.errors import InputError
from vec2face.identities.cosine import error_bound, reaches, unit_rows
from vec2face.identities.manifold import Manifold, manifold_of
from vec2face.identities.packing import SLACK
from vec2face.identities.sources import CandidateSource

MOST_CANDIDATES = 20_000  # tried for one place
_BLOCK = 256
_STEPS = 120
_LIST_STEPS = 8  # steps between two lists of close vectors
_LIST_MARGIN = 0.1  # cosine below the target from which on a vector is listed
_STEP = 0.3
_MOMENTUM = 0.8
_LONGEST_STEP = 0.15  # radians a vector may turn in one step


@dataclass(frozen=True, eq=False)
class Redrawn:
    """What was found.

    Attributes:
        vectors: float32 `(M, D)`, raw feature units.
        candidates: int64 `(M,)`, the source's index of the candidate that each vector is or began as, rising.
    """

    vectors: np.ndarray
    candidates: np.ndarray


def redraw(
    source: CandidateSource, kept: np.ndarray, *, count: int, ceiling: float, seed: int, first: int, move: bool
) -> Redrawn:
    """Find `count` vectors whose cosine to every kept one, and to each other, is below `ceiling`.

    The candidates of the source are tried in order from index `first` on, so equal arguments give equal vectors (moved
    ones for one kind of processor).

    Args:
        source: where candidates come from.
        kept: float32 `(N, D)`, the vectors that stay; N may be 0.
        count: vectors wanted, 1 or more.
        ceiling: largest cosine allowed, exclusive; at most 1.
        seed: of a random source.
        first: index of the first candidate to try.
        move: whether a candidate that is too close is moved away on its density shell before it is given up.

    Raises:
        InputError: the source ran out, or `MOST_CANDIDATES` in a row found no room; or vectors of a file are to be
            moved.
    """
    crowd = _Crowd(kept, count, source.width, ceiling, manifold_of(source) if move else None)
    found: list[int] = []
    index = first
    while len(found) < count:
        size = _BLOCK if source.limit is None else min(_BLOCK, source.limit - index)
        since = index - (found[-1] + 1 if found else first)
        if size <= 0 or since >= MOST_CANDIDATES:
            end = "the source has no more vectors" if size <= 0 else f"{since} candidates in a row found no room"
            raise InputError(
                f"only {len(found)} of {count} identities could be redrawn below cosine {ceiling:g} to those that "
                f"stay: {end}; take more candidates or fewer identities."
            )
        for offset, candidate in enumerate(source.candidates(seed, index, size)):
            if len(found) < count and crowd.take(candidate):
                found.append(index + offset)
        index += size
    return Redrawn(crowd.taken, np.array(found, dtype=np.int64))


class _Crowd:
    """The vectors that hold still, and those found so far."""

    def __init__(self, kept: np.ndarray, count: int, width: int, ceiling: float, manifold: Manifold | None) -> None:
        self._vectors = np.empty((len(kept) + count, width), dtype=np.float32)
        self._units = np.empty_like(self._vectors)
        if len(kept):
            self._vectors[: len(kept)], self._units[: len(kept)] = kept, unit_rows(kept)
        self._size = self._kept = len(kept)
        self._ceiling = ceiling
        self._doubt = error_bound(width)
        self._manifold = manifold

    @property
    def taken(self) -> np.ndarray:
        """Float32 `(M, D)` vectors taken so far."""
        return self._vectors[self._kept : self._size].copy()

    def take(self, candidate: np.ndarray) -> bool:
        """Add a candidate `(D,)`, moved if need be, if it keeps apart; tell whether it did."""
        vector: np.ndarray | None = candidate
        if not self._apart(candidate):
            vector = self._moved(candidate, self._manifold) if self._manifold is not None else None
            if vector is None or not self._apart(vector):
                return False
        self._vectors[self._size] = vector
        self._units[self._size] = unit_rows(self._vectors[self._size][None])[0]
        self._size += 1
        return True

    def _apart(self, vector: np.ndarray) -> bool:
        cosines = self._cosines(vector)
        if (cosines >= self._ceiling + self._doubt).any():
            return False
        doubtful = np.flatnonzero(cosines >= self._ceiling - self._doubt)
        return not reaches(vector, self._vectors[doubtful], self._ceiling).any()

    def _cosines(self, vector: np.ndarray) -> np.ndarray:
        # Not a matrix product: its last bits would depend on the number of threads, and a moved vector on them.
        result: np.ndarray = np.einsum("nd,d->n", self._units[: self._size], unit_rows(vector[None])[0])
        return result

    def _moved(self, candidate: np.ndarray, manifold: Manifold) -> np.ndarray | None:
        """Descend the hinge on cosines above the target, keeping the candidate's radii; None if it does not end."""
        target = self._ceiling - SLACK
        whitened = manifold.whiten(candidate[None])
        radii = manifold.radii(whitened)
        velocity = np.zeros_like(whitened)
        scale = manifold.scale.astype(np.float32)
        push_scale = scale / np.mean(np.square(manifold.scale)).astype(np.float32)
        vector = candidate
        for step in range(_STEPS):
            if step % _LIST_STEPS == 0:
                cosines = self._cosines(vector)
                if (cosines < target).all():
                    return vector
                near = self._units[: self._size][cosines >= target - _LIST_MARGIN]
            wide = vector.astype(np.float64)
            norm = float(np.sqrt(wide @ wide))
            unit = (wide / norm).astype(np.float32)
            weights = np.maximum(np.einsum("nd,d->n", near, unit) - np.float32(target), 0)
            push = np.einsum("n,nd->d", weights, near)
            push -= (push @ unit) * unit
            along = push if manifold.components is None else np.einsum("kd,d->k", manifold.components, push)
            velocity = np.float32(_MOMENTUM) * velocity - (along * norm * push_scale)[None].astype(np.float32)
            angle = _STEP * float(np.sqrt(np.sum(np.square(velocity * scale)))) / norm
            velocity *= np.float32(min(1.0, _LONGEST_STEP / max(float(angle), 1e-9)))
            whitened = whitened + np.float32(_STEP) * velocity
            manifold.restore_radii(whitened, radii)
            vector = manifold.vectors(whitened)[0]
        return vector
