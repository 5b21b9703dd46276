"""Facts about an identity bank: norms, and how close its identities come to each other."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vec2face.identities.bank import IdentityBank
from vec2face.identities.coarse import ROWS
from vec2face.identities.cosine import error_bound, exact_cosine, unit_rows
from vec2face.identities.float_tables import Float32Table

CEILINGS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
HISTOGRAM_BINS = 40
_HISTOGRAM_IDENTITIES = 10_000
_STORED_AT_ONCE = 8192


@dataclass(frozen=True)
class ClosestPair:
    """The two identities with the largest cosine, computed exactly; of equal pairs the first."""

    first: str
    second: str
    cosine: float


@dataclass(frozen=True)
class BankSummary:
    """What `summarise` measures.

    Attributes:
        count, width: identities and features per vector.
        norm_min, norm_mean, norm_std, norm_max: of the vectors, raw feature units.
        closest: the closest pair; None for a single identity.
        under_ceiling: for each ceiling (as text), how many identities have no other at or above that cosine.
        histogram: number of pairs in `HISTOGRAM_BINS` equal cosine bins from -1 to 1.
        histogram_identities: how many evenly spaced identities the histogram was taken over (all, up to 10,000).
        provenance: the bank's.
    """

    count: int
    width: int
    norm_min: float
    norm_mean: float
    norm_std: float
    norm_max: float
    closest: ClosestPair | None
    under_ceiling: dict[str, int]
    histogram: list[int]
    histogram_identities: int
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def summarise(
    bank: IdentityBank,
    *,
    ceilings: Sequence[float] = CEILINGS,
    progress: Callable[[int, int], None] | None = None,
) -> BankSummary:
    """Measure a bank in blocks: time O(N^2 D), memory O(N D): four bytes a feature beside the bank.

    Args:
        bank: the bank.
        ceilings: cosines to count identities under.
        progress: called with (identities compared, identities in all).
    """
    units = Float32Table(len(bank), bank.width)
    norms = np.empty(len(bank))
    for start in range(0, len(bank), _STORED_AT_ONCE):
        part = bank.vectors[start : start + _STORED_AT_ONCE]
        units.store(start, unit_rows(part))
        norms[start : start + len(part)] = np.sqrt(np.einsum("nd,nd->n", part, part, dtype=np.float64))
    nearest, closest = _nearest(bank, units, progress)
    step = -(-len(bank) // _HISTOGRAM_IDENTITIES)
    spaced = units.stored(0, len(bank))[::step]
    return BankSummary(
        count=len(bank),
        width=bank.width,
        norm_min=float(norms.min()),
        norm_mean=float(norms.mean()),
        norm_std=float(norms.std()),
        norm_max=float(norms.max()),
        closest=closest,
        under_ceiling={f"{ceiling:g}": int((nearest < ceiling).sum()) for ceiling in ceilings},
        histogram=_histogram(spaced),
        histogram_identities=len(spaced),
        provenance=bank.provenance,
    )


def _nearest(
    bank: IdentityBank, units: Float32Table, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, ClosestPair | None]:
    """Return every identity's largest float32 cosine to another (-1 for a single one), and the exactly closest pair."""
    nearest = np.full(len(bank), -1.0, dtype=np.float32)
    slack = np.float32(2.0 * error_bound(bank.width))
    top = np.float32(-np.inf)
    near_top: list[tuple[np.float32, int, int]] = []
    for row_start in range(0, len(bank), ROWS):
        rows = slice(row_start, min(row_start + ROWS, len(bank)))
        queries = units.stored(rows.start, rows.stop)
        for column_start in range(row_start, len(bank), units.columns):
            columns = slice(column_start, min(column_start + units.columns, len(bank)))
            cosines = units.products(queries, columns.start, columns.stop)
            if column_start < rows.stop:  # each pair once, no identity with itself
                own = np.arange(rows.start, rows.stop)[:, None] >= np.arange(columns.start, columns.stop)
                cosines[own] = -np.inf
            by_row = cosines.max(axis=1)
            np.maximum(nearest[rows], by_row, out=nearest[rows])
            np.maximum(nearest[columns], cosines.max(axis=0), out=nearest[columns])
            highest = by_row.max()
            if highest >= top - slack:
                top = max(top, highest)
                for first, second in np.argwhere(cosines >= top - slack):
                    near_top.append((cosines[first, second], int(first) + rows.start, int(second) + columns.start))
                near_top = [pair for pair in near_top if pair[0] >= top - slack]
        if progress is not None:
            progress(rows.stop, len(bank))
    if len(bank) == 1:
        return nearest, None
    exact = [(exact_cosine(bank.vectors[i], bank.vectors[j]), i, j) for _, i, j in near_top]
    cosine, first, second = min(exact, key=lambda pair: (-pair[0], pair[1], pair[2]))
    return nearest, ClosestPair(bank.ids[first], bank.ids[second], cosine)


def _histogram(units: np.ndarray) -> list[int]:
    counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
    for start in range(0, len(units), ROWS):
        block = units[start : start + ROWS]
        later = block @ units[start:].T
        pairs = later[np.triu_indices(len(block), k=1, m=later.shape[1])]
        bins = np.clip((pairs + 1.0) * (HISTOGRAM_BINS / 2), 0, HISTOGRAM_BINS - 1).astype(np.int64)
        counts += np.bincount(bins, minlength=HISTOGRAM_BINS)
    return [int(value) for value in counts]
