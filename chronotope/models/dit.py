"""The diffusion transformer: noisy spacetime patches and text in one packed sequence -> what the patches should become.

Full attention within a sample, 3-axis rotary positions, RMS QK-norm, SwiGLU, and adaLN modulation (Peebles and Xie 2023,
arXiv 2212.09748) per *row*: a row is a set of tokens that share a noise level, so one sequence holds many noise levels. One
shared modulation network serves all blocks, with a learned offset per block (PixArt-alpha, arXiv 2310.00426).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.errors import UsageError
from chronotope.models.attention import Segments, packed_attention
from chronotope.models.refinement import Grid, Seams
from chronotope.models.rope import rotary_angles, rotate
from chronotope.models.text import TextEncoder

__all__ = ["NUM_SIGNALS", "PIECE", "SIGNAL_STILL", "SIGNAL_TEXT", "DiT", "DiTConfig", "PackedTokens"]

# signals of a row, beside its noise level: still?, text?, log2 of fps / 8, log2 of sqrt(height * width) / 64, log2 of width / height
NUM_SIGNALS = 5
SIGNAL_STILL, SIGNAL_TEXT = 0, 1

PIECE = 4096  # tokens that pass a block's matrices together when a large video is sampled; on a GPU 16 times as many


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the transformer; `width` and `depth` are the dial."""

    width: int = 256
    depth: int = 8
    head_dim: int = 64
    mlp_ratio: float = 8 / 3
    text_depth: int = 2
    seam_width: int = 48
    max_text_tokens: int = 128
    vocabulary_size: int = 2048
    channels: int = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)

    def __post_init__(self) -> None:
        if self.width % self.head_dim or self.head_dim % 2:
            raise UsageError(f"width {self.width} must be a multiple of head_dim {self.head_dim}, and head_dim even")

    @property
    def token_size(self) -> int:
        return self.channels * math.prod(self.patch_size)

    @property
    def hidden(self) -> int:
        return round(self.width * self.mlp_ratio / 32) * 32


@dataclass(frozen=True)
class PackedTokens:
    """Samples of any sizes in one sequence; each sample is its text tokens, then its visual tokens.

    `order` picks the sequence out of the concatenation of all text tokens and all visual tokens.
    """

    noisy: Float[Tensor, "v p"]
    text_ids: Int[Tensor, " l"]
    text_lengths: tuple[int, ...]
    order: Int[Tensor, " n"]
    lengths: tuple[int, ...]
    positions: Float[Tensor, "n 3"]
    row: Int[Tensor, " n"]
    level: Float[Tensor, " r"]
    signals: Float[Tensor, "r g"]
    grids: tuple[Grid, ...]


