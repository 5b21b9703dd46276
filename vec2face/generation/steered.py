"""The images of a shard, steered: each moved until it measures what was asked, drawn again where that failed."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vec2face.errors import ContractError
from vec2face.generation.attributes import AttributePlan
from vec2face.generation.manifest import KEPT
from vec2face.generation.noise import Draws, draw
from vec2face.generation.plan import Plan, ShardPlan, sample_key
from vec2face.generation.shard import NOT_FINITE, FinishedImage, drawn_facts
from vec2face.identities.slices import BankSlices
from vec2face.steering.distributions import Wanted
from vec2face.steering.optimise import Steering
from vec2face.steering.samples import SteeredSample, SteeringRequest

MISSED = "rejected: it does not measure what was asked"
IDENTITY_LOST = "rejected: it does not look like its identity"


def steered_images(plan: Plan, shard: ShardPlan, bank: BankSlices, steering: Steering) -> Iterator[list[FinishedImage]]:
    """Yield the images of a shard in order, as they get ready; none while an earlier one is still under way.

    Which others are under way does not change an image, nor does the order in which they end.

    Raises:
        ContractError: the plan asks for no attributes.
    """
    if plan.attributes is None:
        raise ContractError("a plan without attributes has nothing to steer to.")
    return _SteeredShard(plan, plan.attributes, shard, bank).finished(steering)


@dataclass(frozen=True)
class _Attempt:
    """One draw of an image: its place in the shard, what was drawn, and how often it had been drawn before."""

    place: int
    draws: Draws
    number: int


@dataclass
class _Spent:
    """What all draws of an image took, and the best of those that are over."""

    passes: int = 0
    gradients: int = 0
    best: "tuple[_Attempt, SteeredSample] | None" = None


class _SteeredShard:
    def __init__(self, plan: Plan, attributes: AttributePlan, shard: ShardPlan, bank: BankSlices) -> None:
        self._plan, self._attributes, self._shard, self._bank = plan, attributes, shard, bank
        self._again: deque[_Attempt] = deque()
        self._under_way: dict[int, _Attempt] = {}
        self._spent: dict[int, _Spent] = {}
        self._wanted: dict[int, list[tuple[Wanted, ...]]] = {}

    def finished(self, steering: Steering) -> Iterator[list[FinishedImage]]:
        fresh = self._fresh()
        ready: dict[int, FinishedImage] = {}
        following = 0

        def take() -> SteeringRequest | None:
            attempt = self._again.popleft() if self._again else next(fresh, None)
            return None if attempt is None else self._request(attempt)

        for sample in steering.stream(take):
            image = self._end(sample)
            if image is not None:
                ready[sample.index] = image
            first = following
            while following in ready:
                following += 1
            yield [ready.pop(place) for place in range(first, following)]

    def _fresh(self) -> Iterator[_Attempt]:
        per_identity = self._plan.recipe.images_per_identity
        for place in range(self._shard.images):
            yield self._draw(place, *divmod(place, per_identity), number=0)

    def _draw(self, place: int, row: int, image: int, *, number: int) -> _Attempt:
        identity = self._shard.first_identity + row
        vector = self._bank.rows(identity, 1)[0]
        return _Attempt(place, draw(self._plan, vector, identity, image, 1, attempt=number), number)

    def _request(self, attempt: _Attempt) -> SteeringRequest:
        draws = attempt.draws
        identity = int(draws.identity[0])
        self._under_way[attempt.place] = attempt
        return SteeringRequest(
            index=attempt.place,
            vector=draws.features[0],
            reference=self._bank.rows(identity, 1)[0],
            code=draws.appearance[0],
            mask_noise=draws.mask_noise[0],
            mask_rate=float(draws.mask_rate[0]),
            targets=tuple(one.target for one in self._asked(identity, int(draws.image[0]))),
        )

    def _asked(self, identity: int, image: int) -> tuple[Wanted, ...]:
        if identity not in self._wanted:
            recipe = self._plan.recipe
            every = self._attributes.wanted(recipe.images_per_identity, seed=recipe.seed, identity=identity)
            self._wanted[identity] = every
        return self._wanted[identity][image]

    def _end(self, sample: SteeredSample) -> FinishedImage | None:
        """Return the image that a sample ended, or None where it is drawn again."""
        attempt = self._under_way.pop(sample.index)
        spent = self._spent.setdefault(sample.index, _Spent())
        spent.passes += sample.evaluations
        spent.gradients += sample.gradients
        if spent.best is None or _rank(sample) < _rank(spent.best[1]):
            spent.best = attempt, sample
        if sample.status != "converged" and attempt.number < self._attributes.settings.redraws:
            row, image = divmod(attempt.place, self._plan.recipe.images_per_identity)
            self._again.append(self._draw(attempt.place, row, image, number=attempt.number + 1))
            return None
        del self._spent[sample.index]
        best, ended = spent.best
        return self._image(best, ended, spent, redraws=best.number)

    def _image(self, attempt: _Attempt, sample: SteeredSample, spent: _Spent, *, redraws: int) -> FinishedImage:
        draws, after = attempt.draws, sample.after
        identity, image = int(draws.identity[0]), int(draws.image[0])
        steered: dict[str, Any] = {
            "steering": sample.status,
            "steering_reason": sample.reason or None,
            "steering_passes": spent.passes,
            "steering_gradients": spent.gradients,
            "redraws": redraws,
            "steering_identity": _finite(after.identity),
        }
        for name, asked in zip(self._attributes.names, self._asked(identity, image), strict=True):
            steered[f"requested_{name}"] = asked.value
            # As compared: with float32 values.
            steered[f"requested_{name}_low"] = _finite(float(np.float32(asked.target.low)))
            steered[f"requested_{name}_high"] = _finite(float(np.float32(asked.target.high)))
            steered[f"measured_{name}"] = _finite(after.values[name])
        status = self._status(sample)
        return FinishedImage(
            key=sample_key(identity, image),
            facts=drawn_facts(self._plan, self._bank, draws, 0),
            steered=steered,
            status=status,
            data=after.encoded if status == KEPT else None,
        )

    def _status(self, sample: SteeredSample) -> str:
        if sample.status == "converged":
            return KEPT
        if sample.status == "capped":
            return KEPT if self._attributes.settings.capped == "keep" else MISSED
        return NOT_FINITE if sample.after.problem or sample.after.identity_met else IDENTITY_LOST


def _rank(sample: SteeredSample) -> tuple[int, float]:
    """How good an attempt was: converged before capped before rejected, then by its loss."""
    order = ("converged", "capped", "rejected")
    loss = sample.after.loss
    return order.index(sample.status), loss if math.isfinite(loss) else math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
