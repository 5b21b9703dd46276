"""Whether identities keep apart, decided exactly for every pair."""

from collections.abc import Callable

import numpy as np

from vec2face.identities.coarse import pairs_reaching
from vec2face.identities.cosine import exact_cosine, pairs_reach


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
    for rows, columns in pairs_reaching(vectors, ceiling, progress=progress):
        reached = pairs_reach(vectors, rows, vectors, columns, floor)
        for row, other in zip(rows[reached].tolist(), columns[reached].tolist(), strict=True):
            cosine = exact_cosine(vectors[row], vectors[other])
            if found is None or cosine > found[2]:
                found, floor = (row, other, cosine), max(floor, cosine)
            if not highest:
                return found
    return found


def number_apart(vectors: np.ndarray, ceiling: float) -> int:
    """Return how many rows are left when each one that reaches the ceiling with an earlier, kept one is left out."""
    kept = np.ones(len(vectors), dtype=bool)
    close: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    for rows, columns in pairs_reaching(vectors, ceiling):
        reached = pairs_reach(vectors, rows, vectors, columns, ceiling)
        close.append(np.stack([rows[reached], columns[reached]], axis=1))
    pairs = np.concatenate(close)
    # By row: whether a row stays is known when its later partners are asked for.
    for row, other in pairs[np.argsort(pairs[:, 0], kind="stable")].tolist():
        if kept[row]:
            kept[other] = False
    return int(kept.sum())
