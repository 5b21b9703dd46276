"""From a checkpoint's keys and shapes to the network it fits, and back from a network to how a format stores it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.checkpoints.tables.generator import GENERATOR_PART, vec2face_generator, vec2face_plus
from vec2face.checkpoints.tables.iresnet import IRESNET
from vec2face.checkpoints.tables.key_table import KeyTable, name_some
from vec2face.checkpoints.tables.mobilefacenet import ARCFACE_MBF, MOBILEFACENET_PRELU, MOBILEFACENET_RELU6
from vec2face.checkpoints.tables.sixdrepnet import SIXDREPNET
from vec2face.contracts import InputContract
from vec2face.errors import WeightsError
from vec2face.models.embedders.iresnet import STAGE_BLOCKS, IResNet
from vec2face.models.embedders.mobilefacenet import ArcFaceMobileFaceNet, MobileFaceNetPReLU, MobileFaceNetReLU6
from vec2face.models.generator.generator import SIZES, Vec2FaceGenerator
from vec2face.models.pose.sixdrepnet import SixDRepNet

# The mask rates that Vec2Face+ trains and samples its pose model with.
_POSE_TRAINING_MASK = {"min": 0.6, "max": 0.8, "mean": 0.7, "std": 0.1}
_POSE_SAMPLING_MASK = {"min": 0.8, "max": 0.9, "mean": 0.85, "std": 0.05}

_MAGFACE_PIXELS: dict[str, Any] = {"color_order": "BGR", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Layout:
    """A network and the names its weights have in a published file.

    Attributes:
        model: the network's class.
        config: its constructor's arguments.
        table: published names <-> ours.
    """

    model: type[ModelMixin]
    config: dict[str, Any]
    table: KeyTable


State = Mapping[str, Tensor]


def of_generator(state: State, where: str) -> Layout:
    """A Vec2Face generator of a published size."""
    config = _generator_config(state, where, prefix="")
    return Layout(Vec2FaceGenerator, config, vec2face_generator(width=config["width"]))


def of_vec2face_plus(state: State, where: str) -> Layout:
    """A Vec2Face+ generator with low-rank adapters and pose encoder."""
    prefix = f"{GENERATOR_PART}."
    config = _generator_config(state, where, prefix=prefix)
    config |= {
        "lora_rank": _shape(state, f"{prefix}blocks.0.attn.qkv.A", where, axes=2)[0],
        "pose_condition": True,
        "training_mask": _POSE_TRAINING_MASK,
        "sampling_mask": _POSE_SAMPLING_MASK,
    }
    return Layout(Vec2FaceGenerator, config, vec2face_plus(width=config["width"]))


def of_arcface_torch(state: State, where: str) -> Layout:
    """An IResNet, or the MobileFaceNet that arcface_torch calls mbf."""
    if "layers.0.layers.0.weight" in state:
        dim = _shape(state, "features.layers.3.weight", where)[0]
        return Layout(ArcFaceMobileFaceNet, {"dim": dim}, ARCFACE_MBF)
    return _iresnet(state, where)


def of_magface(state: State, where: str) -> Layout:
    """An IResNet as MagFace's authors train it: OpenCV's BGR pixels, scaled to [0, 1] and no further."""
    layout = _iresnet(state, where)
    return Layout(layout.model, layout.config | _MAGFACE_PIXELS, layout.table)


def of_iresnet_se(state: State, where: str) -> Layout:
    """An IResNet with squeeze-excitation in the first block of each stage."""
    layout = _iresnet(state, where)
    return Layout(layout.model, layout.config | {"squeeze_excitation": "first_blocks"}, layout.table)


def of_mobilefacenet_relu6(state: State, where: str) -> Layout:
    """The ReLU6 MobileFaceNet."""
    return Layout(MobileFaceNetReLU6, {"dim": _shape(state, "bn.weight", where)[0]}, MOBILEFACENET_RELU6)


def of_mobilefacenet_prelu(state: State, where: str) -> Layout:
    """The PReLU MobileFaceNet."""
    return Layout(MobileFaceNetPReLU, {"dim": _shape(state, "last_bn.weight", where)[0]}, MOBILEFACENET_PRELU)


def of_sixdrepnet(state: State, where: str) -> Layout:
    """6DRepNet; there is one size."""
    training_form = [key for key in state if re.search(r"\.rbr_(dense|1x1|identity)\.", key)]
    if training_form:
        raise WeightsError(
            f"{where} is in RepVGG's training form ({name_some(training_form, 2)}); "
            "convert it to the deploy form first."
        )
    return Layout(SixDRepNet, {}, SIXDREPNET)


def generator_table(network: nn.Module) -> KeyTable | None:
    """The table of a generator without Vec2Face+'s additions."""
    if not _published_generator(network) or network.config.lora_rank is not None or network.config.pose_condition:
        return None
    return vec2face_generator(width=network.config.width)


