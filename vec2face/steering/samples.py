"""One sample's part in steering: what it starts from, its own Adam, and the best picture it has had. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vec2face.contracts import require_same_width
from vec2face.errors import ContractError
from vec2face.steering.targets import Target

if TYPE_CHECKING:
    from vec2face.steering.warm_start import Jumps

Status = Literal["converged", "capped", "rejected"]

_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
# A loss smaller by this share is progress.
_PROGRESS = 0.01


@dataclass(frozen=True, eq=False)
class SteeringRequest:
    """One sample: what it starts from, and what is asked of it.

    Attributes:
        index: a number that names it in results.
        vector, reference, code, mask_noise: float32 rows.
        mask_rate: share of tokens masked.
        targets: one for each estimator.
    """

    index: int
    vector: np.ndarray
    reference: np.ndarray
    code: np.ndarray
    mask_noise: np.ndarray
    mask_rate: float
    targets: tuple[Target, ...]


@dataclass(frozen=True, eq=False)
class SteeringInputs:
    """What N samples start from; everything random is drawn before and stays fixed.

    Attributes:
        vectors: float32 `(N, D)` vectors that are rendered at first, raw feature units.
        references: float32 `(N, D)` vectors of the identities, which the cosine is taken to.
        codes: float32 `(N, A)` appearance codes; A is 0 for a generator that takes none.
        mask_noise: float32 `(N, 49)` in [0, 1).
        mask_rate: float32 `(N,)`.
    """

    vectors: np.ndarray
    references: np.ndarray
    codes: np.ndarray
    mask_noise: np.ndarray
    mask_rate: np.ndarray

    def __post_init__(self) -> None:
        rows = {len(part) for part in (self.vectors, self.references, self.codes, self.mask_noise, self.mask_rate)}
        if len(rows) != 1:
            raise ContractError("vectors, references, codes and masks of steering must have one row a sample each.")
        require_same_width("the reference", self.references.shape[1], "the identity vector", self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)

    def request(self, index: int, targets: tuple[Target, ...]) -> SteeringRequest:
        """Return one row, with what is asked of it."""
        return SteeringRequest(
            index=index,
            vector=self.vectors[index],
            reference=self.references[index],
            code=self.codes[index],
            mask_noise=self.mask_noise[index],
            mask_rate=float(self.mask_rate[index]),
            targets=targets,
        )


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one pass says of one sample.

    Attributes:
        pixels: uint8 `(112, 112, 3)` RGB, as they would be delivered.
        values: {attribute: value in its unit}.
        identity: cosine to the reference; NaN where identity is not watched.
        loss: sum of the terms, in tolerances.
        identity_met: whether the cosine is at its floor or above; True where identity is not watched.
        met: whether identity and every attribute are accepted.
        problem: what is not finite, or "".
        encoded: the picture's file, where samples are measured as encoded.
    """

    pixels: np.ndarray
    values: Mapping[str, float]
    identity: float
    loss: float
    identity_met: bool
    met: bool
    problem: str = ""
    encoded: bytes | None = None


@dataclass(frozen=True, eq=False)
class SteeredSample:
    """How a sample ended.

    Attributes:
        index: its row in the inputs.
        status: "converged": every target is met and identity kept, as measured on the delivered pixels. "capped":
            identity is kept but a target not met, and the passes ran out or brought it no nearer any more. "rejected":
            identity is below its floor in the best picture, or a network or an estimator gave NaN or infinity.
        reason: one sentence for a sample that did not converge, or "".
        before, after: what was measured at first and of the picture that is delivered, the best there was.
        vector, code: float32 `(D,)`, `(A,)` that `after` was rendered from.
        evaluations: passes through the generator that this sample took.
        gradients: how many of them also went back, for a gradient.
    """

    index: int
    status: Status
    reason: str
    before: Measurement
    after: Measurement
    vector: np.ndarray
    code: np.ndarray
    evaluations: int
    gradients: int


