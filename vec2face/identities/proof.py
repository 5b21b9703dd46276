"""Whether identities keep apart, decided exactly for every pair."""

from collections.abc import Callable

import numpy as np

from vec2face.identities.coarse import CoarseUnits
from vec2face.identities.cosine import exact_cosine, reaches


def first_pair_reaching(
    vectors: np.ndarray,
    ceiling: float,
    *,
    highest: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int, float] | None:
    """Return a pair of rows whose exact cosine is `ceiling` or more, with it; None is the proof that there is none.

    Args:
        vectors: float32 `(N, D)`, no zero rows.
        ceiling: a cosine.
        highest: look on for the pair with the largest cosine (of equal ones the first).
        progress: called with (rows compared, rows in all).
    """
    found: tuple[int, int, float] | None = None
    floor = ceiling
    stored = CoarseUnits.of(vectors)
    for rows, columns in stored.pairs_reaching(ceiling, progress=progress):
        for row in np.unique(rows):
            others = columns[rows == row]
            for other in others[reaches(vectors[row], vectors[others], floor)]:
                cosine = exact_cosine(vectors[row], vectors[other])
                if found is None or cosine > found[2]:
                    found, floor = (int(row), int(other), cosine), max(floor, cosine)
                if not highest:
                    return found
    return found


def number_apart(vectors: np.ndarray, ceiling: float) -> int:
    """Return how many rows are left when each one that reaches the ceiling with an earlier, kept one is left out."""
    kept = np.ones(len(vectors), dtype=bool)
    stored = CoarseUnits.of(vectors)
    partners: dict[int, list[np.ndarray]] = {}
    for rows, columns in stored.pairs_reaching(ceiling):
        for row in np.unique(rows):
            others = columns[rows == row]
            partners.setdefault(int(row), []).append(others[reaches(vectors[row], vectors[others], ceiling)])
    for row in sorted(partners):
        if kept[row]:
            kept[np.concatenate(partners[row])] = False
    return int(kept.sum())
