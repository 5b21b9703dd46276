"""Low-rank adapters for the attention of the feature masked autoencoder (LoRA, arXiv 2106.09685)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vec2face.errors import ContractError
from vec2face.models.generator.feature_mae import Attention


class LoraLinear(nn.Module):
    """A linear map plus a low-rank correction: `base(x) + strength * alpha / rank * up(down(x))`.

    `strength` is 1, as trained, until `set_adapter_strength` says otherwise; it is no weight and is not saved.

    Args:
        base: the linear map to adapt; its weights become `base.*`.
        rank: rank of the correction, 1 or more.
        alpha: scale of the correction, before division by the rank.
    """

    def __init__(self, *, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.strength = 1.0
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        # Zero, so that an adapted network starts as the one it adapts.
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        correction = functional.linear(functional.linear(x, self.down), self.up)
        return self.base(x) + self.strength * self.scale * correction


def adapt_attention(network: nn.Module, *, rank: int, alpha: float) -> None:
    """Wrap the two projections of every `Attention` in `network` with a `LoraLinear`, in place.

    Every other weight is frozen; only the corrections take gradients, as in Vec2Face+ (arXiv 2507.17192).
    """
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Attention):
            for name in ("qkv", "proj"):
                setattr(module, name, LoraLinear(base=getattr(module, name), rank=rank, alpha=alpha))


def set_adapter_strength(network: nn.Module, strength: float) -> None:
    """Multiply the corrections of every adapter in `network` by `strength`: 1 is as trained, 0 is without.

    Raises:
        ContractError: the network has no adapters, and the strength is not 1.
    """
    adapters = [module for module in network.modules() if isinstance(module, LoraLinear)]
    if not adapters and strength != 1:
        raise ContractError(f"an adapter strength of {strength:g} needs a network with adapters; this one has none.")
    for adapter in adapters:
        adapter.strength = strength