def vec2face_plus_table(network: nn.Module) -> KeyTable | None:
    """The table of a generator with both of Vec2Face+'s additions."""
    if not _published_generator(network) or network.config.lora_rank is None or not network.config.pose_condition:
        return None
    return vec2face_plus(width=network.config.width)


def arcface_torch_table(network: nn.Module) -> KeyTable | None:
    """The table of a plain IResNet or mbf that takes ArcFace's pixels."""
    if isinstance(network, ArcFaceMobileFaceNet):
        return ARCFACE_MBF
    plain = isinstance(network, IResNet) and network.config.squeeze_excitation == "none"
    return IRESNET if plain and network.contract == InputContract() else None


def magface_table(network: nn.Module) -> KeyTable | None:
    """The table of a plain IResNet that takes MagFace's pixels."""
    plain = isinstance(network, IResNet) and network.config.squeeze_excitation == "none"
    return IRESNET if plain and network.contract == InputContract(**_MAGFACE_PIXELS) else None


def iresnet_se_table(network: nn.Module) -> KeyTable | None:
    """The table of an IResNet with squeeze-excitation."""
    gated = isinstance(network, IResNet) and network.config.squeeze_excitation == "first_blocks"
    return IRESNET if gated and network.contract == InputContract() else None


def table_of(model: type[nn.Module], table: KeyTable) -> Callable[[nn.Module], KeyTable | None]:
    """For a class that has one table whatever its configuration."""
    return lambda network: table if isinstance(network, model) else None


def _published_generator(network: nn.Module) -> TypeGuard[Vec2FaceGenerator]:
    return isinstance(network, Vec2FaceGenerator) and network.config.decoder == "vqgan"


def _iresnet(state: State, where: str) -> Layout:
    blocks = tuple(_count(state, rf"layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4))
    depths = {blocks_of: depth for depth, blocks_of in STAGE_BLOCKS.items()}
    if blocks not in depths:
        raise WeightsError(
            f"{where} is no IResNet of a known depth: it has {blocks} blocks, known are "
            f"{', '.join(f'{b} ({d})' for b, d in depths.items())}."
        )
    return Layout(IResNet, {"depth": depths[blocks], "dim": _shape(state, "features.weight", where)[0]}, IRESNET)


def _generator_config(state: State, where: str, *, prefix: str) -> dict[str, Any]:
    width, feature_dim = _shape(state, f"{prefix}latent_prior_proj_f.weight", where, axes=2)
    found = {
        "width": width,
        "encoder_depth": _count(state, rf"{re.escape(prefix)}blocks\.(\d+)\."),
        "decoder_depth": _count(state, rf"{re.escape(prefix)}decoder_blocks\.(\d+)\."),
    }
    # The number of heads leaves no trace in the weights; the published sizes tell it.
    for size in SIZES.values():
        if all(size[key] == value for key, value in found.items()):
            return {**size, "feature_dim": feature_dim}
    raise WeightsError(
        f"{where} is no generator of a published size: its width is {width}, with {found['encoder_depth']} encoder and "
        f"{found['decoder_depth']} decoder blocks."
    )


def _count(state: State, pattern: str) -> int:
    """One more than the highest block number among the keys; 0 if there is none."""
    numbers = [int(match[1]) for key in state if (match := re.match(pattern, key))]
    return max(numbers) + 1 if numbers else 0


def _shape(state: State, key: str, where: str, axes: int = 1) -> tuple[int, ...]:
    if key not in state:
        raise WeightsError(f"{where} has no {key!r}, so it is not of this format; it holds {name_some(list(state))}.")
    shape = tuple(state[key].shape)
    if len(shape) != axes:
        raise WeightsError(f"{where} is not of this format: its {key!r} has the shape {shape}, not {axes} axes.")
    return shape
