"""How often each face is shown, so that rare values are learnt as well: profiles, children, old people."""

import numpy as np

# Equal parts of the range of values that count as rare or common, and the most often that a face is shown.
_PARTS = 12
MOST_SHOWINGS = 4


def showings(values: np.ndarray) -> np.ndarray:
    """Return int64 `(N,)`, how often each of N faces is shown for one showing of the commonest.

    The root of how much rarer its value is than the commonest, 1 to `MOST_SHOWINGS`: halfway, in the exponent, between
    as they come and all alike. Of several attributes the largest counts; an unknown value asks for nothing.

    Args:
        values: `(N, K)` labels of K attributes, NaN where unknown.
    """
    often = np.ones(len(values), np.int64)
    for column in values.T:
        known = np.flatnonzero(np.isfinite(column))
        if not len(known) or np.ptp(column[known]) == 0:
            continue
        edges = np.linspace(column[known].min(), column[known].max(), _PARTS + 1)[1:-1]
        part = np.searchsorted(edges, column[known], side="right")
        counts = np.bincount(part, minlength=_PARTS)
        rarer = np.sqrt(counts.max() / counts[part])
        often[known] = np.maximum(often[known], np.clip(np.rint(rarer), 1, MOST_SHOWINGS).astype(np.int64))
    return often
