"""Frechet distance between two sets of embeddings, its sampling bias, and an interval.

The distance is that of the Gaussians with the sets' means and covariances (Dowson and Landau 1982; on network features:
Heusel et al. 2017, arXiv 1706.08500):

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))

in squared feature units. Estimated from samples it is too large, the more so the fewer there are: of one distribution's
two halves it is not 0. So it is compared with that of two halves of real faces at the same number of images
(`vec2face.evaluation.realism`), and a bootstrap estimates the bias itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vec2face.errors import InputError

Array = NDArray[np.float64]
Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of a set of vectors, float64."""

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, vectors: Vectors, weights: NDArray[np.integer] | None = None) -> "Gaussian":
        """Measure vectors (N, D), each counted as often as `weights` (N,) says, or once.

        The covariance has the usual divisor n - 1, where n is the sum of the weights.

        Raises:
            InputError: fewer than two vectors.
        """
        counts = np.ones(len(vectors)) if weights is None else np.asarray(weights, np.float64)
        total = counts.sum()
        if total < 2:
            raise InputError(f"a covariance needs at least two faces, not {int(total)}.")
        values = np.asarray(vectors, np.float64)
        mean = counts @ values / total
        centred = values - mean
        return cls(mean, (centred * counts[:, None]).T @ centred / (total - 1))


def psd_root(matrix: Array) -> Array:
    """Return the symmetric square root of a symmetric positive semidefinite (D, D) matrix, by eigendecomposition.

    Eigenvalues within rounding of zero, negative ones among them, count as zero: without that the root of a covariance
    of fewer images than dimensions would be off by the square root of the rounding error.
    """
    values, directions = np.linalg.eigh((matrix + matrix.T) / 2)
    floor = len(values) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    roots = np.sqrt(np.where(values > floor, values, 0.0))
    root: Array = (directions * roots) @ directions.T
    return root


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Return the squared Frechet distance of two Gaussians, 0 or more, in squared feature units.

    tr((C1 C2)^(1/2)) is the sum of the singular values of C1^(1/2) C2^(1/2): real, whatever the covariances' ranks.
    """
    cross = np.linalg.svd(psd_root(one.covariance) @ psd_root(other.covariance), compute_uv=False).sum()
    spread = np.trace(one.covariance) + np.trace(other.covariance) - 2 * cross
    return max(0.0, float(np.square(one.mean - other.mean).sum() + spread))


@dataclass(frozen=True)
class CorrectedDistance:
    """A Frechet distance of all images, and what a bootstrap over people says of it.

    Attributes:
        plain: as computed, biased upwards.
        corrected: plain minus the bootstrap's estimate of its bias; near 0, and then possibly below, for two samples
            of one distribution.
        low, high: basic (reverse percentile) bootstrap interval of the corrected distance, 95 %.
        resamples: how many resamples it rests on.
    """

    plain: float
    corrected: float
    low: float
    high: float
    resamples: int


def bootstrap_distance(
    faces: Vectors,
    face_people: NDArray[np.integer],
    reference: Vectors,
    reference_people: NDArray[np.integer],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> CorrectedDistance:
    """Resample the people of both sets with replacement (a person's images stay together) and measure each time.

    A resample is to the sample what the sample is to the population, so by how much resampling raises the distance
    estimates by how much sampling did.

    Args:
        faces, reference: vectors (N, D), (M, D).
        face_people, reference_people: a number for each image's person, (N,), (M,).
        resamples: 2 or more.
        rng: the stream to draw from.
    """
    plain = frechet_distance(Gaussian.of(faces), Gaussian.of(reference))
    draws = np.array(
        [
            frechet_distance(
                Gaussian.of(faces, resampled(face_people, rng)),
                Gaussian.of(reference, resampled(reference_people, rng)),
            )
            for _ in range(resamples)
        ]
    )
    low, high = np.quantile(draws, (0.025, 0.975))
    return CorrectedDistance(
        plain, float(2 * plain - draws.mean()), float(2 * plain - high), float(2 * plain - low), resamples
    )


def resampled(people: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw as many people as there are, with replacement; return how often each image (N,) then counts."""
    numbers, member = np.unique(people, return_inverse=True)
    counts = np.bincount(rng.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
    drawn: NDArray[np.int64] = counts[member]
    return drawn
