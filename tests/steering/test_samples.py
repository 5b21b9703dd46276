"""A sample's own state: Adam against torch's, limits, jumps, and which picture is the best."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ContractError
from vec2face.steering.samples import FreeNumbers, Measurement, SampleState, SteeringInputs, SteeringRequest
from vec2face.steering.targets import Target
from vec2face.steering.warm_start import Jumps, WarmStart, least_move

CODE = np.zeros(2, np.float32)


def free(vector_limit: float = 100.0, code_limit: float = 100.0) -> FreeNumbers:
    return FreeNumbers(
        feature_dim=3,
        code_dim=2,
        sigma_unit=1.0,
        vector_step=0.05,
        code_step=0.1,
        vector_limit=vector_limit,
        code_limit=code_limit,
    )


def seen(loss: float, *, identity_met: bool = True, met: bool = False, problem: str = "") -> Measurement:
    return Measurement(np.zeros((1, 1, 3), np.uint8), {"a": loss}, 1.0, loss, identity_met, met, problem)


def request(*targets: Target) -> SteeringRequest:
    vector = np.zeros(3, np.float32)
    return SteeringRequest(
        index=0, vector=vector, reference=vector, code=CODE, mask_noise=vector, mask_rate=0.5, targets=targets
    )


def state(jumps: Jumps | None = None) -> SampleState:
    return SampleState(request(Target("a", 1, 2, 0.1)), row=np.zeros(5, np.float32), jumps=jumps)


def test_adam_equals_torchs() -> None:
    gradients = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    sample, numbers = state(), free()
    weights = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
    adam = torch.optim.Adam(
        [{"params": [weights[0]], "lr": 0.05}, {"params": [weights[1]], "lr": 0.1}], betas=(0.9, 0.99), eps=1e-8
    )
    for gradient in gradients:
        sample.consider(seen(1.0))
        sample.advance(gradient, numbers)
        weights[0].grad, weights[1].grad = torch.from_numpy(gradient[:3]), torch.from_numpy(gradient[3:])
        adam.step()
        assert sample.row == pytest.approx(torch.cat(weights).detach().numpy(), rel=1e-4, abs=1e-6)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=5, max_size=5), st.floats(0.1, 3), st.floats(0.1, 3))
def test_rows_stay_in_their_balls(values: list[float], vector_limit: float, code_limit: float) -> None:
    row = free(vector_limit, code_limit).confine(np.array(values, np.float32), CODE)
    assert math.sqrt(np.mean(row[:3].astype(float) ** 2)) <= vector_limit * 1.00001
    assert math.sqrt(np.mean(row[3:].astype(float) ** 2)) <= code_limit * 1.00001


def test_a_code_that_starts_outside_is_not_pulled_in() -> None:
    code = np.array([3.0, 3.0], np.float32)
    numbers = free(code_limit=1.0)
    assert np.array_equal(numbers.confine(numbers.start(code), code)[3:], code)


def test_progress_is_a_loss_that_is_clearly_smaller() -> None:
    sample = state()
    stale = []
    for loss in (5.0, 4.0, 4.5, 3.99, 3.0):
        sample.consider(seen(loss))
        stale.append(sample.stale)
    assert stale == [1, 0, 1, 2, 0]


def jump(sample: SampleState, value: float, loss: float) -> None:
    one = Measurement(np.zeros((1, 1, 3), np.uint8), {"a": value}, 1.0, loss, True, False)
    sample.jump(one, free(), best=sample.consider(one))


def test_jumps_learn_the_slope_and_arrive_without_gradients() -> None:
    slope = np.array([0.0, 0, 0, 1, 0])
    sample = state(WarmStart({"a": 3 * slope}).jumps((Target("a", 10, 12, 1),)))
    for _ in range(2):  # the slope is three times too steep, which one jump shows
        value = float(slope @ sample.row)
        jump(sample, value, abs(11 - value))
    assert slope @ sample.row == pytest.approx(11, rel=1e-2)
    assert (sample.evaluations, sample.gradients) == (2, 0)


def test_jumps_that_harm_are_undone_and_gradients_go_on() -> None:
    sample = state(WarmStart({"a": np.array([0.0, 0, 0, 1, 0])}).jumps((Target("a", 10, 12, 1),)))
    rows = []
    for loss in (5.0, 6.0, 7.0):
        jump(sample, -loss, loss)
        rows.append(sample.row)
    assert rows[0].any()
    assert rows[1].any()
    assert not rows[2].any()
    assert sample.jumps is None
    sample.consider(seen(5.0))
    assert (sample.evaluations, sample.gradients) == (4, 1)


def test_the_best_picture_keeps_identity_first_then_meets_targets_then_has_the_least_loss() -> None:
    sample = state()
    order = [
        seen(0.1, identity_met=False),
        seen(4.0),
        seen(0.01, identity_met=False),
        seen(3.0),
        seen(5.0, met=True),
        seen(2.0),
        seen(math.nan, problem="nan"),
    ]
    kept = []
    for one in order:
        sample.consider(one)
        assert sample.best is not None
        kept.append(order.index(sample.best))
    assert kept == [0, 1, 1, 3, 4, 4, 4]
    assert sample.before is order[0]


def test_a_jump_moves_no_further_than_needed() -> None:
    slopes = {"a": np.array([2.0, 0, 0]), "b": np.array([0, 0.5, 0]), "c": np.array([0, 0, 1.0])}
    targets, start = (Target("a", 10, 20, 1), Target("b", -math.inf, 3, 1)), np.zeros(3, np.float32)
    move = WarmStart(slopes).jumps(targets).next(start, {"a": 5, "b": 1}, loss=1.0, best=True)
    assert move == pytest.approx([3.0, 0, 0], rel=1e-2, abs=1e-3)
    assert WarmStart(slopes).jumps(targets).next(start, {"a": 15, "b": 1}, loss=1.0, best=True) is None
    # Attributes that change alike share one move, however the system is scaled.
    alike = np.array([[1.0, 1.0, 0], [1.0, 1.0, 0]])
    assert least_move(alike, np.array([10.0, 10.0])) == pytest.approx([5, 5, 0], rel=1e-2)


def test_warm_starts_that_cannot_be() -> None:
    with pytest.raises(ContractError, match="at least one attribute"):
        WarmStart({})
    with pytest.raises(ContractError, match="NaN"):
        WarmStart({"a": np.array([math.nan])})
    with pytest.raises(ContractError, match="3 numbers, but 5 may move"):
        WarmStart({"a": np.ones(3)}).require_fit(free())


def test_inputs_have_a_row_a_sample() -> None:
    rows = np.zeros((2, 3), np.float32)
    with pytest.raises(ContractError, match="one row a sample"):
        SteeringInputs(vectors=rows, references=rows, codes=rows[:1], mask_noise=rows, mask_rate=rows[:, 0])
