"""The diffusion transformer: noisy spacetime patches and text in one packed sequence -> a prediction for every patch.

Full attention within a sample, 3-axis rotary positions, RMS QK-norm, SwiGLU, and adaLN modulation (Peebles and Xie
2023, arXiv 2212.09748) per *row*: a row is a set of tokens of one slice that share a noise level, so one sequence holds
many noise levels. One modulation network serves all blocks, with a learned offset per block (PixArt-alpha, arXiv
2310.00426).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from chronotope.config import Range
from chronotope.errors import UsageError
from chronotope.models.attention import Segments, copied_to, packed_attention
from chronotope.models.causal import CausalSegments, Past, PastSlice
from chronotope.models.linear import Linear, silu
from chronotope.models.patches import unpatchify
from chronotope.models.refinement import Continuation, Grid, Neighbours, Refinement, slices_before
from chronotope.models.rope import rotary_angles, rotate
from chronotope.models.text import StateProjection, TextEncoder

__all__ = ["NUM_SIGNALS", "PIECE", "SIGNAL_STILL", "SIGNAL_TEXT", "DiT", "DiTConfig", "PackedTokens"]

# conditioning signals of a row, beside its noise level:
# is still, is text, log2(fps / 8), log2(sqrt(height * width) / 64), log2(width / height)
NUM_SIGNALS = 5
SIGNAL_STILL, SIGNAL_TEXT = 0, 1

Size = Annotated[int, Range(1, 2**20)]
Length = Annotated[int, Range(1, 64)]  # of a patch, in latents

PIECE = 4096  # tokens that pass through the matrices of a block at once in sampling; on a GPU 16 times as many


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the transformer; `width` and `depth` set the number of parameters.

    `seam_width` is the number of hidden channels of the refinement, and `seam_depth` of its residual blocks
    (`models.refinement`). `text_width` is that of the states of a frozen text encoder, which are read in place of a
    vocabulary; 0 without one. `action_width` counts the values that stand for the actions of a slice; 0 without
    actions. Under the slice-causal mask a slice reads the `memory` slices before it; 0 means all of them. With a
    `reach` above 0 its tokens then also hold the latents of the slice before, and move them by up to `reach` latents
    (`models.refinement.Continuation`).
    """

    width: Size = 256
    depth: Annotated[int, Range(1, 1024)] = 8
    head_dim: Annotated[int, Range(2, 4096)] = 64
    mlp_ratio: Annotated[float, Range(0.1, 100)] = 8 / 3
    text_depth: Annotated[int, Range(0, 1024)] = 2
    text_width: Annotated[int, Range(0, 2**20)] = 0
    seam_width: Size = 48
    seam_depth: Annotated[int, Range(0, 1024)] = 0
    max_text_tokens: Annotated[int, Range(2, 2**20)] = 128  # the first one opens the text
    vocabulary_size: Size = 2048
    channels: Size = 16
    patch_size: tuple[Length, Length, Length] = (1, 2, 2)
    action_width: Annotated[int, Range(0, 2**20)] = 0
    memory: Annotated[int, Range(0, 2**20)] = 0
    reach: Annotated[int, Range(0, 64)] = 0

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
    """Samples of any size in one sequence; each sample is its text tokens followed by its visual tokens.

    `order` gathers the sequence from the concatenation of all text tokens and all visual tokens, and `place` is where
    each visual token stands in it. `row` is the index of every token into `level` (noise levels), `signals` and
    `actions`, which only models with actions have (zeros: not known). `neighbours` are those of the slices of `grids`.
    Axes: v visual tokens, p values of a token, l text tokens (s values of a state), n = l + v, r rows.
    """

    noisy: Float[Tensor, "v p"]
    text_tokens: Int[Tensor, " l"] | Float[Tensor, "l s"]
    texts: Segments
    order: Int[Tensor, " n"]
    place: Int[Tensor, " v"]
    samples: Segments
    positions: Float[Tensor, "n 3"]
    row: Int[Tensor, " n"]
    level: Float[Tensor, " r"]
    signals: Float[Tensor, "r g"]
    grids: tuple[Grid, ...]
    neighbours: tuple[Neighbours, ...]
    actions: Float[Tensor, "r a"] | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of tokens of each sample."""
        return self.samples.lengths

    @property
    def text_lengths(self) -> tuple[int, ...]:
        """The number of tokens of each text."""
        return self.texts.lengths

    def to(self, device: torch.device) -> PackedTokens:
        """Return these tokens on a device; the copy to a GPU is asynchronous."""
        copies: dict[str, Any] = {
            name: copied_to(each, device) for name, each in vars(self).items() if isinstance(each, Tensor)
        }
        neighbours = tuple(Neighbours(*(copied_to(x, device) for x in both)) for both in self.neighbours)
        texts, samples = self.texts.to(device), self.samples.to(device)
        return replace(self, **copies, texts=texts, samples=samples, neighbours=neighbours)


class Block(nn.Module):
    """Attention and SwiGLU, each shifted, scaled and gated by the modulation of the token's row."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.offset = nn.Parameter(torch.zeros(6 * config.width))
        self.qkv = Linear(config.width, 3 * config.width, bias=False)
        self.q_scale = nn.Parameter(torch.ones(config.head_dim))
        self.k_scale = nn.Parameter(torch.ones(config.head_dim))
        self.out = Linear(config.width, config.width, bias=False)
        self.up = Linear(config.width, 2 * config.hidden, bias=False)
        self.down = Linear(config.hidden, config.width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        modulation: Float[Tensor, "r 6*d"],
        row: Tensor,
        angles: tuple[Tensor, Tensor],
        segments: Segments | CausalSegments,
    ) -> Float[Tensor, "n d"]:
        # F.embedding gathers rows as an index does, and its backward pass on a CPU is several times faster
        before, after = (modulation + self.offset.to(modulation.dtype)).split([2 * x.shape[1], 4 * x.shape[1]], dim=1)

        def project(p: slice) -> tuple[Tensor, ...]:
            return self.queries_keys_values(x[p], F.embedding(row[p], before), (angles[0][p], angles[1][p]))

        q, k, v = by_piece(x, project)
        attended = packed_attention(q, k, v, segments).flatten(1)
        del q, k, v
        return by_piece(x, lambda p: (self.residuals(x[p], attended[p], F.embedding(row[p], after)),))[0]

    def queries_keys_values(
        self, x: Float[Tensor, "n d"], modulation: Float[Tensor, "n 2*d"], angles: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """Compute queries, keys and values, [n, heads, k] each."""
        q, k, v = self.qkv(_modulate(x, *modulation.chunk(2, dim=1))).unflatten(1, (3, -1, self.head_dim)).unbind(1)
        q = rotate(F.rms_norm(q, (self.head_dim,), self.q_scale.to(q.dtype)), *angles)
        k = rotate(F.rms_norm(k, (self.head_dim,), self.k_scale.to(k.dtype)), *angles)
        return q, k, v

    def residuals(
        self, x: Float[Tensor, "n d"], attended: Float[Tensor, "n d"], modulation: Float[Tensor, "n 4*d"]
    ) -> Float[Tensor, "n d"]:
        """Add the output of attention and of the MLP to the residual stream."""
        gate_a, shift_m, scale_m, gate_m = modulation.chunk(4, dim=1)
        x = x + gate_a * self.out(attended)
        gate, value = self.up(_modulate(x, shift_m, scale_m)).chunk(2, dim=1)
        return x + gate_m * self.down(silu(gate) * value)


def by_piece(x: Float[Tensor, "n d"], function: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Apply a function to all tokens; without gradients to `PIECE` tokens at a time, which saves memory.

    The function takes a slice of indices and must treat tokens independently. Results may differ from one call in the
    last bit, because matrix products of another number of rows may round differently.
    """
    count, piece = len(x), PIECE if x.device.type == "cpu" else 16 * PIECE
    if count <= piece or torch.is_grad_enabled():
        return function(slice(None))
    first = function(slice(piece))
    wholes = tuple(part.new_empty(count, *part.shape[1:]) for part in first)
    for start in range(0, count, piece):
        parts = first if start == 0 else function(slice(start, start + piece))
        for whole, part in zip(wholes, parts, strict=True):
            whole[start : start + piece] = part
    return wholes


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    # the residual stream is in single precision; the input of a matrix product has the precision of the product
    return torch.addcmul(shift, F.rms_norm(x, x.shape[1:]).to(shift.dtype), 1 + scale)


class DiT(nn.Module):
    """The diffusion transformer with its text encoder and its latent refinement.

    With `recompute`, the backward pass computes the inside of each block again (Chen et al. 2016, arXiv 1604.06174).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config, self.recompute = config, False
        width = config.width
        states, ids = config.text_width, config.vocabulary_size
        embedding = StateProjection(states, width) if states else nn.Embedding(ids, width)
        self.text = TextEncoder(embedding, width, config.text_depth, config.head_dim)
        self.patch_in = Linear(config.token_size, width)
        if config.reach:
            self.continuation = Continuation(width, config.channels, config.patch_size, config.reach)
        self.level_in = Linear(256, width)
        self.signals_in = Linear(NUM_SIGNALS, width)
        if config.action_width:
            self.actions_in = Linear(config.action_width, width, bias=False)
        self.row_out = Linear(width, width)
        self.modulation = Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = Linear(width, 2 * width)
        self.patch_out = Linear(width, config.token_size)
        # the attribute keeps its first name, because weights on disk are stored under it
        self.seams = Refinement(width, config.channels, config.patch_size, config.seam_width, config.seam_depth)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw matrices with deviation 1/sqrt(inputs); zero modulation and outputs, which makes blocks the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if isinstance(self.text.embedding, nn.Embedding):
            nn.init.normal_(self.text.embedding.weight)
        if self.config.reach:
            nn.init.zeros_(self.continuation.places.weight)
            nn.init.zeros_(self.continuation.gains.weight)
        for module in (
            self.modulation,
            self.final_modulation,
            self.patch_out,
            self.seams.gather_in_time,
            self.seams.correct,
        ):
            nn.init.zeros_(module.weight)
        nn.init.zeros_(self.seams.correct.bias)  # type: ignore[arg-type]

    def encode_text(self, tokens: Int[Tensor, " l"] | Float[Tensor, "l s"], texts: Segments) -> Float[Tensor, "l d"]:
        """Encode the texts; the result is the same for every step of sampling."""
        return self.text(tokens, texts)

    def forward(
        self, batch: PackedTokens, text: Float[Tensor, "l d"] | None = None, pasts: Sequence[Past | None] = ()
    ) -> Float[Tensor, "v p"]:
        """Return the output for every visual token, in the order of `batch.noisy`; see `flow.path.balance`.

        `pasts` is what each sample of the pack reads beside its own tokens, under the slice-causal mask; the texts of
        such a sample are in its past.
        """
        before = self._slices_before(batch, pasts)
        tokens = self._transform(batch, text, pasts, before)
        received = [past.slices[-1].message if past and past.slices else None for past in pasts]
        seams = self.seams(tokens, batch.noisy.to(tokens.dtype), batch.grids, received, batch.neighbours)
        output = self.patch_out(tokens) + seams
        return output + self.continuation.outputs(tokens, before, batch.grids) if before else output

    def remember(self, batch: PackedTokens, past: Past | None = None, text: Float[Tensor, "l d"] | None = None) -> Past:
        """Return the past after one more clean slice, the only one of the pack; the first one brings the text."""
        kept: list[tuple[Tensor, Tensor]] = []
        pasts, grid = (past,) if past else (), batch.grids[0]
        tokens = self._transform(batch, text, pasts, self._slices_before(batch, pasts), kept)
        message = self.seams.message(tokens, batch.noisy.to(tokens.dtype), grid)
        latents = unpatchify(batch.noisy, self.config.patch_size, grid.rows, grid.columns)
        num_text = sum(batch.text_lengths)
        past = past or Past(tuple((k[:num_text], v[:num_text]) for k, v in kept), memory=self.config.memory)
        return past.with_slice(PastSlice(tuple((k[num_text:], v[num_text:]) for k, v in kept), message, latents))

    def _slices_before(self, batch: PackedTokens, pasts: Sequence[Past | None]) -> list[Float[Tensor, "_ c _ _"]]:
        """Return the latents of the slice before each slice, by sample; nothing where the network reads none."""
        if not self.config.reach or all(grid.order == "full" for grid in batch.grids):
            return []
        received = [past.slices[-1].latents if past and past.slices else None for past in pasts]
        return slices_before(batch.noisy, batch.grids, self.config.patch_size, received)

    def _transform(
        self,
        batch: PackedTokens,
        text: Float[Tensor, "l d"] | None,
        pasts: Sequence[Past | None],
        before: Sequence[Tensor],
        kept: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Float[Tensor, "v d"]:
        """Pass all tokens through the blocks; return the visual ones, modulated for the output."""
        if text is None:
            text = self.encode_text(batch.text_tokens, batch.texts)
        visual = self.patch_in(batch.noisy)
        if before:
            visual = visual + self.continuation.inputs(before)
        x = F.embedding(batch.order, torch.cat([text, visual]))
        rows = self.level_in(_level_features(batch.level)) + self.signals_in(batch.signals)
        if batch.actions is not None:
            rows = rows + self.actions_in(batch.actions)
        rows = silu(self.row_out(silu(rows)))
        modulation = self.modulation(rows)
        angles = rotary_angles(batch.positions, self.config.head_dim)
        segments: Segments | CausalSegments = batch.samples
        if kept is not None or any(grid.order != "full" for grid in batch.grids):
            head_dim, memory = self.config.head_dim, self.config.memory
            segments = CausalSegments.of(batch.lengths, batch.grids, batch.positions, head_dim, pasts, memory, kept)
        for layer, block in enumerate(self.blocks):
            inputs = (x, modulation, batch.row, angles, segments.at(layer))
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(*inputs)
        shift, scale = F.embedding(batch.row, self.final_modulation(rows)).chunk(2, dim=1)
        # gather visual tokens by index rather than by mask: the size of a masked result would synchronise with the GPU
        return _modulate(x, shift, scale)[batch.place]


def _level_features(level: Float[Tensor, " r"]) -> Float[Tensor, "r 256"]:
    """Return cosines and sines of noise levels in [0, 1] at 128 frequencies from 1 to 1000."""
    frequencies = torch.logspace(0, 3, 128, device=level.device)
    angles = level[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
