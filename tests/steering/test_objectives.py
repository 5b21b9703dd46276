"""Terms: their values against plain loops, their gradients, and that no sample feels another."""

import math

import numpy as np
import pytest
import torch

from vec2face.errors import ContractError, InputError, WeightsError
from vec2face.steering.estimators import AttributeEstimator, SharedNetwork, measure
from vec2face.steering.image_statistics import Brightness, Contrast, Sharpness
from vec2face.steering.objectives import identity_term, interval_term
from vec2face.steering.targets import AttributeFacts


def faces(count: int = 3) -> torch.Tensor:
    return torch.rand((count, 3, 112, 112), generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_an_interval_term_counts_tolerances() -> None:
    values = torch.tensor([0.0, 9.0, 12.0, 15.0, 30.0, 30.0, 5.0])
    low = torch.tensor([10.0, 10.0, 10.0, 10.0, 10.0, -math.inf, -math.inf])
    high = torch.tensor([20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0])
    term = interval_term(values, low=low, high=high, margin=torch.full((7,), 2.0), tolerance=4.0)
    assert term.loss.tolist() == [3.0, 0.75, 0.0, 0.0, 3.0, 3.0, 0.0]
    assert term.met.tolist() == [False, False, True, True, False, False, True]


def test_the_slope_is_one_tolerance_each_and_nothing_where_met() -> None:
    values = torch.tensor([0.0, 15.0, 90.0], requires_grad=True)
    ends = {"low": torch.full((3,), 10.0), "high": torch.full((3,), 20.0), "margin": torch.ones(3)}
    interval_term(values, **ends, tolerance=5.0).loss.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([-0.2, 0.0, 0.2])


def test_nan_stays_with_its_sample() -> None:
    values = torch.tensor([math.nan, 1.0])
    term = interval_term(values, low=torch.zeros(2), high=torch.full((2,), 2.0), margin=torch.zeros(2), tolerance=1.0)
    assert term.loss.isnan().tolist() == [True, False]
    assert term.met.tolist() == [False, True]


def test_the_identity_hinge() -> None:
    references = torch.eye(4)[:2]
    term = identity_term(torch.tensor([[5.0, 0, 0, 0], [3.0, 4.0, 0, 0]]), references, floor=0.9)
    assert term.measured.tolist() == pytest.approx([1.0, 0.8])
    assert term.loss.tolist() == pytest.approx([0.0, (0.91 - 0.8) / 0.05], rel=1e-5)
    assert term.met.tolist() == [True, False]
    # A floor of 1 is a cosine that can be had.
    assert identity_term(torch.eye(4)[:1], torch.eye(4)[:1], floor=1.0).loss.item() == 0


def test_image_statistics_equal_plain_loops() -> None:
    images = faces(2)
    levels = (images.numpy().astype(np.float64) + 1) * 127.5
    grey = 0.2126 * levels[:, 0] + 0.7152 * levels[:, 1] + 0.0722 * levels[:, 2]
    laplacian = [
        [
            one[y - 1, x] + one[y + 1, x] + one[y, x - 1] + one[y, x + 1] - 4 * one[y, x]
            for x in range(1, 111)
            for y in range(1, 111)
        ]
        for one in grey
    ]
    assert Brightness().estimate(images).tolist() == pytest.approx(grey.mean(axis=(1, 2)).tolist(), rel=1e-5)
    assert Contrast().estimate(images).tolist() == pytest.approx(grey.std(axis=(1, 2)).tolist(), rel=1e-5)
    expected = np.sqrt(np.mean(np.square(laplacian), axis=1)).tolist()
    assert Sharpness().estimate(images).tolist() == pytest.approx(expected, rel=1e-5)


def test_extreme_pictures_measure_what_the_definition_says_and_keep_a_gradient() -> None:
    checker = ((torch.arange(112)[:, None] + torch.arange(112)) % 2 * 2 - 1).float().expand(1, 3, 112, 112)
    assert Contrast().estimate(checker).item() == pytest.approx(127.5, rel=1e-5)
    assert Sharpness().estimate(checker).item() == pytest.approx(1020, rel=1e-5)
    flat = torch.zeros((1, 3, 112, 112), requires_grad=True)
    (Contrast().estimate(flat) + Sharpness().estimate(flat)).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


@pytest.mark.parametrize("estimator", [Brightness(), Contrast(), Sharpness()])
def test_a_value_depends_on_its_own_image_alone(estimator: AttributeEstimator) -> None:
    images = faces().requires_grad_()
    (gradient,) = torch.autograd.grad(measure(estimator, images)[1], images)
    assert not gradient[0].any()
    assert not gradient[2].any()
    assert gradient[1].any()
    assert estimator.facts.low <= estimator.estimate(images)[0].item() <= estimator.facts.high


class _Given(AttributeEstimator):
    facts = AttributeFacts("thing", "u", 0, 1, tolerance=0.1)

    def __init__(self, function) -> None:
        self._function = function

    def estimate(self, images: torch.Tensor) -> torch.Tensor:
        return self._function(images)


def test_estimators_that_do_not_fit_are_named() -> None:
    images = faces().requires_grad_()
    with pytest.raises(ContractError, match=r"estimator of thing gave values of shape \(\) for 3 images"):
        measure(_Given(lambda batch: batch.mean()), images)
    with pytest.raises(ContractError, match="estimator of thing passes no gradient"):
        measure(_Given(lambda batch: batch.detach().mean(dim=(1, 2, 3))), images)
    with pytest.raises(ContractError, match="estimator of thing gave values in a list for 3 images"):
        measure(_Given(lambda batch: batch.mean(dim=(1, 2, 3)).tolist()), images)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such layer.\nAnd more."), "ValueError: no such layer"),
        (KeyError("layer"), "KeyError: 'layer'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_estimator_that_raises_is_named_with_the_first_line(error: Exception, said: str) -> None:
    def broken(images: torch.Tensor) -> torch.Tensor:
        raise error

    with pytest.raises(InputError) as caught:
        measure(_Given(broken), faces())
    whole = (
        f"the estimator of thing ({__name__}:_Given) failed on 3 images ({said}); mend it, or leave the attribute out."
    )
    assert str(caught.value) == whole
    assert caught.value.__cause__ is error


def test_a_mistake_that_an_estimator_tells_of_is_passed_on() -> None:
    def missing(images: torch.Tensor) -> torch.Tensor:
        raise WeightsError("the weights are not here.")

    with pytest.raises(WeightsError, match="the weights are not here"):
        measure(_Given(missing), faces())


def test_a_shared_network_runs_once_for_a_batch() -> None:
    calls = []
    shared = SharedNetwork(lambda batch: calls.append(1) or batch * 2)
    first, second = faces(1), faces(1)
    assert shared(first) is shared(first)
    assert torch.equal(shared(second), second * 2)
    assert len(calls) == 2
