"""Words to vectors: a subword tokenizer learnt from the captions and a small encoder trained with the transformer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.models.attention import Segments, packed_attention
from chronotope.models.rope import rotary_angles, rotate

__all__ = ["TextEncoder", "Tokenizer", "learn_vocabulary"]

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
START = "\u2581"  # marks the start of a word inside a piece, as in sentencepiece


def _words(text: str) -> list[str]:
    return [START + word for word in _WORD.findall(text.lower())]


def learn_vocabulary(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """Byte-pair merges (Sennrich et al. 2016, arXiv 1508.07909) over words: single characters first, then merged pieces."""
    counts = Counter(word for text in texts for word in _words(text))
    pieces = {word: list(word) for word in counts}
    vocabulary = sorted(
        {START, *map(chr, range(33, 127)), *(char for word in counts for char in word)}
        - set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    )
    known = set(vocabulary)
    while len(vocabulary) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merged = "".join(best)
        if merged not in known:
            known.add(merged)
            vocabulary.append(merged)
        for word, parts in pieces.items():
            pieces[word] = _merge(parts, best)
    return tuple(vocabulary)


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            merged.append(parts[i] + parts[i + 1])
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


class Tokenizer:
    """Longest-match pieces of lower-cased words; id 0 opens every text, id 1 stands for characters never seen."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.ids = {piece: number + 2 for number, piece in enumerate(vocabulary)}
        self.longest = max(map(len, vocabulary), default=1)

    @property
    def size(self) -> int:
        return len(self.ids) + 2

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; the empty text is the single opening token."""
        ids = [0]
        for word in _words(text):
            start = 0
            while start < len(word):
                for stop in range(min(len(word), start + self.longest), start, -1):
                    if word[start:stop] in self.ids:
                        ids.append(self.ids[word[start:stop]])
                        start = stop
                        break
                else:
                    ids.append(1)
                    start += 1
        return ids


class TextBlock(nn.Module):
    """Pre-norm attention and SwiGLU, as in the transformer, without modulation."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], segments: Segments) -> Tensor:
        normed = F.rms_norm(x, x.shape[-1:])
        q, k, v = self.qkv(normed).unflatten(-1, (3, -1, self.head_dim)).unbind(1)
        q, k = (rotate(F.rms_norm(y, (self.head_dim,)), *angles) for y in (q, k))
        x = x + self.out(packed_attention(q, k, v, segments).flatten(1))
        gate, value = self.up(F.rms_norm(x, x.shape[-1:])).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * value)


class TextEncoder(nn.Module):
    """Token ids of many texts, packed, to one vector a token; texts do not see each other."""

    def __init__(self, vocabulary_size: int, width: int, depth: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = nn.ModuleList(TextBlock(width, head_dim) for _ in range(depth))

    def forward(self, ids: Int[Tensor, " n"], lengths: Sequence[int]) -> Float[Tensor, "n d"]:
        x = self.embedding(ids)
        segments = Segments(tuple(lengths))
        places = segments.places().to(ids.device, torch.float32)
        angles = rotary_angles(F.pad(places[:, None], (0, 2)), self.head_dim)
        for block in self.blocks:
            x = block(x, angles, segments)
        return F.rms_norm(x, x.shape[-1:])
