"""WordNet 3.0 on this machine -> for the words of captions, those that mean the same or are a kind of it.

Only usual meanings count: of a word in its most frequent part of speech, and there in its first meaning. Verbs and
adjectives have synonyms alone, nouns also their kinds; kinds of kinds are as often wrong as right.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chronotope.caption.words.lexicon import is_english

__all__ = ["HOW_TO_INSTALL", "Part", "Synset", "WordNet", "find_wordnet", "similar_words"]

Part = Literal["noun", "verb", "adj"]
PARTS: dict[str, Part] = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}  # the digits of sense keys
FOLDER = Path("/usr/share/wordnet")  # of Debian's package wordnet-base
HOW_TO_INSTALL = "install it (Debian: apt install wordnet-base), or name its folder in WNSEARCHDIR"
MAX_KINDS = 200  # of a noun; one with more, such as "person", is too general to stand for them


@dataclass(frozen=True)
class Synset:
    """A meaning: its words, the places of those that it is a kind of and that are a kind of it, and its explanation."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    below: tuple[str, ...]
    gloss: str


def find_wordnet() -> Path | None:
    """Return the folder of WordNet's database: that in WNSEARCHDIR, its own variable, or Debian's; None without one."""
    folder = Path(os.environ.get("WNSEARCHDIR") or FOLDER)
    return folder if all((folder / name).is_file() for name in ("data.noun", "cntlist.rev")) else None


class WordNet:
    """One part of speech. Its files are sorted, and meanings are named by their place in bytes, see wndb(5WN)."""

    def __init__(self, folder: Path, part: Part) -> None:
        self._index = (folder / f"index.{part}").read_bytes()
        self._data = (folder / f"data.{part}").read_bytes()

    def senses(self, word: str) -> list[str]:
        """Return the places of the meanings of a word, the most usual first."""
        return next((_senses(line) for line in lines_from(self._index, f"{word} ")), [])

    def words(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every word with the places of its meanings."""
        for line in self._index.decode().splitlines():
            if not line.startswith("  "):
                yield line.split(" ", 1)[0], _senses(line)

    def meaning(self, place: str) -> Synset:
        """Return the meaning at a place."""
        start = int(place)
        return _synset(self._data[start : self._data.index(b"\n", start)].decode())


def lines_from(data: bytes, start: str) -> Iterator[str]:
    """Yield the lines that begin in a certain way, of sorted ones, by bisection."""
    key = start.encode()
    low, high = 0, len(data)
    while low < high:
        line_start = data.rfind(b"\n", 0, (low + high) // 2) + 1
        line_end = data.index(b"\n", line_start)
        if data[line_start:line_end] < key:
            low = line_end + 1
        else:
            high = line_start
    while data.startswith(key, low):
        end = data.index(b"\n", low)
        yield data[low:end].decode()
        low = end + 1


def _senses(line: str) -> list[str]:
    fields = line.split()
    return fields[6 + int(fields[3]) :]


def _synset(line: str) -> Synset:
    fields, _, gloss = line.partition(" | ")
    _, _, kind, count, *rest = fields.split()
    end = 2 * int(count, 16)
    pointers = [rest[at : at + 3] for at in range(end + 1, end + 1 + 4 * int(rest[end]), 4)]
    above = tuple(target for symbol, target, part in pointers if symbol in ("@", "@i") and part == kind)
    below = tuple(target for symbol, target, part in pointers if symbol == "~" and part == kind)
    words = tuple(word.partition("(")[0] for word in rest[0:end:2])  # without marks such as "(a)"
    return Synset(words, above, below, gloss.split(";")[0])


def similar_words(words: Collection[str], folder: Path) -> dict[str, str]:
    """Return the single words of English that mean one of `words` or a kind of it, with the nearest of these.

    `words` are in their base form, and none of them is a key of what is returned. Of several that are as near, the most
    frequent is taken.
    """
    counted, found = (folder / "cntlist.rev").read_bytes(), dict[str, tuple[int, int, str]]()

    def counts(word: str) -> dict[Part, int]:
        """Return how often a word was counted in WordNet's texts, by part of speech."""
        by_part: dict[Part, int] = {}
        for key, _, count in map(str.split, lines_from(counted, f"{word}%")):
            if (part := PARTS.get(key[len(word) + 1])) is not None:
                by_part[part] = by_part.get(part, 0) + int(count)
        return by_part

    def is_usual(word: str, part: Part) -> bool:
        of_word = counts(word)
        return not of_word or of_word.get(part, 0) == max(of_word.values())

    for part in PARTS.values():
        wordnet = WordNet(folder, part)
        for word in words:
            for other, steps in _near(wordnet, word, part == "noun").items() if is_usual(word, part) else ():
                if other not in words and is_english(other) and is_usual(other, part):
                    rank = (steps, -counts(word).get(part, 0), word)
                    found[other] = min(found.get(other, rank), rank)
    return {other: word for other, (*_, word) in sorted(found.items())}


def _near(wordnet: WordNet, word: str, kinds: bool) -> dict[str, int]:
    """Return the words whose first meaning is that of a word, or a kind of it, with the number of steps between."""
    if not (senses := wordnet.senses(word)):
        return {}
    own = wordnet.meaning(senses[0])
    below = own.below if kinds and len(own.below) <= MAX_KINDS else ()
    steps = {senses[0]: 0, **dict.fromkeys(below, 1)}
    return {
        other: step
        for place, step in reversed(steps.items())
        for other in wordnet.meaning(place).words
        if other.isalpha() and other.islower() and wordnet.senses(other)[0] == place
    }
