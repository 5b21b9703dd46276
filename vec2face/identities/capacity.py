"""How many identities a source can give under a ceiling: estimated for rejection, found by trial for packing."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vec2face.errors import InputError
from vec2face.identities.packing import pack
from vec2face.identities.sampling import sample
from vec2face.identities.sources import CandidateSource
from vec2face.seeding import rng_for

_BINS = 12
_TAIL_BINS = 6
_RESAMPLES = 400
_INTERVAL = (2.5, 97.5)  # per cent
_MOST_IDENTITIES = 10_000_000
_PAIRS = 2_000_000


@dataclass(frozen=True)
class RejectionCapacity:
    """What rejection admits within a number of candidates.

    Attributes:
        ceiling: cosine.
        probed, accepted: candidates tried by the probe, and identities among them.
        candidates: the number of candidates that the estimate is for.
        identities: how many of them are expected to be accepted.
        interval: 95 per cent of the resampled estimates lie in it; it knows the chance in the probe, not whether the
            acceptance goes on falling as it did.
        close_pairs: share of pairs of independent candidates at or above the ceiling, in the probe.
    """

    ceiling: float
    probed: int
    accepted: int
    candidates: int
    identities: int
    interval: tuple[int, int]
    close_pairs: float

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def rejection_capacity(
    source: CandidateSource,
    *,
    ceiling: float,
    seed: int,
    probe: int,
    candidates: int,
    progress: Callable[[int, int], None] | None = None,
) -> RejectionCapacity:
    """Try `probe` candidates, and extrapolate the acceptance to `candidates`.

    With k identities accepted, the chance a(k) of the next candidate falls about exponentially in k. log a(k) is fitted
    as a straight line over the later half of the accepted ones, with Poisson weights, and dk/dt = a(k) is then followed
    from the end of the probe: k(t) = k0 + log(1 + b a0 t) / b for a slope of -b. Resampling the counts gives the
    interval. If `candidates` is no more than the probe, the number is counted, not estimated.

    Args:
        source: a random source.
        ceiling: cosine.
        seed: the run's seed.
        probe: candidates to try, 1,000 or more.
        candidates: to estimate for.
        progress: called with (candidates tried, probe).

    Raises:
        InputError: the source holds vectors of its own, or an argument is out of range.
    """
    if source.limit is not None:
        raise InputError("the capacity of a file is the number that a sampling of it gives; ask for a random source.")
    if probe < 1000:
        raise InputError(f"a probe of {probe} candidates says little; try 1,000 or more.")
    curve: list[tuple[int, int]] = [(0, 0)]  # (tried, accepted)

    def follow(accepted: int, tried: int) -> None:
        curve.append((tried, accepted))
        if progress is not None:
            progress(tried, probe)

    tries = min(probe, candidates)
    try:
        # A count that all candidates together could just reach: the sampling never ends before the probe does.
        sample(
            _Endless(source, tries),
            count=tries,
            ceiling=ceiling,
            seed=seed,
            block_size=max(64, tries // 64),
            max_candidates=tries,
            progress=follow,
        )
    except InputError:
        if curve[-1][0] < tries:
            raise
    tried, accepted = (np.array(column) for column in zip(*curve, strict=True))
    measured = int(accepted[-1])
    close = _close_pairs(source, seed, ceiling)
    estimate, interval = measured, (measured, measured)
    if candidates > tries and measured < tries:
        estimate, interval = _extrapolate(tried, accepted, candidates, seed)
    elif candidates > tries:
        # Nobody was turned away: three is the upper bound (95 per cent) of the mean of a Poisson count of none.
        estimate = min(candidates, _MOST_IDENTITIES)
        interval = (int(_follow(measured, 1.0, 3.0 / measured**2 * 2, candidates - tries)), estimate)
    return RejectionCapacity(ceiling, tries, measured, candidates, estimate, interval, close)


def packing_capacity(
    source: CandidateSource,
    *,
    ceiling: float,
    seed: int,
    largest: int,
    max_steps: int,
    ratio: float = 1.25,
    smallest: int = 64,
    progress: Callable[[int, bool], None] | None = None,
) -> int:
    """Return the largest count, of those tried, that packs: counts grow by `ratio` until one fails or `largest` packs.

    It is a lower bound: more steps may pack more.

    Args:
        source, ceiling, seed, max_steps: as `pack` takes them.
        largest: stop there.
        ratio: between two counts, above 1.
        smallest: the first count.
        progress: called with (count, whether it packed).
    """
    packed = 0
    count = smallest
    while count <= largest:
        try:
            pack(source, count=count, ceiling=ceiling, seed=seed, max_steps=max_steps)
        except InputError:
            if progress is not None:
                progress(count, False)
            return packed
        packed = count
        if progress is not None:
            progress(count, True)
        count = largest if packed < largest < packed * ratio else max(packed + 1, round(packed * ratio))
    return packed


class _Endless:
    """A random source that ends after so many candidates, so that the sampling tries them all."""

    def __init__(self, source: CandidateSource, limit: int) -> None:
        self._source = source
        self.limit = limit
        self.width = source.width
        self.provenance = source.provenance

    def candidates(self, seed: int, start: int, count: int) -> np.ndarray:
        return self._source.candidates(seed, start, count)


def _extrapolate(tried: np.ndarray, accepted: np.ndarray, candidates: int, seed: int) -> tuple[int, tuple[int, int]]:
    edges = np.linspace(0, len(tried) - 1, min(_BINS, len(tried) - 1) + 1).astype(int)
    steps, gains = np.diff(tried[edges]), np.diff(accepted[edges])
    middles = (accepted[edges][1:] + accepted[edges][:-1]) / 2
    late = slice(-_TAIL_BINS, None)
    remaining = candidates - int(tried[-1])
    rng = rng_for(seed, "identity-capacity")
    estimates = []
    for draw in range(_RESAMPLES + 1):
        counts = gains[late] if draw == 0 else rng.poisson(gains[late])
        kept = counts > 0
        if kept.sum() < 2:
            continue
        rates = np.minimum(counts[kept] / steps[late][kept], 1.0)
        slope, offset = np.polyfit(middles[late][kept], np.log(rates), 1, w=np.sqrt(counts[kept]))
        now = float(np.exp(offset + slope * accepted[-1]))
        estimates.append(min(_follow(int(accepted[-1]), min(now, 1.0), max(-slope, 1e-12), remaining), candidates))
    if not estimates:
        raise InputError("the probe accepted too few identities to say how many more fit; try more candidates.")
    low, high = np.percentile(estimates[1:] or estimates, _INTERVAL)
    return int(estimates[0]), (int(low), int(high))


def _follow(accepted: int, rate: float, slope: float, candidates: int) -> float:
    """Solve dk/dt = rate exp(-slope (k - accepted)) for k after `candidates`."""
    return accepted + math.log1p(slope * rate * candidates) / slope


def _close_pairs(source: CandidateSource, seed: int, ceiling: float) -> float:
    rows = source.candidates(seed, 0, 2 * math.isqrt(_PAIRS // 2)).astype(np.float64)
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    half = len(rows) // 2
    return float((rows[:half] @ rows[half:].T >= ceiling).mean())
