"""A subword vocabulary that is learnt from captions: texts <-> token ids. It needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

__all__ = ["MIN_VOCABULARY", "Tokenizer", "learn_vocabulary"]

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
# spaces that no text has: before marks, around hyphens and apostrophes in words, and within decimal numbers
_NO_SPACE = re.compile(r" (?=[.,;:!?'])|(?<=') |(?<=\w) (?=- \w)|(?<=\w -) (?=\w)|(?<=\d \.) (?=\d)")
START = "\u2581"  # marks the start of a word inside a piece, as in sentencepiece
# Every vocabulary can spell ASCII, so that words that no caption had are unusual, but never unknown.
ALPHABET = [START, *(char for char in map(chr, range(33, 127)) if not char.isupper())]
MIN_VOCABULARY = len(ALPHABET) + 2  # with the ids 0 and 1 of `Tokenizer`

KEPT_WORDS, KEPT_LETTERS = 100_000, 32  # words whose ids a tokenizer keeps, and the most letters of each


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
