"""The expander: a short caption in, a descriptive one out; the decoder is that of the captioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.config import Range
from chronotope.errors import UsageError
from chronotope.models.attention import Segments
from chronotope.models.captioner import CaptionDecoder, Memory
from chronotope.models.rope import rotary_angles
from chronotope.models.text import TextEncoder

__all__ = ["ExpanderConfig", "PromptExpander"]

Size = Annotated[int, Range(1, 2**20)]


@dataclass(frozen=True)
class ExpanderConfig:
    """Sizes of the expander: blocks of its encoder and of its decoder, and how many tokens a text may have."""

    width: Size = 128
    depth: Annotated[int, Range(1, 1024)] = 2
    text_depth: Annotated[int, Range(1, 1024)] = 2
    head_dim: Annotated[int, Range(2, 4096)] = 64
    max_text_tokens: Annotated[int, Range(2, 2**20)] = 200
    vocabulary_size: Size = 1024

    def __post_init__(self) -> None:
        if self.width % self.head_dim or self.head_dim % 2:
            raise UsageError(f"width {self.width} must be a multiple of head_dim {self.head_dim}, and head_dim even")


class PromptExpander(CaptionDecoder):
    """Encoder of short captions and decoder of descriptive ones."""

    def __init__(self, config: ExpanderConfig) -> None:
        super().__init__()
        self.config = config
        embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.reader = TextEncoder(embedding, config.width, config.depth, config.head_dim)
        sizes = (config.text_depth, config.head_dim, config.max_text_tokens)
        self.add_decoder(config.vocabulary_size, config.width, *sizes)

    def look(self, ids: Int[Tensor, " n"], lengths: Sequence[int]) -> Memory:
        """Encode short captions, packed."""
        segments = Segments(tuple(lengths)).to(ids.device)
        angles = rotary_angles(F.pad(segments.places[:, None], (0, 2)), self.config.head_dim)
        return self.remember(self.reader(ids, segments), angles, segments)

    def forward(
        self, ids: Int[Tensor, " n"], lengths: Sequence[int], texts: Mapping[str, Int[Tensor, "clips _"]]
    ) -> dict[str, Float[Tensor, "clips _ vocabulary"]]:
        """Return the logits of every token of the descriptive captions, and of the one after the last."""
        return self.teach(self.look(ids, lengths), texts)
