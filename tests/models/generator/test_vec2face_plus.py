"""Low-rank adapters and the pose condition, alone and inside the generator."""

from typing import Any

import pytest
import torch
from torch import nn

from vec2face.errors import ContractError
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.generator.lora import LoraLinear
from vec2face.models.generator.pose_condition import PoseEncoder

SMALL = {
    "feature_dim": 16,
    "width": 32,
    "encoder_depth": 2,
    "decoder_depth": 1,
    "encoder_heads": 2,
    "decoder_heads": 2,
    "latent_channels": 16,
    "decoder_options": {"widths": (16, 8, 8, 8), "depths": (1, 1, 1, 1)},
}


def small(**options: Any) -> Vec2FaceGenerator:
    torch.manual_seed(0)
    return Vec2FaceGenerator.from_size("small", **SMALL, **options).eval()


def arguments(count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "features": torch.randn(count, 16, generator=generator),
        "mask_noise": torch.rand(count, 49, generator=generator),
        "mask_rate": torch.full((count,), 0.7),
    }


def test_adapter_is_the_sum_of_base_and_low_rank_product() -> None:
    torch.manual_seed(0)
    layer = LoraLinear(base=nn.Linear(12, 7), rank=3, alpha=6.0)
    nn.init.normal_(layer.up)
    x = torch.randn(4, 5, 12)
    merged = layer.base.weight + 2.0 * layer.up @ layer.down
    torch.testing.assert_close(layer(x), x @ merged.T + layer.base.bias)


def test_fresh_adapters_change_nothing() -> None:
    plain, adapted = small(), small(lora_rank=2)
    state = {key.replace(".base.", "."): value for key, value in adapted.state_dict().items()}
    plain.load_state_dict({key: value for key, value in state.items() if not key.endswith((".down", ".up"))})
    with torch.inference_mode():
        torch.testing.assert_close(adapted(**arguments()).image, plain(**arguments()).image)


def test_only_adapters_and_pose_encoder_of_the_autoencoder_take_gradients() -> None:
    network = small(lora_rank=2, pose_condition=True)
    trainable = {name for name, p in network.named_parameters() if p.requires_grad and name.startswith("mae.")}
    adapted = 3 * 2
    assert len(trainable) == 2 * adapted
    assert all(name.endswith((".down", ".up")) for name in trainable)
    assert all(p.requires_grad for p in network.pose_encoder.parameters())


def test_pose_encoder_starts_without_effect() -> None:
    encoder = PoseEncoder(width=32)
    assert sum(p.numel() for p in encoder.convs.parameters()) == 388_416
    assert torch.equal(encoder(torch.rand(2, 3, 112, 112)), torch.zeros(2, 1, 32))
    nn.init.normal_(encoder.linear.weight)
    assert encoder(torch.rand(2, 3, 112, 112)).std() > 0
    with pytest.raises(ContractError, match="landmark pictures"):
        encoder(torch.zeros(2, 3, 96, 112))


def test_the_condition_takes_the_place_of_masked_tokens() -> None:
    network = small(pose_condition=True)
    nn.init.normal_(network.pose_encoder.linear.weight, std=0.1)
    generator = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        left, right = (
            network(**arguments(), landmarks=torch.rand(2, 3, 112, 112, generator=generator)) for _ in range(2)
        )
    assert torch.equal(left.latent, right.latent)
    assert (left.image - right.image).abs().max() > 1e-3


def test_landmarks_are_required_or_refused() -> None:
    with pytest.raises(ContractError, match="conditioned on pose"):
        small(pose_condition=True)(**arguments())
    with pytest.raises(ContractError, match="takes no landmarks"):
        small()(**arguments(), landmarks=torch.zeros(2, 3, 112, 112))
