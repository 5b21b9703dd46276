"""Random weights to train an embedder from, as the published networks begin.

The embedding's own BatchNorm keeps the weight 1: the length of an embedding is then set by its direction's evidence,
not by a factor that the loss could simply turn up.
"""

import torch
from torch import nn

from vec2face.models.embedders.compact import CompactEmbedder, ResidualBlock
from vec2face.models.embedders.iresnet import ImprovedBlock, IResNet
from vec2face.models.embedders.mobilefacenet import MobileFaceNet

IRESNET_DEVIATION = 0.1


@torch.no_grad()
def initialise_iresnet(network: IResNet, *, zero_last_norm: bool) -> None:
    """Draw convolutions from N(0, 0.1^2), as ArcFace's PyTorch code does; norms begin as identities.

    Args:
        network: changed in place; its linear layer keeps torch's own initialisation.
        zero_last_norm: whether each residual branch begins at 0 (arXiv 1706.02677, section 5.1).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=IRESNET_DEVIATION)
        elif isinstance(module, ImprovedBlock) and zero_last_norm:
            nn.init.zeros_(module.bn3.weight)
    network.embedding_bn.weight.requires_grad_(False)


@torch.no_grad()
def initialise_mobilefacenet(network: MobileFaceNet) -> None:
    """Draw convolutions and linear maps from N(0, 2 / fan out) (arXiv 1502.01852), as ArcFace's `mbf` does."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    network.embedding_bn.weight.requires_grad_(False)


@torch.no_grad()
def initialise_compact(network: CompactEmbedder, *, zero_last_norm: bool) -> None:
    """Draw convolutions from N(0, 2 / fan out); the learned pooling begins near the mean of the map.

    Args:
        network: changed in place; its linear layer keeps torch's own initialisation.
        zero_last_norm: whether each residual branch begins at 0 (arXiv 1706.02677, section 5.1).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, ResidualBlock) and zero_last_norm:
            nn.init.zeros_(module.bn2.weight)
    cells = network.pool.weight[0].numel()
    nn.init.normal_(network.pool.weight, mean=1 / cells, std=0.1 / cells)