class FreeNumbers:
    """The numbers of a sample that may move, as one row, and what they stand for.

    A row is the vector's move in sigma units (D numbers, or none) and then the appearance code (A numbers, or none).
    The moved vector keeps its length, as varied vectors do. Both parts stay inside a ball, so that no sample can wander
    off what the generator was trained on.

    Args:
        feature_dim, code_dim: D and A; 0 for a part that stays fixed.
        sigma_unit: raw feature units that one sigma means.
        vector_step, code_step: step sizes, in sigma units and standard deviations.
        vector_limit, code_limit: radii, root mean square; a code that starts outside may stay as far out.
    """

    def __init__(
        self,
        *,
        feature_dim: int,
        code_dim: int,
        sigma_unit: float,
        vector_step: float,
        code_step: float,
        vector_limit: float,
        code_limit: float,
    ) -> None:
        self.feature_dim, self.code_dim, self.sigma_unit = feature_dim, code_dim, sigma_unit
        self.width = feature_dim + code_dim
        self.steps = np.concatenate([np.full(feature_dim, vector_step), np.full(code_dim, code_step)]).astype(
            np.float32
        )
        self._limits = vector_limit, code_limit

    def start(self, code: np.ndarray) -> np.ndarray:
        """Return the row `(width,)` of a sample that has not moved."""
        return np.concatenate([np.zeros(self.feature_dim, np.float32), code[: self.code_dim]]).astype(np.float32)

    def confine(self, row: np.ndarray, code: np.ndarray) -> np.ndarray:
        """Return the row drawn back into its balls; `code` is the one the sample started from."""
        vector_limit, code_limit = self._limits
        moved = _within(row[: self.feature_dim], vector_limit)
        return np.concatenate([moved, _within(row[self.feature_dim :], max(code_limit, _rms(code)))])


class SampleState:
    """A sample under way. Nothing in it is shared with another sample.

    Args:
        request: what it starts from and what is asked.
        row: `(width,)` the free numbers it starts from.
        jumps: what it jumps by first, while there is one; a pass for a jump goes back for no gradient.
    """

    def __init__(self, request: SteeringRequest, *, row: np.ndarray, jumps: "Jumps | None" = None) -> None:
        self.request, self.row, self.jumps = request, row, jumps
        self.evaluations = self.gradients = 0
        self.stale = 0
        self.before: Measurement | None = None
        self.best: Measurement | None = None
        self.best_row = row
        self._mean = np.zeros_like(row)
        self._square = np.zeros_like(row)
        self._steps = 0

    def consider(self, seen: Measurement) -> bool:
        """Take note of a pass: the first is what the sample was, the best is kept. Tell whether this is the best."""
        self.evaluations += 1
        self.gradients += self.jumps is None
        self.stale += 1
        if self.before is None:
            self.before = self.best = seen
            return True
        if self.best is not None:
            if not _better(seen, self.best):
                return False
            if _nearer(seen, self.best):
                self.stale = 0
        self.best, self.best_row = seen, self.row
        return True

    def jump(self, seen: Measurement, free: FreeNumbers, *, best: bool) -> None:
        """Take the next jump; where there is none, go on by gradients, from the best row there was."""
        if self.jumps is None:
            return
        row = self.jumps.next(self.row, seen.values, loss=seen.loss, best=best)
        confined = None if row is None else free.confine(row, self.request.code)
        if confined is None or np.array_equal(confined, self.row):
            self.jumps, self.row, self.stale = None, self.best_row, 0
        else:
            self.row = confined

    def advance(self, gradient: np.ndarray, free: FreeNumbers) -> None:
        """Take one step of Adam (arXiv 1412.6980)."""
        self._steps += 1
        first, second = _BETAS
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient**2
        mean = self._mean / (1 - first**self._steps)
        square = self._square / (1 - second**self._steps)
        moved = self.row - free.steps * mean / (np.sqrt(square) + _EPSILON)
        self.row = free.confine(moved.astype(np.float32), self.request.code)


def _nearer(seen: Measurement, best: Measurement) -> bool:
    """Whether a better picture is so much better that it counts as progress."""
    return seen.identity_met != best.identity_met or seen.met or seen.loss < (1 - _PROGRESS) * best.loss


def _better(seen: Measurement, best: Measurement) -> bool:
    """Whether identity is kept and was not, or else the loss is smaller."""
    if seen.problem or best.problem:
        return not seen.problem
    if seen.identity_met != best.identity_met:
        return seen.identity_met
    # A picture that meets every target beats one that is nearer to the middle of one of them.
    return (not seen.met, seen.loss) < (not best.met, best.loss)


def _rms(row: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(row, dtype=np.float64)))) if len(row) else 0.0


def _within(row: np.ndarray, limit: float) -> np.ndarray:
    size = _rms(row)
    return row if size <= limit else (row * np.float32(limit / size)).astype(np.float32)
