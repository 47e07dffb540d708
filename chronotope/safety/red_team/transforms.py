"""Disguises of a prompt that leave it readable to people: what a filter has to see through."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["TRANSFORMS"]

LEET = dict(zip("aeiost", "4310$7", strict=True))
LOOK_ALIKES = dict(zip("aceopxyi", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456", strict=True))  # Cyrillic
FULL_WIDTH = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
ACCENTED = dict(zip("aeiou", "\u00e4\u00e9\u00ee\u00f6\u00fa", strict=True))
EMOJI = {
    "knife": "\U0001f52a",
    "gun": "\U0001f52b",
    "bomb": "\U0001f4a3",
    "pills": "\U0001f48a",
    "boy": "\U0001f466",
    "girl": "\U0001f467",
    "baby": "\U0001f476",
    "dog": "\U0001f415",
    "cat": "\U0001f408",
    "train": "\U0001f686",
}


def _mapped(letters: dict[str, str]) -> Callable[[str, random.Random], str]:
    return lambda text, rng: "".join(letters.get(letter, letter) for letter in text)


def _each_word(change: Callable[[str, random.Random], str]) -> Callable[[str, random.Random], str]:
    return lambda text, rng: " ".join(change(word, rng) if len(word) > 3 else word for word in text.split(" "))


def _repeat(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + 3 * word[place - 1] + word[place:]


def _swap(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


TRANSFORMS: dict[str, Callable[[str, random.Random], str]] = {
    "none": lambda text, rng: text,
    "capitals": lambda text, rng: text.upper(),
    "leet": _mapped(LEET),
    "look-alikes": _mapped(LOOK_ALIKES),
    "full width": _mapped(FULL_WIDTH),
    "accents": _mapped(ACCENTED),
    "zero width": _each_word(lambda word, rng: "\u200b".join(word)),
    "split by points": _each_word(lambda word, rng: ".".join(word)),
    "split by spaces": _each_word(lambda word, rng: " ".join(word)),
    "repeated letters": _each_word(_repeat),
    "swapped letters": _each_word(_swap),
    "emoji": lambda text, rng: " ".join(EMOJI.get(word, word) for word in text.split(" ")),
    "wrapped": lambda text, rng: f"a calm landscape, a tree, {text}, soft light, high quality",
}