class Block(nn.Module):
    """Attention and SwiGLU, each shifted, scaled and gated by the token's row."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.offset = nn.Parameter(torch.zeros(6 * config.width))
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.q_scale = nn.Parameter(torch.ones(config.head_dim))
        self.k_scale = nn.Parameter(torch.ones(config.head_dim))
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.up = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        modulation: Float[Tensor, "r 6*d"],
        row: Tensor,
        angles: tuple[Tensor, Tensor],
        segments: Segments,
    ) -> Float[Tensor, "n d"]:
        before, after = (modulation + self.offset.to(modulation.dtype)).split(
            [2 * x.shape[-1], 4 * x.shape[-1]], dim=-1
        )
        q, k, v = by_piece(x, lambda p: self.queries(x[p], before[row[p]], (angles[0][p], angles[1][p])))
        attended = packed_attention(q, k, v, segments).flatten(1)
        del q, k, v
        return by_piece(x, lambda p: (self.rest(x[p], attended[p], after[row[p]]),))[0]

    def queries(
        self, x: Float[Tensor, "n d"], modulation: Float[Tensor, "n 2*d"], angles: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """Queries, keys and values, [n, heads, k] each."""
        q, k, v = self.qkv(_modulate(x, *modulation.chunk(2, dim=-1))).unflatten(-1, (3, -1, self.head_dim)).unbind(1)
        q = rotate(F.rms_norm(q, (self.head_dim,), self.q_scale.to(q.dtype)), *angles)
        k = rotate(F.rms_norm(k, (self.head_dim,), self.k_scale.to(k.dtype)), *angles)
        return q, k, v

    def rest(
        self, x: Float[Tensor, "n d"], attended: Float[Tensor, "n d"], modulation: Float[Tensor, "n 4*d"]
    ) -> Float[Tensor, "n d"]:
        """What follows attention: both residual steps and the MLP."""
        gate_a, shift_m, scale_m, gate_m = modulation.chunk(4, dim=-1)
        x = x + gate_a * self.out(attended)
        gate, value = self.up(_modulate(x, shift_m, scale_m)).chunk(2, dim=-1)
        return x + gate_m * self.down(F.silu(gate) * value)


def by_piece(x: Float[Tensor, "n d"], function: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """`function` of all tokens; of many, when nothing is learnt from them, of `PIECE` at a time, so that a large picture fits the memory.

    For what treats tokens one by one: matrix products of another number of rows may round otherwise in the last bit.
    """
    count, piece = len(x), PIECE if x.device.type == "cpu" else 16 * PIECE
    if count <= piece or torch.is_grad_enabled():
        return function(slice(None))
    first = function(slice(0, piece))
    wholes = tuple(part.new_empty(count, *part.shape[1:]) for part in first)
    for start in range(0, count, piece):
        parts = first if start == 0 else function(slice(start, start + piece))
        for whole, part in zip(wholes, parts, strict=True):
            whole[start : start + piece] = part
    return wholes


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    # the residual stream stays in single precision; what enters a matrix product has the product's precision
    return torch.addcmul(shift, F.rms_norm(x, x.shape[-1:]).to(shift.dtype), 1 + scale)


class DiT(nn.Module):
    """The transformer with its text encoder."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.text = TextEncoder(config.vocabulary_size, width, config.text_depth, config.head_dim)
        self.patch_in = nn.Linear(config.token_size, width)
        self.level_in = nn.Linear(256, width)
        self.signals_in = nn.Linear(NUM_SIGNALS, width)
        self.row_out = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = nn.Linear(width, 2 * width)
        self.patch_out = nn.Linear(width, config.token_size)
        self.seams = Seams(width, config.channels, config.patch_size, config.seam_width)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Matrices with deviation 1/sqrt(inputs); modulation and output zero, so that every block starts as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.text.embedding.weight, std=1.0)
        for module in (
            self.modulation,
            self.final_modulation,
            self.patch_out,
            self.seams.gather_in_time,
            self.seams.correct,
        ):
            nn.init.zeros_(module.weight)
        nn.init.zeros_(self.seams.correct.bias)  # type: ignore[arg-type]

    def encode_text(self, ids: Int[Tensor, " l"], lengths: Sequence[int]) -> Float[Tensor, "l d"]:
        """Text states, the same for every step of sampling."""
        return self.text(ids, lengths)

    def forward(self, batch: PackedTokens, text: Float[Tensor, "l d"] | None = None) -> Float[Tensor, "v p"]:
        """The network's output for every visual token; what it means is decided outside (`flow.path`)."""
        if text is None:
            text = self.encode_text(batch.text_ids, batch.text_lengths)
        x = torch.cat([text, self.patch_in(batch.noisy)])[batch.order]
        rows = self.level_in(_level_features(batch.level)) + self.signals_in(batch.signals)
        rows = F.silu(self.row_out(F.silu(rows)))
        modulation = self.modulation(rows)
        angles = rotary_angles(batch.positions, self.config.head_dim)
        segments = Segments(batch.lengths)
        for block in self.blocks:
            x = block(x, modulation, batch.row, angles, segments)
        shift, scale = self.final_modulation(rows)[batch.row].chunk(2, dim=-1)
        # back from the sequence to the order of `noisy`: visual tokens keep their order in the sequence
        # (by places and not by a mask: how many a mask has, a GPU would have to tell first)
        place = torch.empty_like(batch.order).index_copy_(
            0, batch.order, torch.arange(len(batch.order), device=x.device)
        )
        tokens = _modulate(x, shift, scale)[place[text.shape[0] :]]
        return self.patch_out(tokens) + self.seams(tokens, batch.noisy.to(tokens.dtype), batch.grids)


def _level_features(level: Float[Tensor, " r"]) -> Float[Tensor, "r 256"]:
    """Cosines and sines of the noise level at frequencies from 1 to 1000 (level is in [0, 1])."""
    frequencies = torch.logspace(0, 3, 128, device=level.device)
    angles = level[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
