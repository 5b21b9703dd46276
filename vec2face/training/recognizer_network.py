"""The parts of a recogniser's training by their options: network, head, optimiser."""

from typing import assert_never

import torch
from torch import nn

from vec2face.config.recognition import (
    AdaFaceOptions,
    AdamWOptions,
    ArcFaceOptions,
    CosFaceOptions,
    CurricularFaceOptions,
    HeadOptions,
    IResNetOptions,
    MagFaceOptions,
    MobileFaceNetOptions,
    NetworkOptions,
    OptimizerOptions,
)
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.models.embedders.initial import initialise_compact, initialise_iresnet, initialise_mobilefacenet
from vec2face.models.embedders.iresnet import IResNet
from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet
from vec2face.models.heads import AdaFace, ArcFace, CosFace, CurricularFace, MagFace, MarginHead
from vec2face.seeding import seed_for

Recognizer = IResNet | ArcFaceMobileFaceNet | CompactEmbedder


def build_network(options: NetworkOptions, *, name: str, seed: int) -> Recognizer:
    """Return a network with random weights, which `seed` alone decides.

    Args:
        options: which network.
        name: of the feature space it will define.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "initial-weights") % 2**63)
        if isinstance(options, IResNetOptions):
            resnet = IResNet(
                name=name, dim=options.dim, depth=options.depth, squeeze_excitation=options.squeeze_excitation
            )
            initialise_iresnet(resnet, zero_last_norm=options.zero_last_norm)
            return resnet
        if isinstance(options, MobileFaceNetOptions):
            mobile = ArcFaceMobileFaceNet(name=name, dim=options.dim)
            initialise_mobilefacenet(mobile)
            return mobile
        compact = CompactEmbedder(name=name, dim=options.dim, widths=options.widths, depths=options.depths)
        initialise_compact(compact, zero_last_norm=options.zero_last_norm)
        return compact


def build_head(options: HeadOptions) -> MarginHead:
    """Return a head, its running statistics at their beginning."""
    match options:
        case ArcFaceOptions():
            return ArcFace(scale=options.scale, margin=options.margin, easy_margin=options.easy_margin)
        case CosFaceOptions():
            return CosFace(scale=options.scale, margin=options.margin)
        case AdaFaceOptions():
            return AdaFace(scale=options.scale, margin=options.margin, h=options.h, t_alpha=options.t_alpha)
        case MagFaceOptions():
            return MagFace(
                scale=options.scale,
                l_a=options.l_a,
                u_a=options.u_a,
                l_margin=options.l_margin,
                u_margin=options.u_margin,
                lambda_g=options.lambda_g,
                easy_margin=options.easy_margin,
            )
        case CurricularFaceOptions():
            return CurricularFace(scale=options.scale, margin=options.margin, momentum=options.momentum)
        case _:
            assert_never(options)


def build_optimizer(options: OptimizerOptions, network: nn.Module) -> torch.optim.Optimizer:
    """Return the network's optimiser; its learning rate is set before each step.

    Norms, biases and activations, all of which are vectors, are not pulled to 0.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if isinstance(options, AdamWOptions):
        return torch.optim.AdamW(groups, lr=0.0, betas=options.betas)
    return torch.optim.SGD(groups, lr=0.0, momentum=options.momentum)
