"""Choose identities that keep apart: greedy acceptance of candidates under a cosine ceiling."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.identities.bank import IdentityBank, numbered_ids
from vec2face.identities.coarse import ROWS, CoarseUnits
from vec2face.identities.cosine import pairs_reach, unit_rows
from vec2face.identities.sources import CandidateSource
from vec2face.identities.table import Queries

# Every so many candidates it is asked whether the count can still be reached.
CHECK_EVERY = 4096
_STANDARD_DEVIATIONS = 5.0
_REDRAWN_AT_ONCE = 65_536
_FIRST_CANDIDATES = 16
_SEED_LIMIT = 2**63


def default_max_candidates(count: int) -> int:
    """Return how many candidates are tried for `count` identities unless the caller says otherwise."""
    return 50 * count + 100_000


def sample(
    source: CandidateSource,
    *,
    count: int,
    ceiling: float,
    seed: int,
    block_size: int = 2048,
    max_candidates: int | None = None,
    partial: PartialWork | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IdentityBank:
    """Accept candidates in order, each if its cosine to every accepted vector is below `ceiling`.

    The result depends on the source, count, ceiling and seed alone, not on `block_size`: a fast product
    decides the clear pairs, and a pair within its error bound of the ceiling is decided by its exact cosine (see
    `vec2face.identities.coarse`). Time is O(accepted x tried x D), memory O(accepted x D).

    A random source is given up before `max_candidates` when success is out of reach: after every `CHECK_EVERY`
    candidates the acceptance rate over the later half of all tried so far, raised by five standard deviations of a
    Poisson count, is taken for all that remain, and the sampling stops if they still could not fill the bank. The
    estimate is on the safe side, since the rate only falls as identities are accepted.

    Args:
        source: where the candidates come from.
        count: identities wanted, 1 or more.
        ceiling: largest cosine allowed between two identities, exclusive; above -1, at most 1.
        seed: the run's seed.
        block_size: candidates drawn at once; sets memory and speed only.
        max_candidates: stop after so many; None takes `default_max_candidates(count)`. A file may end earlier.
        partial: where unfinished work is kept; work found there is gone on with, to the same bank. Remove it once the
            bank is saved.
        progress: called after every block with (identities accepted, candidates tried).

    Returns:
        A bank of exactly `count` vectors with the ids "0000000", "0000001", ...; its provenance is the source's with
        `ceiling`, `candidates` (how many were tried until the last was accepted) and, of a random source, `seed`.

    Raises:
        InputError: an argument is out of range, or fewer than `count` identities fit; the message says how many did.
    """
    check_arguments(ceiling, seed, count)
    most = _most_candidates(source, count, max_candidates)
    if block_size < 1:
        raise InputError(f"the block size must be 1 or more, not {block_size}.")
    chosen = _Chosen(count, source.width, ceiling)
    request = {"method": "reject", "ceiling": ceiling, **source_request(source, seed)}
    # accepted_at[k]: identities accepted after k * CHECK_EVERY candidates
    tried, accepted_at = (0, [0]) if partial is None else _resume(partial, request, chosen, source, seed, most)
    while tried < most:
        size = min(block_size, most - tried, CHECK_EVERY - tried % CHECK_EVERY)
        last = chosen.add(source.candidates(seed, tried, size), tried)
        if len(chosen) == count:
            if progress is not None:
                progress(count, tried + last + 1)
            provenance = {**source.provenance, "ceiling": ceiling, "candidates": tried + last + 1}
            if source.limit is None:
                provenance["seed"] = seed
            return IdentityBank(chosen.vectors, numbered_ids(count), provenance)
        tried += size
        if progress is not None:
            progress(len(chosen), tried)
        if tried % CHECK_EVERY == 0:
            accepted_at.append(len(chosen))
            if partial is not None and partial.due():
                partial.save(request, {"accepted": chosen.indices}, {"tried": tried, "accepted_at": accepted_at})
            if source.limit is None and _out_of_reach(accepted_at, count, most - tried):
                raise InputError(
                    f"{count} identities are out of reach under cosine {ceiling:g} from this source: after {tried} "
                    f"candidates {len(chosen)} fit, and so few of the latest did that {most - tried} more would not be "
                    "enough; ask for fewer identities or raise the ceiling."
                )
    raise InputError(
        f"only {len(chosen)} of {count} identities fit under cosine {ceiling:g} from this source after {tried} "
        "candidates; ask for fewer identities or raise the ceiling."
    )


class _Chosen:
    """The vectors accepted so far."""

    def __init__(self, capacity: int, width: int, ceiling: float) -> None:
        self.vectors = np.empty((capacity, width), dtype=np.float32)
        self._units = CoarseUnits(capacity + ROWS, width)  # with room for rows that are not accepted yet
        self._indices = np.empty(capacity, dtype=np.int64)
        self._size = 0
        self._ceiling = ceiling

    def __len__(self) -> int:
        return self._size

    @property
    def indices(self) -> np.ndarray:
        """Index of each accepted candidate, int64, rising."""
        return self._indices[: self._size]

    def restore(self, rows: np.ndarray, indices: np.ndarray) -> None:
        """Take back candidates that were accepted before."""
        end = self._size + len(rows)
        self.vectors[self._size : end] = rows
        self._units.store(self._size, unit_rows(rows))
        self._indices[self._size : end] = indices
        self._size = end

    def add(self, block: np.ndarray, first: int) -> int:
        """Accept what fits, in order, until full. Returns the block's index of the last accepted row, or -1.

        Args:
            block: candidates `(B, D)`.
            first: index of the first of them.
        """
        last = -1
        for start in range(0, len(block), ROWS):
            found = self._add_some(block[start : start + ROWS], first + start)
            if found >= 0:
                last = start + found
            if self._size == len(self.vectors):
                break
        return last

    def _add_some(self, block: np.ndarray, first: int) -> int:
        """As `add`, for rows that are compared with all accepted ones together."""
        units = unit_rows(block)
        queries = self._units.queries(units)
        fitting = self._apart_from_accepted(block, queries)
        self._units.store(self._size, units[fitting])
        alive = self._apart_from_each_other(block, fitting, queries)
        accepted = fitting[alive][: len(self.vectors) - self._size]
        if not alive.all():
            self._units.store(self._size, units[accepted])
        end = self._size + len(accepted)
        self.vectors[self._size : end] = block[accepted]
        self._indices[self._size : end] = first + accepted
        self._size = end
        return int(accepted[-1]) if len(accepted) else -1

    def _apart_from_accepted(self, block: np.ndarray, queries: Queries) -> np.ndarray:
        """Return the rows of `block` whose cosine to every accepted vector is below the ceiling."""
        rows = np.arange(len(block))
        surely_below, surely_not = self._units.limits(self._ceiling)
        for start in range(0, self._size, self._units.columns):
            stop = min(start + self._units.columns, self._size)
            cosines = self._units.cosines(queries, start, stop, surely_below)
            highest = cosines.highest()
            keep = highest < surely_not
            doubtful = np.flatnonzero(keep & (highest >= surely_below))
            if len(doubtful):
                queried, close = cosines.reaching(surely_below, rows=doubtful)
                keep[queried[pairs_reach(block, rows[queried], self.vectors, start + close, self._ceiling)]] = False
            if not keep.all():
                rows, queries = rows[keep], queries[keep]
            if not len(rows):
                break
        return rows

    def _apart_from_each_other(self, block: np.ndarray, rows: np.ndarray, queries: Queries) -> np.ndarray:
        """Return for each of `rows`, which are stored behind the accepted ones, whether it is apart from those kept."""
        alive = np.ones(len(rows), dtype=bool)
        if len(rows) < 2:
            return alive
        surely_below, _ = self._units.limits(self._ceiling)
        some = queries if len(rows) == len(block) else queries[rows]
        cosines = self._units.cosines(some, self._size, self._size + len(rows), surely_below)
        first, second = cosines.reaching(surely_below)
        first, second = first[first < second], second[first < second]
        reached = pairs_reach(block, rows[first], block, rows[second], self._ceiling)
        for earlier, later in zip(first[reached].tolist(), second[reached].tolist(), strict=True):
            if alive[earlier]:
                alive[later] = False
        return alive


def _out_of_reach(accepted_at: list[int], count: int, remaining: int) -> bool:
    blocks = len(accepted_at) - 1
    middle = blocks // 2
    fitted = accepted_at[-1] - accepted_at[middle]
    rate = (fitted + _STANDARD_DEVIATIONS * math.sqrt(fitted + _STANDARD_DEVIATIONS)) / (
        (blocks - middle) * CHECK_EVERY
    )
    return accepted_at[-1] + min(rate, 1.0) * remaining < count


def source_request(source: CandidateSource, seed: int) -> dict[str, Any]:
    """Return what tells a source's candidates from another's: its description, the seed, a digest of the first few."""
    few = _FIRST_CANDIDATES if source.limit is None else min(_FIRST_CANDIDATES, source.limit)
    digest = hashlib.sha256(np.ascontiguousarray(source.candidates(seed, 0, few)).tobytes()).hexdigest()
    return {"source": source.provenance, "seed": seed, "first_candidates": digest}


def _resume(
    partial: PartialWork, request: dict[str, Any], chosen: _Chosen, source: CandidateSource, seed: int, most: int
) -> tuple[int, list[int]]:
    """Take back what unfinished work accepted, by drawing it again. Returns (candidates tried, `accepted_at`)."""
    found = partial.load(request)
    if found is None:
        return 0, [0]
    (indices, state) = (found[0]["accepted"], found[1])
    tried, accepted_at = int(state["tried"]), [int(value) for value in state["accepted_at"]]
    if tried > most or len(indices) >= len(chosen.vectors):
        return 0, [0]  # it went further than what is asked for now
    for start in range(0, tried, _REDRAWN_AT_ONCE):
        stop = min(start + _REDRAWN_AT_ONCE, tried)
        within = indices[(indices >= start) & (indices < stop)]
        chosen.restore(source.candidates(seed, start, stop - start)[within - start], within)
    return tried, accepted_at


def _most_candidates(source: CandidateSource, count: int, max_candidates: int | None) -> int:
    most = default_max_candidates(count) if max_candidates is None else max_candidates
    if most < count:
        raise InputError(f"{most} candidates cannot give {count} identities; allow at least as many as are wanted.")
    if source.limit is None:
        return most
    if source.limit < count:
        raise InputError(
            f"the source holds {source.limit} vectors, fewer than the {count} identities wanted; ask for fewer."
        )
    return min(most, source.limit)


def check_arguments(ceiling: float, seed: int, count: int) -> None:
    """Raise `InputError` unless ceiling, seed and count of identities are in range."""
    if not -1.0 < ceiling <= 1.0:
        raise InputError(f"the cosine ceiling must be above -1 and at most 1, not {ceiling}.")
    if not -_SEED_LIMIT <= seed < _SEED_LIMIT:
        raise InputError(f"the seed must fit 64 signed bits, {seed} does not.")
    if count < 1:
        raise InputError(f"the count of identities must be 1 or more, not {count}.")
