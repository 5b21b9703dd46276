"""The Vec2Face generator: feature masked autoencoder, then image decoder."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vec2face.config.base import parse
from vec2face.config.generation import MaskRate
from vec2face.contracts import require_same_width
from vec2face.errors import ConfigError, ContractError
from vec2face.models.generator.appearance import AppearanceEncoder, AppearanceInput
from vec2face.models.generator.feature_mae import TOKENS, FeatureMae
from vec2face.models.generator.lora import adapt_attention
from vec2face.models.generator.plain_decoder import PlainDecoder
from vec2face.models.generator.pose_condition import PoseEncoder
from vec2face.models.generator.vqgan_decoder import VqganDecoder

# Published sizes (model_vec2face.py of the paper's code), and the embedded one.
SIZES: dict[str, dict[str, Any]] = {
    "base": {"width": 768, "encoder_depth": 12, "encoder_heads": 12, "decoder_depth": 8, "decoder_heads": 16},
    "large": {"width": 1024, "encoder_depth": 24, "encoder_heads": 16, "decoder_depth": 8, "decoder_heads": 16},
    "small": {
        "feature_dim": 128,
        "feature_space": "vec2face-embedded-128",
        "width": 192,
        "encoder_depth": 3,
        "encoder_heads": 4,
        "decoder_depth": 2,
        "decoder_heads": 4,
        "mlp_ratio": 3.0,
        "dropout": 0.0,
        # Positions as large as the tokens: with the published 0.02 it takes a small network 20,000 images to tell them
        # apart (see docs/decisions.md).
        "position_std": 0.5,
        "decoder": "plain",
        "decoder_options": {"widths": (256, 160, 80, 32), "depths": (2, 1, 1, 2)},
        "appearance_dim": 32,
        # One distribution for training and sampling: a network this small does not bridge two.
        "training_mask": {"min": 0.5, "max": 1.0, "mean": 0.75, "std": 0.25},
        "sampling_mask": {"min": 0.5, "max": 1.0, "mean": 0.75, "std": 0.25},
    },
}


@dataclass(frozen=True)
class GeneratorOutput:
    """What the generator computes; see `FeatureMaeOutput` for all but `image`.

    Attributes:
        image: `(B, 3, 112, 112)` RGB, meant to lie in [-1, 1], not clipped.
    """

    image: Tensor
    tokens: Tensor
    latent: Tensor
    token_map: Tensor
    mask: Tensor
    drop_mask: Tensor


class Vec2FaceGenerator(ModelMixin, ConfigMixin):
    """Identity vectors in, aligned faces out. Source: Vec2Face (arXiv 2409.02979).

    Args:
        feature_dim: width of the identity vectors.
        feature_space: name of the embedder whose vectors it takes.
        sigma_unit: standard deviation per dimension, in raw feature units, that a variation sigma of 1 means.
        width, encoder_depth, encoder_heads, decoder_depth, decoder_heads, mlp_ratio, dropout, norm_eps: see
            `FeatureMae`.
        latent_channels: channels of the 7x7 map that enters the image decoder.
        decoder: "vqgan" (published) or "plain" (small).
        decoder_options: further arguments of the image decoder.
        training_mask, sampling_mask: truncated normal of the mask rate (min, max, mean, std).
        lora_rank: rank of low-rank adapters on every attention projection (Vec2Face+); None leaves them out.
        lora_alpha: scale of the adapters, before division by their rank.
        pose_condition: whether a landmark picture takes the place of the decoder's fill token (Vec2Face+).
        appearance_dim: width A of the appearance code (see `vec2face.models.generator.appearance`), for the plain
            decoder; 0 for none, as published.

    Raises:
        ConfigError: the heads do not divide the width, a mask is no distribution, or `sigma_unit` is not positive.
    """

    @register_to_config
    def __init__(
        self,
        *,
        feature_dim: int = 512,
        feature_space: str = "arcface-r100-glint360k",
        sigma_unit: float = 1.0,
        width: int = 768,
        encoder_depth: int = 12,
        encoder_heads: int = 12,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        norm_eps: float = 1e-6,
        position_std: float = 0.02,
        latent_channels: int = 256,
        decoder: Literal["vqgan", "plain"] = "vqgan",
        decoder_options: dict[str, Any] | None = None,
        training_mask: dict[str, float] | None = None,
        sampling_mask: dict[str, float] | None = None,
        lora_rank: int | None = None,
        lora_alpha: float = 32.0,
        pose_condition: bool = False,
        appearance_dim: int = 0,
    ) -> None:
        super().__init__()
        self.register_to_config(
            training_mask=training_mask or {"min": 0.5, "max": 1.0, "mean": 0.75, "std": 0.25},
            sampling_mask=sampling_mask or {"min": 0.1, "max": 1.0, "mean": 0.15, "std": 0.25},
        )
        self._check_settings()
        self.mae = FeatureMae(
            feature_dim=feature_dim,
            width=width,
            encoder_depth=encoder_depth,
            decoder_depth=decoder_depth,
            encoder_heads=encoder_heads,
            decoder_heads=decoder_heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            norm_eps=norm_eps,
            position_std=position_std,
        )
        if lora_rank is not None:
            adapt_attention(self.mae, rank=lora_rank, alpha=lora_alpha)
        self.pose_encoder = PoseEncoder(width=width) if pose_condition else None
        self.image_projection = nn.Linear(width, latent_channels)
        options = dict(decoder_options or {})
        self.image_decoder: nn.Module
        if decoder == "vqgan":
            self.image_decoder = VqganDecoder(latent_channels=latent_channels, **options)
        else:
            self.image_decoder = PlainDecoder(latent_channels=latent_channels, style_width=width, **options)
        self.appearance: AppearanceInput | None = None
        self.appearance_encoder: AppearanceEncoder | None = None
        if appearance_dim:
            self.appearance = AppearanceInput(dim=appearance_dim, map_channels=latent_channels, style_width=width)
            self.appearance_encoder = AppearanceEncoder(dim=appearance_dim)

    def _check_settings(self) -> None:
        """Raise `ConfigError` for settings that would fail, or give nonsense, only when an image is rendered."""
        config = self.config
        if not 0 < config.sigma_unit < math.inf:  # neither is NaN
            raise ConfigError(f"sigma_unit must be a positive number, not {config.sigma_unit}.")
        for heads in (config.encoder_heads, config.decoder_heads):
            if heads < 1 or config.width < 1 or config.width % heads:
                raise ConfigError(f"width {config.width} cannot be shared among {heads} attention heads.")
        if config.appearance_dim < 0 or (config.appearance_dim and config.decoder != "plain"):
            raise ConfigError("appearance_dim must be 0 or more, and 0 unless the decoder is 'plain'.")
        for name in ("training_mask", "sampling_mask"):
            parse(MaskRate, config[name], where=name)

    @classmethod
    def from_size(cls, size: Literal["base", "large", "small"], **overrides: Any) -> "Vec2FaceGenerator":
        """Build a generator of a named size with random weights; `overrides` are constructor arguments."""
        return cls(**{**SIZES[size], **overrides})

    def forward(
        self,
        features: Tensor,
        *,
        mask_noise: Tensor,
        mask_rate: Tensor,
        mask_ratio_min: float | None = None,
        landmarks: Tensor | None = None,
        appearance: Tensor | None = None,
    ) -> GeneratorOutput:
        """Render one image per vector; everything random is passed in.

        Args:
            features: `(B, D)` raw identity vectors.
            mask_noise: `(B, 49)` uniform numbers in [0, 1).
            mask_rate: `(B,)` share of tokens to mask, each in [mask_ratio_min, 1].
            mask_ratio_min: share of tokens dropped from the encoder; None takes `config.sampling_mask["min"]`.
            landmarks: `(B, 3, 112, 112)` RGB landmark pictures in [-1, 1], for a generator with a pose condition and
                for no other.
            appearance: `(B, A)` appearance codes, standard normal, for a generator that takes them; None for their
                mean, an average look.

        Raises:
            ContractError: the vectors' or the codes' width is not the generator's, or landmarks are missing or not
                wanted.
        """
        require_same_width("the identity vector", features.shape[-1], "the generator's input", self.config.feature_dim)
        ratio = self.config.sampling_mask["min"] if mask_ratio_min is None else mask_ratio_min
        condition = self._condition(landmarks)
        mae = self.mae(features, mask_noise=mask_noise, mask_rate=mask_rate, mask_ratio_min=ratio, condition=condition)
        image = self.decode(mae.tokens, appearance)
        return GeneratorOutput(image, mae.tokens, mae.latent, mae.token_map, mae.mask, mae.drop_mask)

    def _condition(self, landmarks: Tensor | None) -> Tensor | None:
        if self.pose_encoder is None:
            if landmarks is not None:
                raise ContractError("this generator takes no landmarks; use weights with a pose condition.")
            return None
        if landmarks is None:
            raise ContractError("this generator is conditioned on pose; pass one landmark picture per vector.")
        return self.pose_encoder(landmarks)

    def decode(self, tokens: Tensor, appearance: Tensor | None = None) -> Tensor:
        """Map `(B, 50, W)` decoded tokens and `(B, A)` appearance codes to `(B, 3, 112, 112)` images."""
        if appearance is not None:
            require_same_width(
                "the appearance code", appearance.shape[-1], "the generator's input", self.config.appearance_dim
            )
        side = int(TOKENS**0.5)
        projected = self.image_projection(tokens[:, 1:]).transpose(1, 2).unflatten(2, (side, side))
        token_map = projected.contiguous(memory_format=torch.channels_last)
        if isinstance(self.image_decoder, PlainDecoder):
            style = tokens[:, 0]
            if self.appearance is not None:
                if appearance is None:
                    appearance = style.new_zeros(len(tokens), self.config.appearance_dim)
                token_map, style = self.appearance(token_map, style, appearance)
            return self.image_decoder(token_map, style)
        return self.image_decoder(token_map)

    def encode_appearance(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Read the appearance off real pictures, as trained: mean and log-variance, `(B, A)` each.

        Raises:
            ContractError: this generator takes no appearance code.
        """
        if self.appearance_encoder is None:
            raise ContractError("this generator takes no appearance code; use one trained with appearance_dim above 0.")
        mean, log_variance = self.appearance_encoder(images, valid)
        return mean, log_variance

    def read_appearance(self, images: Tensor, valid: Tensor) -> Tensor:
        """Return the `(B, A)` codes with which `forward` shows people as real pictures show theirs.

        Args:
            images: `(B, 3, 112, 112)` RGB in [-1, 1].
            valid: `(B, 1, 112, 112)`, 1 where the picture is real.

        Raises:
            ContractError: this generator takes no appearance code.
        """
        mean, _ = self.encode_appearance(images, valid)
        return mean if self.appearance is None else self.appearance.standardise(mean)
