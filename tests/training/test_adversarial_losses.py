"""Each adversarial loss against loops, its gradient against finite differences, penalties against autograd by hand."""

import math

import pytest
import torch
from torch import Tensor

from vec2face.training import adversarial_losses as al

Logits = tuple[list[Tensor], list[Tensor], list[Tensor]]


@pytest.fixture
def judged() -> Logits:
    draws = torch.Generator().manual_seed(2)
    shapes = ((2, 1, 3, 3), (2, 1, 2, 2))
    real, fake = ([torch.randn(*shape, generator=draws).double() * 2 for shape in shapes] for _ in range(2))
    return real, fake, [torch.rand(*shape, generator=draws).double() for shape in shapes]


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def by_loops(kind: str, real: list[Tensor], fake: list[Tensor], weights: list[Tensor]) -> float:
    heads = []
    for r, f, w in zip(real, fake, weights, strict=True):
        rows = list(zip(r.flatten().tolist(), f.flatten().tolist(), w.flatten().tolist(), strict=True))
        share = max(1.0, sum(weight for _, _, weight in rows))
        if kind == "hinge":
            on_real = sum(weight * max(0.0, 1 - a) for a, _, weight in rows) / share
            heads.append(on_real + sum(max(0.0, 1 + b) for _, b, _ in rows) / len(rows))
        elif kind == "least_squares":
            on_real = sum(weight * (a - 1) ** 2 for a, _, weight in rows) / share
            heads.append(0.5 * (on_real + sum(b * b for _, b, _ in rows) / len(rows)))
        else:
            heads.append(sum(weight * softplus(b - a) for a, b, weight in rows) / share)
    return sum(heads) / len(heads)


@pytest.mark.parametrize("kind", al.DISCRIMINATOR_LOSSES)
def test_a_discriminators_loss_and_its_gradient_equal_loops(kind: str, judged: Logits) -> None:
    real, fake, weights = judged
    real, fake = ([x.clone().requires_grad_() for x in part] for part in (real, fake))
    loss = al.DISCRIMINATOR_LOSSES[kind](real, fake, weights)
    assert loss.item() == pytest.approx(by_loops(kind, real, fake, weights), rel=1e-5)
    loss.backward()
    step = 1e-5
    for part in (real, fake):
        for x in part:
            for place in (0, -1):
                moved = []
                for sign in (1, -1):
                    with torch.no_grad():
                        x.view(-1)[place] += sign * step
                        moved.append(by_loops(kind, real, fake, weights))
                        x.view(-1)[place] -= sign * step
                assert x.grad is not None
                assert x.grad.view(-1)[place].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-4)


def test_the_generators_losses_equal_loops(judged: Logits) -> None:
    real, fake, weights = judged
    expected = -sum(float(f.mean()) for f in fake) / 2
    assert al.generator_loss(fake).item() == pytest.approx(expected, rel=1e-5)
    exchanged = by_loops("relativistic", fake, real, weights)
    assert al.relativistic_generator_loss(real, fake, weights).item() == pytest.approx(exchanged, rel=1e-5)


@pytest.mark.parametrize("kind", al.DISCRIMINATOR_LOSSES)
def test_a_patch_that_is_no_real_picture_teaches_nothing_about_real_ones(kind: str) -> None:
    real = torch.zeros(1, 1, 2, 2, requires_grad=True)
    weights = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
    al.DISCRIMINATOR_LOSSES[kind]([real], [torch.zeros(1, 1, 2, 2)], [weights]).backward()
    assert real.grad is not None
    assert real.grad[0, 0, 0, 1] == 0
    assert (real.grad[weights == 1] < 0).all()


def test_patches_are_weighed_by_the_square_of_their_real_share() -> None:
    valid = torch.zeros(1, 1, 8, 8)
    valid[:, :, :, :6] = 1
    (weights,) = al.patch_weights(valid, [torch.zeros(1, 1, 2, 2)])
    assert torch.equal(weights, torch.tensor([[[[1.0, 0.25], [1.0, 0.25]]]]))


def test_the_penalty_of_a_linear_judge_is_half_its_squared_weights_and_trains_them() -> None:
    slope = torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True)

    def judge(inputs: list[Tensor]) -> list[Tensor]:
        # Two heads of two patches each: D(x) is the mean of the four logits.
        score = inputs[0].flatten(1) @ slope.T
        return [torch.cat([score, 3 * score], dim=1), torch.cat([score, score], dim=1)]

    inputs = torch.randn(4, 3, 1, 1, requires_grad=True)
    penalty = al.gradient_penalty(judge, [inputs])
    factor = (1 + 3 + 1 + 1) / 4
    assert penalty.item() == pytest.approx(0.5 * factor**2 * (1 + 4 + 0.25), rel=1e-5)
    penalty.backward()
    assert slope.grad is not None
    assert torch.allclose(slope.grad, factor**2 * slope.detach())
    assert inputs.grad is None


def test_the_penalty_of_a_curved_judge_equals_finite_differences() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.randn(2, 3)
    penalty = al.gradient_penalty(lambda inputs: [layer(inputs[0])[:, :, None, None]], [x])
    step, total = 1e-3, 0.0
    with torch.no_grad():
        for row in range(2):
            for column in range(3):
                shift = torch.zeros(3)
                shift[column] = step
                slope = (layer(x[row] + shift) - layer(x[row] - shift)) / (2 * step)
                total += 0.5 * float(slope) ** 2 / 2
    assert penalty.item() == pytest.approx(total, rel=1e-2)


def test_the_gradient_ratio_of_known_gradients_and_its_bounds() -> None:
    layer = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    other, adversarial = (layer * torch.tensor([3.0, 4.0])).sum(), (layer * torch.tensor([0.0, 2.0])).sum()
    ratio = al.gradient_ratio(other, adversarial, layer)
    assert ratio.item() == pytest.approx(5 / (2 + 1e-4), rel=1e-6)
    assert not ratio.requires_grad
    assert layer.grad is None
    assert al.gradient_ratio(1e6 * other, adversarial * 0, layer).item() == 1e4
    assert al.gradient_ratio(other * 0, adversarial, layer).item() == 0
