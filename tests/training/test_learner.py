"""A learner's step: the gradient of the mean over passes, finite or named, scaled for float16."""

import math

import pytest
import torch
from torch import nn

from vec2face.training.learner import Learner, NotFiniteError
from vec2face.training.precision import Precision, autocast
from vec2face.training.processes import Processes

CPU = Processes(device=torch.device("cpu"))


def learner(*, passes: int = 1, precision: Precision = "float32", clip: float | None = None) -> Learner:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    return Learner(
        name="model",
        module=module,
        optimizer=torch.optim.SGD(module.parameters(), lr=0.1),
        passes=passes,
        precision=precision,
        processes=CPU,
        gradient_clip=clip,
    )


def weights(of: Learner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in of.module.parameters()]


def test_two_passes_make_the_step_of_their_whole_batch() -> None:
    data = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    once, twice = learner(clip=0.01), learner(passes=2, clip=0.01)
    once.begin()
    once.backward(once.module(data).square().mean())
    norm = once.finish()
    twice.begin()
    for part in (data[::2], data[1::2]):
        twice.backward(twice.module(part).square().mean())
    assert twice.finish() == pytest.approx(norm, rel=1e-5)
    assert norm > 0.01
    for one, two, before in zip(weights(once), weights(twice), weights(learner()), strict=True):
        assert torch.allclose(one, two, atol=1e-7)
        assert not torch.equal(one, before)
    moved = sum(float((a - b).square().sum()) for a, b in zip(weights(once), weights(learner()), strict=True))
    assert math.sqrt(moved) == pytest.approx(0.1 * 0.01, rel=1e-3), "the gradient is clipped to its largest norm"


def test_a_step_without_a_loss_changes_nothing() -> None:
    idle = learner()
    before = weights(idle)
    idle.begin()
    assert math.isnan(idle.finish())
    assert all(torch.equal(a, b) for a, b in zip(before, weights(idle), strict=True))


def test_a_gradient_that_is_not_finite_is_named_and_changes_nothing() -> None:
    broken = learner(clip=1.0)
    before = weights(broken)
    broken.begin()
    # The square root's slope at 0 is infinite, though its value is 0.
    bias = broken.module[2].bias
    broken.backward((broken.module(torch.ones(1, 3)) * 0).sum() + (bias - bias.detach()).abs().sqrt().sum())
    with pytest.raises(NotFiniteError, match=r"the gradient of model\.2\.bias is not finite"):
        broken.finish()
    assert all(torch.equal(a, b) for a, b in zip(before, weights(broken), strict=True))


def test_float16_skips_a_step_that_overflows_and_scales_the_next_one_less() -> None:
    half = learner(precision="float16")
    before = weights(half)
    scale = half.state()["scaler"]["scale"]

    def step(factor: float) -> float:
        half.begin()
        with autocast(CPU.device, "float16"):
            output = half.module(torch.ones(2, 3))
        half.backward(output.float().square().mean() * factor)
        return half.finish()

    assert step(1e30) == math.inf
    assert all(torch.equal(a, b) for a, b in zip(before, weights(half), strict=True))
    assert half.state()["scaler"]["scale"] < scale
    kept = half.state()
    again = learner(precision="float16")
    again.restore(kept)
    assert again.state()["scaler"] == kept["scaler"]
    while not math.isfinite(step(1.0)):
        pass
    assert not all(torch.equal(a, b) for a, b in zip(before, weights(half), strict=True))


def test_float16_gives_up_where_no_scale_helps() -> None:
    half = learner(precision="float16")

    def overflow_often() -> None:
        for _ in range(60):
            half.begin()
            half.backward(half.module(torch.ones(2, 3)).mean() * math.inf)
            half.finish()

    with pytest.raises(NotFiniteError, match="and 3 more parameters is not finite"):
        overflow_often()
