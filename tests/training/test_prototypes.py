"""The loss against the people of the batch, beside a naive reference."""

import math

import pytest
import torch
from torch import Tensor

from vec2face.training.prototypes import prototype_loss


def naive(embeddings: Tensor, labels: Tensor, images: int, scale: float) -> float:
    people = len(labels) // images
    units = [row / row.norm() for row in embeddings]
    total = 0.0
    for place, unit in enumerate(units):
        own = place % people
        scores = {}
        for person in range(people):
            if person != own and labels[person] == labels[own]:
                continue
            members = [units[k * people + person] for k in range(images) if k * people + person != place]
            mean = torch.stack(members).mean(dim=0)
            scores[person] = scale * float(unit @ mean / mean.norm())
        total -= scores[own] - math.log(sum(math.exp(score) for score in scores.values()))
    return total / len(units)


@pytest.mark.parametrize(("images", "labels"), [(2, [3, 1, 7]), (3, [0, 1, 2, 3]), (4, [5, 2, 5])])
def test_it_equals_the_definition(images: int, labels: list[int]) -> None:
    embeddings = torch.randn(images * len(labels), 6, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    repeated = torch.tensor(labels).repeat(images)
    found = prototype_loss(embeddings, repeated, images=images, scale=7.0)
    assert float(found) == pytest.approx(naive(embeddings, repeated, images, 7.0), rel=1e-5)


def test_its_gradient_is_that_of_the_definition() -> None:
    embeddings = torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    labels = torch.tensor([0, 1, 2]).repeat(2)
    prototype_loss(embeddings, labels, images=2, scale=5.0).backward()
    assert embeddings.grad is not None
    step = 1e-3
    for place in ((0, 1), (4, 3)):
        above, below = embeddings.detach().clone(), embeddings.detach().clone()
        above[place] += step
        below[place] -= step
        slope = (naive(above, labels, 2, 5.0) - naive(below, labels, 2, 5.0)) / (2 * step)
        assert float(embeddings.grad[place]) == pytest.approx(slope, abs=2e-3)
