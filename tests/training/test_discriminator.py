"""The discriminator's losses against loops, and whose gradient goes where."""

import pytest
import torch

from vec2face.models.discriminators import ProjectedDiscriminator
from vec2face.models.discriminators.projected import generator_adversarial_loss, hinge_discriminator_loss


def test_hinge_loss_equals_loops():
    generator = torch.Generator().manual_seed(2)
    real = [torch.randn(2, 1, 3, 3, generator=generator) * 2, torch.randn(2, 1, 2, 2, generator=generator) * 2]
    fake = [torch.randn(2, 1, 3, 3, generator=generator) * 2, torch.randn(2, 1, 2, 2, generator=generator) * 2]
    weights = [torch.rand(2, 1, 3, 3, generator=generator), torch.rand(2, 1, 2, 2, generator=generator)]
    terms = []
    for r, f, w in zip(real, fake, weights, strict=True):
        shares, on_real = 0.0, 0.0
        for logit, share in zip(r.flatten().tolist(), w.flatten().tolist(), strict=True):
            shares, on_real = shares + share, on_real + share * max(0.0, 1 - logit)
        on_fake = [max(0.0, 1 + logit) for logit in f.flatten().tolist()]
        terms.append(on_real / shares + sum(on_fake) / len(on_fake))
    assert hinge_discriminator_loss(real, fake, weights).item() == pytest.approx(sum(terms) / 2, rel=1e-5)
    expected = -(fake[0].mean() + fake[1].mean()) / 2
    assert generator_adversarial_loss(fake).item() == pytest.approx(float(expected), rel=1e-5)


def test_a_patch_that_is_no_real_picture_teaches_nothing_about_real_ones():
    real = torch.zeros(1, 1, 2, 2, requires_grad=True)
    weights = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
    hinge_discriminator_loss([real], [torch.zeros(1, 1, 2, 2)], [weights]).backward()
    assert real.grad is not None
    assert real.grad[0, 0, 0, 1] == 0
    assert (real.grad[weights == 1] < 0).all()


def test_logits_depend_on_the_condition_and_keep_a_map_of_patches():
    torch.manual_seed(0)
    network = ProjectedDiscriminator(map_channels=(4, 6), width=8, condition_dim=5).eval()
    maps = [torch.randn(2, 4, 16, 16), torch.randn(2, 6, 8, 8)]
    one, other = network(maps, torch.eye(5)[:2]), network(maps, torch.eye(5)[2:4])
    assert [tuple(logits.shape) for logits in one] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    assert not torch.allclose(one[0], other[0])
