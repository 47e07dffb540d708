"""The captioner: latents of slices in, text out.

An encoder of full attention over the spacetime patches of a clip, packed as in the transformer, and a causal decoder
that attends to them (Vaswani et al. 2017, arXiv 1706.03762). The decoder begins with a vector for the level of detail
that is asked, and ends with the id `END`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.config import Range
from chronotope.errors import UsageError
from chronotope.models.attention import Segments
from chronotope.models.linear import Linear, silu
from chronotope.models.rope import rotary_angles, rotate
from chronotope.models.text import TextBlock

__all__ = ["DETAILS", "END", "CaptionDecoder", "CaptionerConfig", "LatentCaptioner", "Memory", "VisualTokens"]

DETAILS = ("tags", "sentence", "paragraph")  # the levels of detail that it can be asked for
END = 0  # the id that opens a text for the tokenizer, and ends one here

Size = Annotated[int, Range(1, 2**20)]


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the captioner: blocks of its encoder and of its decoder, and how many tokens a caption may have."""

    width: Size = 192
    depth: Annotated[int, Range(1, 1024)] = 3
    text_depth: Annotated[int, Range(1, 1024)] = 4
    head_dim: Annotated[int, Range(2, 4096)] = 64
    max_text_tokens: Annotated[int, Range(2, 2**20)] = 160
    vocabulary_size: Size = 1024
    channels: Size = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)

    def __post_init__(self) -> None:
        if self.width % self.head_dim or self.head_dim % 2:
            raise UsageError(f"width {self.width} must be a multiple of head_dim {self.head_dim}, and head_dim even")

    @property
    def token_size(self) -> int:
        return self.channels * math.prod(self.patch_size)


