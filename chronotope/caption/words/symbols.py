"""Text as somebody typed it -> plain text: no weights, control characters or hashtags; emoji become words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

from chronotope.caption.words import grammar
from chronotope.caption.words.lexicon import load_lexicon, third_person, tokens_of

__all__ = ["plain_text"]

_WEIGHTED = re.compile(r"[([{]+\s*([^()\[\]{}]*?)\s*(?::\s*[0-9.]+)?\s*[)\]}]+")
_CONTRACTED = re.compile(r"\b(is|are|was|were|do|does|did|ca|wo|has|have)nt\b", re.IGNORECASE)  # typed in a hurry
_SEPARATOR = re.compile(r"(?<=\s)(?:[|/+>\u2022\u00b7\u2013\u2014-]+|::+)(?=\s)|\|")
_SQUARE_BACKGROUND = re.compile(r"\b(\w+) square(?= +(?:background|backdrop|bg)\b)")
_NUMBERS = dict(enumerate(["two", "three", "four", "five", "six", "seven", "eight"], start=2))
_ARROWS = {"leftwards": "to the left", "rightwards": "to the right", "upwards": "upwards", "downwards": "downwards"}
_STYLE = frozenset("large heavy black white medium small suit symbol sign glowing mark".split())  # of how it is drawn


def plain_text(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text in one line, and the emoji that no word of the table means, such as smiling faces."""
    text = _WEIGHTED.sub(r"\1", unicodedata.normalize("NFKC", text))
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", text)  # 1,000
    text = re.sub(r"#(?=[^\W\d])", " ", text)
    text = _CONTRACTED.sub(r"\1n't", text)
    said = set(tokens_of(text))
    parts: list[str] = []
    dropped: list[str] = []
    for char, count in _runs(text):
        if not _is_emoji(char):
            parts.append(_plain_character(char) * count)
            continue
        name = _name(char)
        if name is None:
            dropped.append(char)
        elif name.split(" ")[-1] not in said:  # not 'a fox' and a fox once more
            parts.append(f" {_counted(name, count)} ")
    joined = _SQUARE_BACKGROUND.sub(r"\1", " ".join("".join(parts).split()))
    return " ".join(_SEPARATOR.sub(" , ", f" {joined} ").split()), tuple(dict.fromkeys(dropped))


def _runs(text: str) -> Iterator[tuple[str, int]]:
    """Yield each character with how often it follows itself; blanks between emoji do not part them."""
    text = re.sub("\u200d.", "", text)  # how a figure of an emoji looks
    text = re.sub("[\ufe0e\ufe0f]", "", text)
    for char, group in groupby(re.sub(r"(?<=[^\w\s!-~])\s+(?=[^\w\s!-~])", "", text)):
        yield char, len(list(group))


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) == "So" or (unicodedata.category(char) == "Sm" and "ARROW" in _unicode(char))


def _unicode(char: str) -> str:
    return unicodedata.name(char, "")


def _plain_character(char: str) -> str:
    if char.isspace() or unicodedata.category(char) == "Cc":
        return " "
    return "" if unicodedata.category(char)[0] == "C" else char


def _counted(name: str, count: int) -> str:
    """Return 'three penguins' for three of them in a row; what is no thing has no number."""
    is_thing = any(meaning.kind in ("noun", "alike") for meaning in load_lexicon().find(name.split()[-1]))
    return f"{_NUMBERS.get(count, 'many')} {third_person(name)}" if count > 1 and is_thing else name


def _name(char: str) -> str | None:
    """Return 'fox' for U+1F98A FOX FACE, and 'red circle' for U+1F534 LARGE RED CIRCLE; None for what no word means."""
    whole = _unicode(char).lower()
    if whole in grammar.EMOJI:
        return grammar.EMOJI[whole] or None
    if "arrow" in whole:
        return next((words for name, words in _ARROWS.items() if name in whole), None)
    thing = re.split(r" faces?\b| with\b", whole)[0]
    if not (thing and (load_lexicon().find(thing) or load_lexicon().find(thing.split()[-1]))):
        return None
    colour = [word for word in ("black", "white") if word in thing.split() and "square" in thing.split()]
    return " ".join([*colour, *(word for word in thing.split() if word not in _STYLE)]) or None
