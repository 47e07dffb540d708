"""Text to vectors: a small encoder trained with the transformer.

The encoder embeds the ids of a subword vocabulary, or projects the states of a frozen encoder that was trained before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.models.attention import Segments, packed_attention
from chronotope.models.linear import Linear, silu
from chronotope.models.rope import rotary_angles, rotate

__all__ = [
    "StateProjection",
    "TextEncoder",
    "TextTokenizer",
    "TextTokens",
]

TextTokens = Sequence[int] | Tensor  # ids of a vocabulary, or states [l, s] of a frozen encoder


@runtime_checkable
class TextTokenizer(Protocol):
    """Texts -> the tokens that a transformer reads: those of a vocabulary, or the states of a frozen encoder."""

    def encode(self, text: str, most: int | None = None) -> TextTokens:
        """Return the tokens of a text, or the first `most`; the empty text has one."""
        ...

    def num_tokens(self, text: str, most: int | None = None) -> int:
        """Count the tokens of a whole text, up to `most`."""
        ...

    def shortened(self, text: str, most: int) -> str:
        """Return a text that has at most `most` tokens: the text itself, or its first words."""
        ...

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters of a text that are read as one unknown token, each once."""
        ...


class TextBlock(nn.Module):
    """Pre-norm attention and SwiGLU, as in the transformer, without modulation."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.qkv = Linear(width, 3 * width, bias=False)
        self.out = Linear(width, width, bias=False)
        self.up = Linear(width, 4 * width, bias=False)
        self.down = Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], segments: Segments) -> Tensor:
        normed = F.rms_norm(x, x.shape[-1:])
        q, k, v = self.qkv(normed).unflatten(-1, (3, -1, self.head_dim)).unbind(1)
        q, k = (rotate(F.rms_norm(y, (self.head_dim,)), *angles) for y in (q, k))
        x = x + self.out(packed_attention(q, k, v, segments).flatten(1))
        gate, value = self.up(F.rms_norm(x, x.shape[-1:])).chunk(2, dim=-1)
        return x + self.down(silu(gate) * value)


class StateProjection(nn.Module):
    """States of a frozen encoder to vectors: normalised, then projected; a row of zeros is the empty text.

    The empty text is a learned vector, so that dropout of captions and guidance need no encoder.
    """

    def __init__(self, state_width: int, width: int) -> None:
        super().__init__()
        self.project = Linear(state_width, width, bias=False)
        self.empty = nn.Parameter(torch.randn(width))

    def forward(self, states: Float[Tensor, "n s"]) -> Float[Tensor, "n d"]:
        states = states.to(self.empty.dtype)
        blank = (states == 0).all(dim=1, keepdim=True)
        return self.project(F.rms_norm(states, states.shape[-1:])) + blank * self.empty


class TextEncoder(nn.Module):
    """Tokens of many texts, packed, to one vector a token; texts do not see each other.

    `embedding` turns tokens into vectors: `nn.Embedding` for ids, `StateProjection` for the states of another encoder.
    """

    def __init__(self, embedding: nn.Module, width: int, depth: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.embedding = embedding
        self.blocks = nn.ModuleList(TextBlock(width, head_dim) for _ in range(depth))

    def forward(self, tokens: Int[Tensor, " n"] | Float[Tensor, "n s"], texts: Segments) -> Float[Tensor, "n d"]:
        x = self.embedding(tokens)
        if not texts.lengths:
            return x
        angles = rotary_angles(F.pad(texts.places[:, None], (0, 2)), self.head_dim)
        for block in self.blocks:
            x = block(x, angles, texts)
        return F.rms_norm(x, x.shape[-1:])
