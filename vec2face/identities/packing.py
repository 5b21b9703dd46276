"""Identities that keep apart by being moved apart: more fit under a ceiling than chance alone finds.

Rejection takes what a source happens to draw; in a crowded space almost every late candidate is near somebody. Packing
takes exactly as many candidates as are wanted and moves those that are too close, by gradient descent on

    sum over pairs of max(0, cosine - target)^2,    target = ceiling - `SLACK`,

until no pair reaches the ceiling. Vectors without close neighbours stay where they are drawn, and those that move keep
what `vec2face.identities.manifold` says. That repulsion on the sphere makes room for identities was shown by HyperFace
(arXiv 2411.08470, which pulls towards real embeddings) and by Langevin dynamics (arXiv 2405.00228, which adds noise);
here the pull is replaced by an exact constraint, the noise by nothing, and the end is proven rather than annealed.

Only close pairs pull, so they are listed (as in molecular dynamics), used for a few steps, and listed anew. Sums run
over the list in a fixed order on one thread, so a bank depends on its seed and the kind of processor, not on threads.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.identities.bank import IdentityBank, numbered_ids
from vec2face.identities.coarse import pairs_reaching
from vec2face.identities.manifold import Manifold, manifold_of
from vec2face.identities.proof import first_pair_reaching, number_apart
from vec2face.identities.sampling import check_arguments, source_request
from vec2face.identities.sources import CandidateSource

SLACK = 0.004  # cosine: pairs are pushed this far below the ceiling, so that rounding never matters
DEFAULT_MAX_STEPS = 2000
LIST_MARGIN = 0.04  # cosine below the target from which on a pair is listed
LIST_STEPS = 4  # steps between two lists
LARGEST_LIST = 80_000_000  # pairs; some 2 GiB
_STEP = 0.3
_MOMENTUM = 0.8
_LONGEST_STEP = 0.15  # radians a vector may turn in one step
_STALLED_LISTS = 25  # so many lists without fewer close pairs end the attempt
_PAIRS_AT_ONCE = 1 << 17


def pack(
    source: CandidateSource,
    *,
    count: int,
    ceiling: float,
    seed: int,
    max_steps: int = DEFAULT_MAX_STEPS,
    partial: PartialWork | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IdentityBank:
    """Move the first `count` candidates of a source apart until every cosine is below `ceiling`, and prove it.

    A list of close pairs costs half the table of all cosines, O(count^2 D); a step costs O(close pairs x D). Another
    count gives other vectors, since everybody pushes everybody.

    Args:
        source: where the candidates come from: `PcaSource` or `GaussianSource`.
        count: identities, 1 or more.
        ceiling: largest cosine allowed between two identities, exclusive; above -1, at most 1.
        seed: the run's seed.
        max_steps: give up after so many steps.
        partial: where unfinished work is kept; work found there is gone on with. Remove it once the bank is
            saved.
        progress: called after every list with (steps made, close pairs left).

    Returns:
        A bank of `count` vectors with the ids "0000000", ...; its provenance is the source's with `method`, `ceiling`,
        `seed`, `steps`, and `kept`: the mean cosine between a vector and the candidate it began as.

    Raises:
        InputError: an argument is out of range, the source cannot be packed, or so many do not fit; the message says
            how many do, and which ceiling was reached.
    """
    check_arguments(ceiling, seed, count)
    manifold = manifold_of(source)
    drawn = source.candidates(seed, 0, count)
    state = _Packing(manifold, drawn, ceiling)
    request = {"method": "pack", "count": count, "ceiling": ceiling, **source_request(source, seed)}
    found = partial.load(request) if partial is not None else None
    if found is not None:
        state.take_back(*found)
    while True:
        left = state.list_pairs()
        if progress is not None:
            progress(state.steps, left)
        if left == 0:
            vectors = manifold.vectors(state.whitened) if state.steps else drawn
            if first_pair_reaching(vectors, ceiling) is None:
                break
        if state.stalled or state.steps >= max_steps:
            raise _too_many(manifold.vectors(state.whitened), ceiling, state)
        for _ in range(LIST_STEPS):
            state.step()
        if partial is not None and partial.due():
            partial.save(request, *state.to_save())
    provenance = {**source.provenance, "method": "pack", "ceiling": ceiling, "seed": seed, "steps": state.steps}
    return IdentityBank(vectors, numbered_ids(count), {**provenance, "kept": round(_mean_cosine(drawn, vectors), 4)})


@dataclass(frozen=True)
class _CloseList:
    """Close pairs by rows: row i is close to `columns[starts[i] : starts[i + 1]]`, each pair once."""

    starts: np.ndarray
    columns: np.ndarray
    rows: np.ndarray


class _Packing:
    """Whitened vectors under way.

    Attributes:
        whitened: float32 `(N, K)` coordinates of the vectors.
        steps: steps made.
    """

    def __init__(self, manifold: Manifold, drawn: np.ndarray, ceiling: float) -> None:
        self.whitened = manifold.whiten(drawn)
        self.steps = 0
        self._manifold = manifold
        self._ceiling = ceiling
        self._radii = manifold.radii(self.whitened)
        self._centre = self.whitened.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._velocity = np.zeros_like(self.whitened)
        self._scale = manifold.scale.astype(np.float32)
        along, across = manifold.mean_coordinates
        self._mean = along.astype(np.float32)
        self._across = np.float32(across)
        self._list = _CloseList(*(np.zeros(0, dtype=np.int32),) * 3)
        self._fewest: float = math.inf
        self._since_fewest = 0

    @property
    def stalled(self) -> bool:
        """Whether the number of close pairs has not fallen for long."""
        return self._since_fewest >= _STALLED_LISTS

    def list_pairs(self) -> int:
        """List the close pairs anew; return how many reach the ceiling."""
        units, _ = self._units()
        target = self._ceiling - SLACK
        first: list[np.ndarray] = []
        second: list[np.ndarray] = []
        listed = reaching = 0
        for rows, columns in pairs_reaching(units, target - LIST_MARGIN):
            cosines = _pair_cosines(units, rows, columns)
            reaching += int((cosines >= self._ceiling).sum())
            near = cosines >= target - LIST_MARGIN
            listed += int(near.sum())
            if listed > LARGEST_LIST:
                raise InputError(
                    f"{len(units)} identities are far too many under cosine {self._ceiling:g}: more than "
                    f"{LARGEST_LIST} pairs are close to it; ask for fewer or raise the ceiling."
                )
            first.append(rows[near].astype(np.int32))
            second.append(columns[near].astype(np.int32))
        self._list = _by_rows(first, second, len(units))
        if reaching < 0.99 * self._fewest:
            self._fewest, self._since_fewest = reaching, 0
        else:
            self._since_fewest += 1
        return reaching

    def step(self) -> None:
        """Move once along the gradient with momentum, back to the kept radii and the kept centre."""
        units, norms = self._units()
        width = len(self._scale)
        weights = _pair_cosines(units, self._list.rows, self._list.columns) - np.float32(self._ceiling - SLACK)
        np.maximum(weights, 0, out=weights)
        table = scipy.sparse.csr_array((weights, self._list.columns, self._list.starts), shape=(len(units), len(units)))
        push = table @ units + table.T @ units
        push -= np.einsum("nd,nd->n", push, units)[:, None] * units
        # In whitened coordinates, so that vectors move most where real faces differ most.
        move = push[:, :width] * norms[:, None] * (-self._scale / np.mean(np.square(self._scale)))
        self._velocity *= np.float32(_MOMENTUM)
        self._velocity += move - move.mean(axis=0)
        turned = self._velocity * self._scale
        angles = _STEP * np.sqrt(np.einsum("nd,nd->n", turned, turned)) / norms
        self._velocity *= np.minimum(1.0, _LONGEST_STEP / np.maximum(angles, 1e-9))[:, None].astype(np.float32)
        self.whitened += np.float32(_STEP) * self._velocity
        self.whitened += self._centre - self.whitened.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._manifold.restore_radii(self.whitened, self._radii)
        self.steps += 1

    def to_save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and state for `PartialWork.save`."""
        fewest = None if math.isinf(self._fewest) else self._fewest
        state = {"steps": self.steps, "fewest": fewest, "since_fewest": self._since_fewest}
        return {"whitened": self.whitened, "velocity": self._velocity}, state

    def take_back(self, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Go on from what `to_save` gave."""
        self.whitened, self._velocity = arrays["whitened"].copy(), arrays["velocity"].copy()
        self.steps, self._since_fewest = int(state["steps"]), int(state["since_fewest"])
        self._fewest = math.inf if state["fewest"] is None else float(state["fewest"])

    def _units(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors' directions in principal coordinates `(N, K or K + 1)`, and their norms `(N,)`."""
        along = self._mean + self.whitened * self._scale
        if self._across > 0:
            along = np.hstack([along, np.full((len(along), 1), self._across, dtype=np.float32)])
        norms = np.sqrt(np.einsum("nd,nd->n", along, along))
        return along / norms[:, None], norms


def _pair_cosines(units: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    cosines = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        cosines[part] = np.einsum("pd,pd->p", units[rows[part]], units[columns[part]])
    return cosines


def _by_rows(first: list[np.ndarray], second: list[np.ndarray], count: int) -> _CloseList:
    rows = np.concatenate([np.zeros(0, dtype=np.int32), *first])
    columns = np.concatenate([np.zeros(0, dtype=np.int32), *second])
    ordered = scipy.sparse.coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count)).tocsr()
    ordered.sort_indices()
    starts, columns = ordered.indptr, ordered.indices
    return _CloseList(starts, columns, np.repeat(np.arange(count, dtype=np.int32), np.diff(starts)))


def _too_many(vectors: np.ndarray, ceiling: float, state: _Packing) -> InputError:
    closest = first_pair_reaching(vectors, ceiling, highest=True)
    reached = f"the closest pair is at {closest[2]:.4f}" if closest is not None else "the last steps were not enough"
    return InputError(
        f"{len(vectors)} identities could not be packed under cosine {ceiling:g}: after {state.steps} steps {reached}, "
        f"and {number_apart(vectors, ceiling)} of them keep apart; ask for fewer identities or raise the ceiling."
    )


def _mean_cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", a, a) * np.einsum("nd,nd->n", b, b))
    return float(np.mean(np.einsum("nd,nd->n", a, b) / lengths))
