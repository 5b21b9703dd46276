"""How a set's people are divided over groups, from a probe that errs: what it counts, and what that says.

A probe counts each image for one group. Of the faces held out when it was fitted, `confusion[t, c]` of group t were
counted for c. If it errs on a set as it did there, the counted shares q and the true ones p are bound by q = C^T p, C
being the confusion with each row divided by its sum; p is the least-squares solution that is a share of each group.
For two groups that is the estimator of Rogan and Gladen (1978). Images were counted there, so images are counted here,
each identity weighing the same: the mean of an identity's images would err less than the confusion says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

DRAWS = 400
LEVEL = 0.95
# Conventions: deviations beyond these, more than sampling gives hundreds of people, speak against the correction.
UNEXPLAINED = 0.02
DISAGREEMENT = 0.03
_SUM_WEIGHT = 1e3  # of the equation that shares add up to one, beside those of the counts


@dataclass(frozen=True)
class GroupShares:
    """Shares of the groups of a probe.

    Attributes:
        counted: (K,) share of the images counted for each group, each identity weighing the same.
        corrected: (K,) the shares that would give these counts.
        low, high: (K,) ends of the interval that holds 95 % of `corrected` over draws of other people for the set, and
            of other faces for the confusion. It knows nothing of the probe erring otherwise on these pictures.
        agreement: share of pairs of images of one person that are counted for one group, persons weighing the same;
            None where all identities have one image.
        expected: the same for people of `corrected` shares whose images are judged independently by the confusion.
            Errors that stay with a person raise it; so where the agreement is lower, the probe errs more.
        unexplained: half the sum of the differences between `counted` and what `corrected` would give.
    """

    counted: Shares
    corrected: Shares
    low: Shares
    high: Shares
    agreement: float | None
    expected: float
    unexplained: float

    def doubt(self, *, lasting: bool) -> str:
        """Why the correction does not hold for these pictures, part of a sentence; "" where nothing speaks against it.

        Args:
            lasting: whether somebody is in one group in every picture.
        """
        if self.unexplained > UNEXPLAINED:
            return "no shares of the groups would be counted so if the probe erred here as on photographs"
        if lasting and self.agreement is not None and self.agreement < self.expected - DISAGREEMENT:
            return "a person's images are counted for different groups more often than errors as on photographs allow"
        return ""


def measure_shares(
    counted_for: NDArray[np.integer], starts: NDArray[np.integer], confusion: NDArray[np.integer], *, seed: int
) -> GroupShares:
    """Estimate the shares of groups.

    Args:
        counted_for: (N,) group of each image, sorted by identity.
        starts: (P + 1,) where each identity's images begin; see `vec2face.evaluation.people.People`.
        confusion: (K, K) counts on faces held out, rows the true groups, columns the counted ones.
        seed: of the interval's draws.
    """
    groups = len(confusion)
    votes = np.add.reduceat(np.eye(groups)[counted_for], starts[:-1])
    images = np.diff(starts)
    people = votes / images[:, None]
    several = images >= 2
    counted = people.mean(axis=0)
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    corrected = correct(counted, rates)
    pairs = (votes * (votes - 1)).sum(axis=1)[several] / (images * (images - 1))[several]
    drawn = _draw(people, confusion, np.random.default_rng(seed))
    tail = (1 - LEVEL) / 2
    return GroupShares(
        counted=counted,
        corrected=corrected,
        low=np.quantile(drawn, tail, axis=0),
        high=np.quantile(drawn, 1 - tail, axis=0),
        agreement=float(pairs.mean()) if several.any() else None,
        expected=float(corrected @ np.square(rates).sum(axis=1)),
        unexplained=float(np.abs(corrected @ rates - counted).sum() / 2),
    )


def correct(counted: Shares, rates: Shares) -> Shares:
    """Solve counted = rates^T shares for shares (K,), none negative, that add up to 1.

    Args:
        counted: (K,) shares.
        rates: (K, K) of each true group (row), the share that is counted for each group.
    """
    from scipy.optimize import nnls

    groups = len(counted)
    equations = np.vstack([rates.T, np.full((1, groups), _SUM_WEIGHT)])
    found, _ = nnls(equations, np.append(counted, _SUM_WEIGHT))
    return np.asarray(found / found.sum())


def _draw(people: Shares, confusion: NDArray[np.integer], rng: np.random.Generator) -> Shares:
    """Return (DRAWS, K) corrected shares for other people and other faces held out.

    Means of people are drawn from the normal distribution that they tend to, rows of the confusion from the Dirichlet
    distribution that their counts leave (Jeffreys' prior).
    """
    groups = people.shape[1]
    spread = np.cov(people, rowvar=False) / len(people) if len(people) > 1 else np.zeros((groups, groups))
    counted = rng.multivariate_normal(people.mean(axis=0), spread, DRAWS, method="eigh").clip(0)
    rates = np.stack([rng.dirichlet(row + 0.5, DRAWS) for row in confusion], axis=1)
    return np.stack([correct(one / one.sum(), table) for one, table in zip(counted, rates, strict=True)])
