"""The feature masked autoencoder: an identity vector becomes a map of 49 tokens.

Source: Vec2Face (arXiv 2409.02979), section 3.2. The vector is projected to one token, expanded to 49, some of them are
masked (replaced by the projected vector) or dropped, and a transformer encoder and decoder restore the map.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOKENS = 49


@dataclass(frozen=True)
class FeatureMaeOutput:
    """What the autoencoder computes.

    Attributes:
        tokens: `(B, 50, W)` decoded tokens; row 0 stands for the vector, rows 1 to 49 are the 7x7 map.
        latent: `(B, 50 - n_drop, W)` the encoder's output.
        token_map: `(B, 50, W)` the expanded sequence before masking, the target of the token loss.
        mask, drop_mask: `(B, 50)` bool; dropped tokens are masked too, row 0 never is.
    """

    tokens: Tensor
    latent: Tensor
    token_map: Tensor
    mask: Tensor
    drop_mask: Tensor


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.proj_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.proj_dropout(self.proj(mixed.transpose(1, 2).reshape(batch, length, width)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float, norm_eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        hidden = int(width * mlp_ratio)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act, self.mlp_dropout = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        hidden = self.mlp_dropout(self.act(self.fc1(self.norm2(x))))
        return x + self.mlp_dropout(self.fc2(hidden))


class FeatureMae(nn.Module):
    """Identity vector -> 50 tokens.

    Args:
        feature_dim: width D of the identity vector.
        width: width W of the tokens.
        encoder_depth, decoder_depth: transformer blocks.
        encoder_heads, decoder_heads: attention heads.
        mlp_ratio: hidden width of a block's MLP over W.
        dropout: probability, while training, in embedding, attention and MLP.
        norm_eps: epsilon of every LayerNorm.
        position_std: standard deviation of the positions' initial values.
    """

    def __init__(
        self,
        *,
        feature_dim: int,
        width: int,
        encoder_depth: int,
        decoder_depth: int,
        encoder_heads: int,
        decoder_heads: int,
        mlp_ratio: float,
        dropout: float,
        norm_eps: float,
        position_std: float,
    ) -> None:
        super().__init__()
        self.feature_projection = nn.Linear(feature_dim, width)
        self.token_expansion = nn.Linear(1, TOKENS)
        self.position_embedding = nn.Parameter(torch.empty(1, TOKENS + 1, width))
        self.embedding_norm = nn.LayerNorm(width, eps=norm_eps)
        self.embedding_dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(
            Block(width, encoder_heads, mlp_ratio, dropout, norm_eps) for _ in range(encoder_depth)
        )
        self.encoder_norm = nn.LayerNorm(width, eps=norm_eps)
        self.decoder_projection = nn.Linear(width, width)
        self.decoder_positions = nn.Parameter(torch.empty(1, TOKENS + 1, width))
        self.decoder = nn.ModuleList(
            Block(width, decoder_heads, mlp_ratio, dropout, norm_eps) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=norm_eps)
        self._initialise(position_std)

    def _initialise(self, position_std: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.position_embedding, std=position_std)
        nn.init.normal_(self.decoder_positions, std=position_std)

    def forward(
        self,
        features: Tensor,
        *,
        mask_noise: Tensor,
        mask_rate: Tensor,
        mask_ratio_min: float,
        condition: Tensor | None = None,
    ) -> FeatureMaeOutput:
        """Restore the token map of each vector.

        Args:
            features: `(B, D)` raw identity vectors.
            mask_noise: `(B, 49)` uniform numbers; the smallest are masked first, the very smallest dropped.
            mask_rate: `(B,)` share of tokens to mask, each in [mask_ratio_min, 1].
            mask_ratio_min: share of tokens to drop, the same for the whole batch so that its shape is known.
            condition: `(B, 1, W)` takes the place of the decoder's fill token (Vec2Face+); the decoder's projection is
                skipped then, as in the published network.
        """
        token = self.feature_projection(features)[:, None]
        token_map = torch.cat([token, self.token_expansion(token.transpose(1, 2)).transpose(1, 2)], dim=1)
        drop_count = math.ceil(TOKENS * mask_ratio_min)
        rank = mask_noise.argsort(dim=1).argsort(dim=1)
        never = torch.zeros_like(rank[:, :1], dtype=torch.bool)
        drop_mask = torch.cat([never, rank < drop_count], dim=1)
        mask = torch.cat([never, rank < torch.ceil(TOKENS * mask_rate)[:, None]], dim=1) | drop_mask
        x = torch.where(mask[..., None], token, token_map)
        x = self.embedding_dropout(self.embedding_norm(x + self.position_embedding))
        # Kept positions in order: a stable sort moves the dropped ones to the end.
        kept = (
            drop_mask.int().argsort(dim=1, stable=True)[:, : TOKENS + 1 - drop_count, None].expand(-1, -1, x.shape[2])
        )
        x = x.gather(1, kept)
        for block in self.encoder:
            x = block(x)
        latent = self.encoder_norm(x)
        decoded = latent if condition is not None else self.decoder_projection(latent)
        fill = condition if condition is not None else decoded[:, :1]
        x = torch.where(
            mask[..., None],
            fill.to(decoded.dtype),
            torch.zeros_like(token_map, dtype=decoded.dtype).scatter(1, kept, decoded),
        )
        x = x + self.decoder_positions
        for block in self.decoder:
            x = block(x)
        return FeatureMaeOutput(self.decoder_norm(x), latent, token_map, mask, drop_mask)
