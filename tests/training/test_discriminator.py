"""The discriminators: what they see, what they are conditioned on, and whose gradient goes where."""

import pytest
import torch
from torch import Tensor

from vec2face.config.training import GeneratorLosses
from vec2face.models.discriminators import (
    CrossEmbedDiscriminator,
    Discriminator,
    MultiscaleDiscriminator,
    ProjectedDiscriminator,
)
from vec2face.training.adversarial import Adversary, Exhibits, build_discriminator, discriminator_optimizer, frozen
from vec2face.training.learner import Learner
from vec2face.training.processes import Processes

CPU = torch.device("cpu")


def exhibits(discriminator: Discriminator, *, batch: int = 2, seed: int = 0) -> Exhibits:
    """Random inputs of the kind a discriminator sees; gradients can flow into the renderings."""
    draws = torch.Generator().manual_seed(seed)
    shapes = {"maps": [(8, 16), (8, 8), (8, 4)], "pixels": [(3, 32)]}
    shapes["both"] = shapes["maps"] + shapes["pixels"]
    real, fake = (
        [torch.randn(batch, channels, side, side, generator=draws) for channels, side in shapes[discriminator.sees]]
        for _ in range(2)
    )
    return Exhibits(
        real=real,
        fake=[x.requires_grad_() for x in fake],
        condition=torch.nn.functional.normalize(torch.randn(batch, 5, generator=draws), dim=1),
        valid=(torch.rand(batch, 1, 32, 32, generator=draws) > 0.2).float(),
    )


def adversary(**options: object) -> Adversary:
    losses = GeneratorLosses.model_validate({"adversarial": 0.1, **options})
    discriminator = build_discriminator(losses, map_channels=(8, 8, 8), condition_dim=5, seed=0)
    learner = Learner(
        name="discriminator",
        module=discriminator,
        optimizer=discriminator_optimizer(losses, discriminator),
        passes=1,
        precision="float32",
        processes=Processes(device=CPU),
    )
    return Adversary(
        losses=losses, learner=learner, autocast=lambda: torch.autocast("cpu", torch.bfloat16, enabled=False)
    )


def gradients(discriminator: Discriminator) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in discriminator.parameters()]


KINDS = ("projected", "patch", "multiscale", "joint")
LOSSES = ("hinge", "least_squares", "relativistic")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_generators_backward_pass_leaves_the_discriminators_gradient_as_it_was(kind: str, loss: str) -> None:
    tried = adversary(discriminator=kind, adversarial_loss=loss, feature_matching=0.5)
    shown = exhibits(tried.discriminator)
    tried.train(shown, step=0)
    before = gradients(tried.discriminator)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in before)
    assert all(x.grad is None for x in shown.fake), "the discriminator's own step leaves the renderings alone"
    sum(tried.generator_losses(shown).values(), torch.zeros(())).backward()
    after = gradients(tried.discriminator)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None)
    assert [g is None for g in before] == [g is None for g in after]
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in shown.fake)


@pytest.mark.parametrize("kind", KINDS)
def test_a_discriminator_learns_to_tell_two_kinds_apart(kind: str) -> None:
    tried = adversary(discriminator=kind, discriminator_learning_rate=2e-3)
    shown = exhibits(tried.discriminator)
    losses = []
    for step in range(3):
        tried.learner.begin()
        losses.append(float(tried.discriminator_loss(shown, step).detach()))
        tried.train(shown, step)
        tried.learner.finish()
    assert losses[-1] < losses[0]


def test_a_discriminator_that_learns_every_second_step_has_no_gradient_in_between() -> None:
    tried = adversary(discriminator_every=2)
    shown = exhibits(tried.discriminator)
    tried.train(shown, step=1)
    assert all(gradient is None for gradient in gradients(tried.discriminator))
    tried.train(shown, step=2)
    assert any(gradient is not None for gradient in gradients(tried.discriminator))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_penalty_is_added_every_kth_turn_as_many_times_stronger(loss: str) -> None:
    plain = adversary(adversarial_loss=loss)
    tried = adversary(adversarial_loss=loss, gradient_penalty=0.3, gradient_penalty_every=4)
    shown = exhibits(plain.discriminator)
    # The spectral norms sharpen with every pass in training mode; both see the same number of them.
    without, penalised = plain.discriminator_loss(shown, 0), tried.discriminator_loss(shown, 0)
    assert float(penalised.detach()) > float(without.detach())
    plain, tried = adversary(adversarial_loss=loss), tried
    tried.discriminator.load_state_dict(plain.discriminator.state_dict())
    assert torch.equal(tried.discriminator_loss(shown, 1), plain.discriminator_loss(shown, 1))


def test_the_weights_drawn_for_a_discriminator_depend_on_the_seed_alone() -> None:
    losses = GeneratorLosses(adversarial=0.1)
    one, same, other = (
        build_discriminator(losses, map_channels=(4,), condition_dim=3, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_frozen_gives_back_what_was_required_before() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        assert not layer.weight.requires_grad
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_projected_logits_depend_on_the_condition_and_keep_a_map_of_patches() -> None:
    torch.manual_seed(0)
    network = ProjectedDiscriminator(map_channels=(4, 6), width=8, condition_dim=5).eval()
    maps = [torch.randn(2, 4, 16, 16), torch.randn(2, 6, 7, 7)]
    one, other = network(maps, torch.eye(5)[:2]).logits, network(maps, torch.eye(5)[2:4]).logits
    assert [tuple(logits.shape) for logits in one] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    assert not torch.allclose(one[0], other[0])


def test_multiscale_logits_depend_on_the_condition_and_halve() -> None:
    torch.manual_seed(0)
    network = MultiscaleDiscriminator(condition_dim=5, width=4).eval()
    pictures = [torch.randn(2, 3, 64, 64)]
    one, other = network(pictures, torch.eye(5)[:2]), network(pictures, torch.eye(5)[2:4])
    assert [tuple(logits.shape) for logits in one.logits] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    assert len(one.hidden) == 12
    assert not torch.allclose(one.logits[0], other.logits[0])


def test_the_published_network_has_the_published_shape_and_judges_11_by_11_patches() -> None:
    with torch.device("meta"):
        network = CrossEmbedDiscriminator()
        judged = network([torch.empty(1, 3, 112, 112)], torch.empty(1, 5))
    assert judged.logits[0].shape == (1, 1, 11, 11)
    first = network.stages[0][0].convolutions
    assert [(c.kernel_size[0], c.out_channels) for c in first] == [(3, 32), (7, 16), (15, 16)]
    assert [tuple(hidden.shape[1:]) for hidden in judged.hidden] == [
        (64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14),
    ]  # fmt: skip
    # Counted from the published code's layers, by hand: first layer, three stages, logits.
    first_layer = 3 * (9 * 32 + 49 * 16 + 225 * 16) + 64
    stages = sum(16 * a * b + b + 2 * b + 2 * b + 9 * b * b + b for a, b in ((64, 128), (128, 256), (256, 512)))
    logits = 512 * 512 + 512 + 16 * 512 + 1
    assert sum(p.numel() for p in network.parameters()) == first_layer + stages + logits
