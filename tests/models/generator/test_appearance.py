"""The appearance code: what it changes, what it leaves alone, and starting from a generator without one."""

import pytest
import torch

from vec2face.errors import ConfigError, ContractError
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.growth import start_from

TINY = {
    "feature_dim": 8,
    "width": 16,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "encoder_heads": 2,
    "decoder_heads": 2,
    "latent_channels": 16,
}


def build(*, appearance_dim: int = 4, depths: tuple[int, ...] = (1, 1, 1, 1), seed: int = 0) -> Vec2FaceGenerator:
    torch.manual_seed(seed)
    options = {"widths": (16, 12, 8, 8), "depths": depths}
    return Vec2FaceGenerator.from_size("small", **TINY, decoder_options=options, appearance_dim=appearance_dim).eval()


def render(network: Vec2FaceGenerator, code: torch.Tensor | None = None) -> torch.Tensor:
    draws = torch.Generator().manual_seed(5)
    features = torch.randn(2, 8, generator=draws)
    noise = torch.rand(2, 49, generator=draws)
    with torch.no_grad():
        return network(features, mask_noise=noise, mask_rate=torch.full((2,), 0.7), appearance=code).image


def test_no_code_is_the_mean_code_and_each_image_follows_its_own() -> None:
    network = build()
    assert torch.allclose(render(network), render(network, torch.zeros(2, 4)), atol=1e-6)
    code = torch.zeros(2, 4)
    code[1] = 1.0
    changed = (render(network, code) - render(network)).abs().amax(dim=(1, 2, 3))
    assert changed[0] < 1e-6
    assert changed[1] > 1e-4


def test_the_encoder_looks_at_the_real_region_alone() -> None:
    network = build()
    images, valid = torch.rand(2, 3, 112, 112), torch.ones(2, 1, 112, 112)
    valid[:, :, :40] = 0
    other = images.clone()
    other[:, :, :40] = -1
    mean, log_variance = network.encode_appearance(images, valid)
    assert mean.shape == log_variance.shape == (2, 4)
    assert torch.equal(mean, network.encode_appearance(other, valid)[0])
    other[:, :, 60:80] = -1
    assert not torch.equal(mean, network.encode_appearance(other, valid)[0])


def test_both_gradients_reach_the_encoder() -> None:
    network = build()
    mean, _ = network.encode_appearance(torch.rand(2, 3, 112, 112), torch.ones(2, 1, 112, 112))
    tokens = torch.randn(2, 50, 16)
    network.decode(tokens, mean).square().mean().backward()
    assert network.appearance_encoder is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.appearance_encoder.body.parameters())


def test_a_generator_without_a_code_refuses_one_and_the_published_decoder_takes_none() -> None:
    with pytest.raises(ContractError, match="appearance code"):
        render(build(appearance_dim=0), torch.zeros(2, 4))
    with pytest.raises(ContractError, match="takes no appearance code"):
        build(appearance_dim=0).encode_appearance(torch.rand(1, 3, 112, 112), torch.ones(1, 1, 112, 112))
    with pytest.raises(ContractError, match="appearance code"):
        render(build(), torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="appearance_dim"):
        Vec2FaceGenerator.from_size("small", **TINY, decoder="vqgan", decoder_options={}, appearance_dim=4)


def test_a_deeper_generator_starts_with_the_pictures_of_the_one_it_grew_from() -> None:
    small, large = build(appearance_dim=0), build(depths=(1, 2, 1, 2), seed=1)
    assert (render(small) - render(large)).abs().max() > 1e-3
    new = start_from(large, small)
    assert torch.equal(render(small), render(large))
    assert {name.split(".")[0] for name in new} == {"appearance", "appearance_encoder", "image_decoder"}


def test_another_architecture_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="another architecture"):
        start_from(build(depths=(1, 1, 1, 1)), build(depths=(1, 1, 1, 2)))
    other = Vec2FaceGenerator.from_size(
        "small", **{**TINY, "feature_dim": 9}, decoder_options=build().config.decoder_options
    )
    with pytest.raises(ContractError, match="feature_dim 9, the one to train 8"):
        start_from(build(), other)


def test_a_stated_distribution_is_that_of_the_codes_painted_and_a_read_code_paints_what_was_read() -> None:
    network = build()
    assert network.appearance is not None
    plain = render(network, torch.ones(2, 4))
    factor = torch.tensor([[2.0, 0, 0, 0], [0.5, 1, 0, 0], [0, 0.3, 0.7, 0], [0.1, 0, 0, 1.5]])
    mean = torch.tensor([0.5, -1.0, 0.0, 2.0])
    images, valid = torch.rand(2, 3, 112, 112), torch.ones(2, 1, 112, 112)
    read, _ = network.encode_appearance(images, valid)
    as_read = render(network, read)
    network.appearance.set_distribution(mean, factor @ factor.T)
    assert torch.allclose(
        render(network, torch.linalg.solve(factor, torch.ones(4) - mean).expand(2, 4)), plain, atol=1e-5
    )
    assert torch.allclose(render(network, network.read_appearance(images, valid)), as_read, atol=1e-5)
    assert not torch.allclose(render(network), plain, atol=1e-5)


def test_training_on_starts_from_codes_as_they_are_read() -> None:
    network, further = build(), build(seed=1)
    read_codes = render(network, torch.ones(2, 4))
    assert network.appearance is not None
    network.appearance.set_distribution(torch.ones(4), 4 * torch.eye(4))
    assert {name.split(".")[1] for name in start_from(further, network)} == {"mean", "factor"}
    assert torch.equal(render(further, torch.ones(2, 4)), read_codes)