@dataclass(frozen=True)
class VisualTokens:
    """The patches of several clips in one sequence, without padding; `still` is 1 for tokens of still slices.

    Axes: v visual tokens, p values of a token.
    """

    values: Float[Tensor, "v p"]
    still: Float[Tensor, " v"]
    positions: Float[Tensor, "v 3"]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """What the decoder sees of the clips: keys and values of every decoder block, [v, heads, k] each."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    segments: Segments


Past = tuple[Tensor, Tensor]  # keys and values of the tokens before, [texts, l, heads, k] each


class CaptionBlock(nn.Module):
    """Causal attention within a text, attention to the tokens of its clip, and SwiGLU, each on a normed input."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.qkv = Linear(width, 3 * width, bias=False)
        self.out = Linear(width, width, bias=False)
        self.query = Linear(width, width, bias=False)
        self.kv = Linear(width, 2 * width, bias=False)
        self.cross_out = Linear(width, width, bias=False)
        self.up = Linear(width, 4 * width, bias=False)
        self.down = Linear(2 * width, width, bias=False)

    def keys_values(self, seen: Float[Tensor, "v d"], angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the keys and values of the visual tokens; keys are rotated by their place, queries are not.

        So a query is at the middle of the frame at 0 s, and finds what is left, right or late.
        """
        k, v = self.kv(seen).unflatten(-1, (2, -1, self.head_dim)).unbind(1)
        return rotate(F.rms_norm(k, (self.head_dim,)), *angles), v

    def forward(
        self,
        x: Float[Tensor, "texts l d"],
        angles: tuple[Tensor, Tensor],
        memory: tuple[Tensor, Tensor],
        segments: Segments,
        past: Past | None = None,
    ) -> tuple[Float[Tensor, "texts l d"], Past]:
        """Return the block's output, and the keys and values of all tokens so far.

        Texts are in the order of the clips in `segments`, equally many of each clip.
        """
        q, k, v = self.qkv(_normed(x)).unflatten(-1, (3, -1, self.head_dim)).unbind(2)
        q, k = (rotate(F.rms_norm(y, (self.head_dim,)), *angles) for y in (q, k))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=1), torch.cat([past[1], v], dim=1)
        heads = (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        attended = F.scaled_dot_product_attention(*heads, None, 0.0, past is None)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        x = x + self.cross_out(self._look(self.query(_normed(x)), *memory, segments))
        gate, value = self.up(_normed(x)).chunk(2, dim=-1)
        return x + self.down(silu(gate) * value), (k, v)

    def _look(
        self, q: Float[Tensor, "texts l d"], k: Tensor, v: Tensor, segments: Segments
    ) -> Float[Tensor, "texts l d"]:
        """Attend to the tokens of each text's clip, with one call for each run of clips of equal length."""
        texts = len(q) // len(segments.lengths)
        q = F.rms_norm(q.unflatten(-1, (-1, self.head_dim)), (self.head_dim,))
        runs = segments.runs()
        pieces = zip(
            runs,
            q.split([count * texts for count, _ in runs]),
            k.split([count * length for count, length in runs]),
            v.split([count * length for count, length in runs]),
            strict=True,
        )
        outputs = []
        for (count, length), queries, keys, values in pieces:
            rows = queries.unflatten(0, (count, texts)).flatten(1, 2).transpose(1, 2)
            seen = (y.unflatten(0, (count, length)).transpose(1, 2) for y in (keys, values))
            found = F.scaled_dot_product_attention(rows, *seen).transpose(1, 2)
            outputs.append(found.reshape(count * texts, q.shape[1], -1))
        return torch.cat(outputs)


class CaptionDecoder(nn.Module):
    """Writes texts token by token about what an encoder saw: the half that every network that writes captions has."""

    def add_decoder(self, vocabulary_size: int, width: int, depth: int, head_dim: int, max_text_tokens: int) -> None:
        """Make the modules, after those of the encoder, and draw all weights."""
        self.head_dim, self.max_text_tokens = head_dim, max_text_tokens
        self.openings = nn.Embedding(len(DETAILS), width)
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.text_blocks = nn.ModuleList(CaptionBlock(width, head_dim) for _ in range(depth))
        self.token_out = Linear(width, vocabulary_size)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw matrices with deviation 1/sqrt(inputs); zero all outputs, which makes blocks the identity."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                out = name.rsplit(".", 1)[-1] in ("out", "cross_out", "down", "token_out")
                nn.init.normal_(module.weight, std=0.0 if out else module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)

    def remember(self, seen: Float[Tensor, "v d"], angles: tuple[Tensor, Tensor], segments: Segments) -> Memory:
        """Return what all blocks need of the encoder's output, whose tokens have these angles."""
        seen = _normed(seen)
        keys_values = []
        for block in self.text_blocks:
            assert isinstance(block, CaptionBlock)
            keys_values.append(block.keys_values(seen, angles))
        return Memory(tuple(keys_values), segments)

    def begin(self, detail: str, texts: int) -> Float[Tensor, "texts 1 d"]:
        """Return the input that opens captions of a level of detail."""
        return self.openings.weight[DETAILS.index(detail)].expand(texts, 1, -1)

    def embed(self, ids: Int[Tensor, "texts l"]) -> Float[Tensor, "texts l d"]:
        """Return the inputs for ids."""
        return F.embedding(ids, self.embedding.weight)

    def write(
        self, x: Float[Tensor, "texts l d"], memory: Memory, past: Sequence[Past] | None = None
    ) -> tuple[Float[Tensor, "texts l vocabulary"], tuple[Past, ...]]:
        """Return the logits of the token after each input, and what the next call needs as its `past`."""
        start = 0 if past is None else past[0][0].shape[1]
        places = torch.arange(start, start + x.shape[1], device=x.device, dtype=torch.float32)
        angles = rotary_angles(F.pad(places[:, None], (0, 2)), self.head_dim)
        kept = []
        for number, block in enumerate(self.text_blocks):
            x, now = block(x, angles, memory.keys_values[number], memory.segments, past[number] if past else None)
            kept.append(now)
        return self.token_out(_normed(x)), tuple(kept)

    def teach(
        self, memory: Memory, texts: Mapping[str, Int[Tensor, "clips _"]]
    ) -> dict[str, Float[Tensor, "clips _ vocabulary"]]:
        """Return, by level of detail, the logits of every token of the texts, and of the one after the last."""
        logits = {}
        for detail, ids in texts.items():
            x = torch.cat([self.begin(detail, len(ids)), self.embed(ids)], dim=1)
            logits[detail] = self.write(x, memory)[0]
        return logits


class LatentCaptioner(CaptionDecoder):
    """Encoder of clips and decoder of their captions."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_in = Linear(config.token_size, width)
        self.position_in = Linear(3, width, bias=False)
        self.still = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(TextBlock(width, config.head_dim) for _ in range(config.depth))
        sizes = (config.text_depth, config.head_dim, config.max_text_tokens)
        self.add_decoder(config.vocabulary_size, width, *sizes)

    def look(self, clips: VisualTokens) -> Memory:
        """Encode clips; the result serves all texts about them."""
        angles = rotary_angles(clips.positions, self.config.head_dim)
        segments = Segments(clips.lengths).to(clips.values.device)
        x = self.patch_in(clips.values) + self.position_in(clips.positions) + clips.still[:, None] * self.still
        for block in self.blocks:
            x = block(x, angles, segments)
        return self.remember(x, angles, segments)

    def forward(
        self, clips: VisualTokens, texts: Mapping[str, Int[Tensor, "clips _"]]
    ) -> dict[str, Float[Tensor, "clips _ vocabulary"]]:
        """Return, by level of detail, the logits of every token of the clips' texts, and of the one after the last."""
        return self.teach(self.look(clips), texts)


def _normed(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])
