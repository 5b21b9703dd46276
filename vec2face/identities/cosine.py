"""Cosines of many vectors, fast, and decided exactly where it matters.

A float32 matrix product depends in its last bits on the block shape and the machine. Its distance from the true cosine
is bounded, so a comparison with a threshold is settled by the product where it is clear, and by an exact cosine where
it is not: the outcome then depends on the vectors alone.
"""

import math

import numpy as np

_FLOAT32_UNIT_ROUNDOFF = 2.0**-24
# Far beyond the error of a float64 inner product of vectors of any width met here (65,536 * 2^-53 = 7e-12).
_FLOAT64_DOUBT = 1e-10
_PAIRS_AT_ONCE = 4096


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of `vectors` `(N, D)` scaled to length 1, computed in float64, as float32 `(N, D)`."""
    wide = vectors.astype(np.float64)
    wide /= np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return wide.astype(np.float32)


def error_bound(width: int) -> float:
    """How far a float32 product of two rows of `unit_rows` can be from the true cosine, in any order of summation.

    The standard bound n*u / (1 - n*u) on an inner product of n terms (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1), with sum |x_i y_i| <= 1 for unit vectors, and three more roundings for the stored rows.
    """
    terms = (width + 4) * _FLOAT32_UNIT_ROUNDOFF
    return terms / (1.0 - terms)


def exact_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of two float32 vectors `(D,)`, the same to the last bit on every machine.

    Products of float32 numbers are exact in float64 and `math.fsum` rounds their sum once. The cosine of a vector with
    itself is exactly 1.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    return math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))


def reaches(vector: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    """Return for each row of `others` `(P, D)` whether its exact cosine to `vector` `(D,)` is `threshold` or more."""
    rows = np.arange(len(others))
    return pairs_reach(vector[None], np.zeros_like(rows), others, rows, threshold)


def pairs_reach(
    first: np.ndarray, rows: np.ndarray, second: np.ndarray, columns: np.ndarray, threshold: float
) -> np.ndarray:
    """Return for each pair whether the exact cosine of `first[row]` and `second[column]` is `threshold` or more.

    A float64 product settles what is clear; `exact_cosine` decides what lies within its error.

    Args:
        first, second: float32 `(N, D)` and `(M, D)`, no zero rows.
        rows, columns: `(P,)` which vectors make the pairs.
        threshold: a cosine.
    """
    result = np.empty(len(rows), dtype=bool)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        a, b = first[rows[part]].astype(np.float64), second[columns[part]].astype(np.float64)
        lengths = np.sqrt(np.einsum("pd,pd->p", a, a) * np.einsum("pd,pd->p", b, b))
        cosines = np.einsum("pd,pd->p", a, b) / lengths
        result[part] = cosines >= threshold
        for pair in start + np.flatnonzero(np.abs(cosines - threshold) <= _FLOAT64_DOUBT):
            result[pair] = exact_cosine(first[rows[pair]], second[columns[pair]]) >= threshold
    return result
