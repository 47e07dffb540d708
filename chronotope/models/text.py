"""Text to vectors: a subword vocabulary learnt from captions, and a small encoder trained with the transformer.

The encoder embeds the token ids of that vocabulary, or projects the states of a frozen encoder that was trained before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from chronotope.models.attention import Segments, packed_attention
from chronotope.models.linear import Linear, silu
from chronotope.models.rope import rotary_angles, rotate

__all__ = [
    "MIN_VOCABULARY",
    "StateProjection",
    "TextEncoder",
    "TextTokenizer",
    "TextTokens",
    "Tokenizer",
    "learn_vocabulary",
]

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
# spaces that no text has: before marks, around hyphens and apostrophes in words, and within decimal numbers
_NO_SPACE = re.compile(r" (?=[.,;:!?'])|(?<=') |(?<=\w) (?=- \w)|(?<=\w -) (?=\w)|(?<=\d \.) (?=\d)")
START = "\u2581"  # marks the start of a word inside a piece, as in sentencepiece
# Every vocabulary can spell ASCII, so that words that no caption had are unusual, but never unknown.
ALPHABET = [START, *(char for char in map(chr, range(33, 127)) if not char.isupper())]
MIN_VOCABULARY = len(ALPHABET) + 2  # with the ids 0 and 1 of `Tokenizer`

KEPT_WORDS, KEPT_LETTERS = 100_000, 32  # words whose ids a tokenizer keeps, and the most letters of each

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


def _words(text: str) -> Iterator[str]:
    return (START + found[0] for found in _WORD.finditer(text.lower()))


def learn_vocabulary(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """Learn byte-pair merges (Sennrich et al. 2016, arXiv 1508.07909) over the words of `texts`.

    Returns the characters of the texts and of ASCII in code-point order, then the merged pieces, the most frequent
    first: `size` pieces, or fewer if nothing is left to merge, or more if there are more characters than that.
    """
    from tokenizers import Tokenizer as Trained
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    learner = Trained(BPE())
    # The library refuses lone surrogates, which JSON files may contain: "?" replaces them.
    words = (list(_words(text.encode(errors="replace").decode())) for text in texts)
    learner.train_from_iterator(words, BpeTrainer(vocab_size=size, initial_alphabet=ALPHABET, show_progress=False))
    numbers = learner.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__))


class Tokenizer:
    """Splits lower-cased words into the longest pieces of a vocabulary.

    Id 0 opens every text, id 1 stands for a character that is not in the vocabulary, and piece `i` has id `i + 2`. The
    library's own longest-match model (`WordPiece`) gives the same ids, but takes 1.5 times as long and time quadratic
    in the length of a word.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.ids = {piece: number + 2 for number, piece in enumerate(vocabulary)}
        self._texts = tuple(vocabulary)
        self._kept: dict[str, tuple[int, ...]] = {}  # ids of words that were read
        self.longest = max(map(len, vocabulary), default=1)

    @property
    def size(self) -> int:
        return len(self.ids) + 2

    def encode(self, text: str, most: int | None = None) -> list[int]:
        """Return the token ids of a text, or the first `most`; those of the empty text are the opening token alone.

        A model reads a few hundred, and a caption file may hold millions: what is not read takes no time.
        """
        ids = [0]
        for word in _words(text):
            if most is not None and len(ids) >= most:
                break
            ids += self._ids_of(word, most)
        return ids[:most]

    def num_tokens(self, text: str, most: int | None = None) -> int:
        """Count the ids of a text, up to `most`."""
        return len(self.encode(text, most))

    def _ids_of(self, word: str, most: int | None) -> Iterable[int]:
        """Return the ids of a word; those of words of usual length are kept, because texts repeat them."""
        if len(word) > KEPT_LETTERS:
            return (self.ids.get(piece, 1) for piece in islice(self._pieces_of(word), most))
        found = self._kept.get(word)
        if found is None:
            if len(self._kept) >= KEPT_WORDS:
                self._kept.clear()
            found = self._kept[word] = tuple(self.ids.get(piece, 1) for piece in self._pieces_of(word))
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Write ids as a text, in lower case; marks such as full stops join the word before them."""
        pieces = [self._texts[i - 2] for i in ids if i >= 2]
        words = "".join(pieces).replace(START, " ")
        return _NO_SPACE.sub("", words).strip()

    def shortened(self, text: str, most: int) -> str:
        """Return a text that has at most `most` ids: the text itself, or its first words, which can be none."""
        kept: list[str] = []
        count = 1
        for word in text.split():
            count += len(self.encode(word, most + 1)) - 1
            if count > most:
                return " ".join(kept)
            kept.append(word)
        return text

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters of a text that have the id 1, each once, in lower case."""
        return list(dict.fromkeys(piece for piece in self._pieces(text) if piece not in self.ids))

    def _pieces(self, text: str) -> Iterator[str]:
        """Yield the longest pieces of the vocabulary, and single characters where none begins."""
        for word in _words(text):
            yield from self._pieces_of(word)

    def _pieces_of(self, word: str) -> Iterator[str]:
        start = 0
        while start < len(word):
            for stop in range(min(len(word), start + self.longest), start, -1):
                if word[start:stop] in self.ids:
                    break
            yield word[start:stop]  # one character if the loop has found nothing
            start = stop


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
