"""A sample's own state: Adam against torch's, limits, jumps, and which picture is the best."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vec2face.errors import ContractError
from vec2face.steering.samples import FreeNumbers, Measurement, SampleState, SteeringInputs
from vec2face.steering.targets import Target
from vec2face.steering.warm_start import WarmStart

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


def state(row: np.ndarray | None = None) -> SampleState:
    start = np.zeros(5, np.float32) if row is None else row
    return SampleState(index=0, row=start, targets=(Target("a", 1, 2, 0.1),))


def test_adam_equals_torchs() -> None:
    gradients = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    sample, numbers = state(), free()
    weights = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
    adam = torch.optim.Adam(
        [{"params": [weights[0]], "lr": 0.05}, {"params": [weights[1]], "lr": 0.1}], betas=(0.9, 0.99), eps=1e-8
    )
    for gradient in gradients:
        sample.consider(seen(1.0))
        sample.advance(gradient, numbers, CODE)
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


def test_a_jump_that_helps_is_gone_on_from() -> None:
    sample, target = state(), np.ones(5, np.float32)
    sample.consider(seen(5.0))
    sample.jump(target, np.ones(5, np.float32))
    sample.consider(seen(1.0))
    sample.advance(np.zeros(5, np.float32), free(), CODE)
    assert np.array_equal(sample.row, target)


def test_a_jump_that_harms_is_undone() -> None:
    plain, jumped = state(), state()
    gradient = np.array([1, -1, 2, 0, 3], np.float32)
    plain.consider(seen(1.0))
    plain.advance(gradient, free(), CODE)
    jumped.consider(seen(1.0))
    jumped.jump(np.full(5, 9.0, np.float32), gradient)
    jumped.consider(seen(2.0))
    jumped.advance(np.full(5, 7.0, np.float32), free(), CODE)
    assert np.array_equal(jumped.row, plain.row)
    assert jumped.evaluations == 2


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


def test_a_warm_start_moves_no_further_than_needed() -> None:
    slopes = {"a": np.array([2.0, 0, 0]), "b": np.array([0, 0.5, 0]), "c": np.array([0, 0, 1.0])}
    targets = (Target("a", 10, 20, 1), Target("b", -math.inf, 3, 1))
    move = WarmStart(slopes).move({"a": 5, "b": 1}, targets)
    assert move == pytest.approx([3.0, 0, 0], rel=1e-2, abs=1e-3)
    assert not WarmStart(slopes).move({"a": 15, "b": 1}, targets).any()
    # Attributes that change alike share one move, however the system is scaled.
    alike = WarmStart({"a": np.array([1.0, 1.0, 0]), "b": np.array([1.0, 1.0, 0])})
    both = alike.move({"a": 0, "b": 0}, (Target("a", 10, 20, 0), Target("b", 10, 20, 0)))
    assert both == pytest.approx([5, 5, 0], rel=1e-2)


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
