"""Keys of the published Vec2Face and Vec2Face+ generators."""

import torch

from vec2face.checkpoints.tables.key_table import Filler, KeyTable, WithLeadingAxis, zeros
from vec2face.models.generator.feature_mae import TOKENS

_LEVELS = 5
_PATCH = 16

_RESIDUAL_BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "shortcut",
}

_IMAGE_DECODER = {
    "conv_in.*": "conv_in.*",
    **{
        f"mid.block_{index + 1}.{foreign}.*": f"middle.{index}.{ours}.*"
        for index in range(2)
        for foreign, ours in _RESIDUAL_BLOCK.items()
        if foreign != "nin_shortcut"
    },
    # The published decoder counts its levels from the finest; ours run in the order of the forward pass.
    **{
        f"up.{_LEVELS - 1 - stage}.block.{{block}}.{foreign}.*": f"stages.{stage}.blocks.{{block}}.{ours}.*"
        for stage in range(_LEVELS)
        for foreign, ours in _RESIDUAL_BLOCK.items()
    },
    **{f"up.{_LEVELS - 1 - stage}.upsample.conv.*": f"stages.{stage}.upsample.*" for stage in range(_LEVELS - 1)},
    "norm_out.*": "norm_out.*",
    "conv_out.*": "conv_out.*",
}

_BLOCK = {
    "norm1.*": "norm1.*",
    "attn.qkv.*": "attn.qkv.*",
    "attn.proj.*": "attn.proj.*",
    "norm2.*": "norm2.*",
    "mlp.fc1.*": "fc1.*",
    "mlp.fc2.*": "fc2.*",
}

# Low-rank adapters wrap the two attention projections (Vec2Face+).
_ADAPTED_BLOCK = {
    **{key: value for key, value in _BLOCK.items() if not key.startswith("attn.")},
    **{
        f"attn.{layer}.{foreign}": f"attn.{layer}.{ours}"
        for layer in ("qkv", "proj")
        for foreign, ours in {"base.*": "base.*", "A": "down", "B": "up"}.items()
    },
}

_POSE_ENCODER = {
    **{f"conv{index + 1}.*": f"convs.{index}.*" for index in range(4)},
    "linear.*": "linear.*",
}

# The Vec2Face+ file holds two state dicts; a key here is the dict's name, a dot, and the key inside.
GENERATOR_PART = "model_vec2face"
POSE_PART = "pose_model"


def _feature_mae(block: dict[str, str]) -> dict[str, str | WithLeadingAxis]:
    return {
        "decoder_pos_embed_learned": "mae.decoder_positions",
        "token_emb.position_embeddings.weight": WithLeadingAxis("mae.position_embedding"),
        "token_emb.LayerNorm.*": "mae.embedding_norm.*",
        "latent_prior_proj_f.*": "mae.feature_projection.*",
        "feature_token.*": "mae.token_expansion.*",
        **{f"blocks.{{n}}.{key}": f"mae.encoder.{{n}}.{value}" for key, value in block.items()},
        "norm.*": "mae.encoder_norm.*",
        "decoder_embed.*": "mae.decoder_projection.*",
        **{f"decoder_blocks.{{n}}.{key}": f"mae.decoder.{{n}}.{value}" for key, value in block.items()},
        "decoder_norm.*": "mae.decoder_norm.*",
        "im_decoder_proj.*": "image_projection.*",
        **{f"im_decoder.{key}": f"image_decoder.{value}" for key, value in _IMAGE_DECODER.items()},
    }


def vec2face_generator(*, width: int) -> KeyTable:
    """Table of the Vec2Face generator of token width `width`, and of the Vec2Face+ main model."""
    return KeyTable(_feature_mae(_BLOCK), dropped=_dropped(width))


def vec2face_plus(*, width: int) -> KeyTable:
    """Table of the Vec2Face+ generator with low-rank adapters and its pose encoder."""
    return KeyTable(
        {
            **{f"{GENERATOR_PART}.{key}": value for key, value in _feature_mae(_ADAPTED_BLOCK).items()},
            **{f"{POSE_PART}.{key}": f"pose_encoder.{value}" for key, value in _POSE_ENCODER.items()},
        },
        dropped={f"{GENERATOR_PART}.{key}": fill for key, fill in _dropped(width).items()},
    )


def _dropped(width: int) -> dict[str, Filler]:
    """Left over from the masked autoencoder that the generator was derived from; no output depends on them."""
    return {
        "patch_embed.proj.weight": zeros(width, 3, _PATCH, _PATCH),
        "patch_embed.proj.bias": zeros(width),
        "center_token.weight": zeros(TOKENS, width),
        "center_token.bias": zeros(TOKENS),
        "token_emb.position_ids": lambda: torch.arange(TOKENS + 1)[None],
    }
