"""The small words of English that say where, which way, how many, in which order and what not, from `grammar.toml`."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

__all__ = [
    "BACKGROUNDS",
    "CAMERA",
    "COUNTS",
    "DETERMINERS",
    "DIRECTIONS",
    "EMOJI",
    "FRAME",
    "HARD",
    "IGNORED",
    "INTO",
    "NOT",
    "NOT_THERE",
    "OUT",
    "PRONOUNS",
    "RELATIONS",
    "SHORT_FORMS",
    "SIDES",
    "SIZES",
    "SMALL",
    "STILL",
    "THEN",
    "TOWARDS",
    "ZOOMS",
]

_TABLES: dict[str, Any] = tomllib.loads(
    resources.files("chronotope.caption.words").joinpath("grammar.toml").read_text(encoding="utf-8")
)


def _words(name: str) -> frozenset[str]:
    return frozenset(_TABLES["sets"][name])


def _meanings(name: str) -> dict[str, str]:
    """Return the meaning of each phrase of a table."""
    return {phrase: meaning for meaning, phrases in _TABLES[name].items() for phrase in phrases}


DETERMINERS, PRONOUNS, HARD = _words("determiners"), _words("pronouns"), _words("hard")
NOT, NOT_THERE = _words("not"), _words("not_there")
OUT, INTO, FRAME, BACKGROUNDS = _words("out"), _words("into"), _words("frame"), _words("backgrounds")
THEN, STILL, TOWARDS = _words("then"), _words("still"), _words("towards")
CAMERA, IGNORED = _words("camera"), _words("ignored")
COUNTS, SIZES = _meanings("counts"), _meanings("sizes")
DIRECTIONS, SIDES, RELATIONS = _meanings("directions"), _meanings("sides"), _meanings("relations")
ZOOMS = _meanings("zooms")
SMALL = frozenset(
    word
    for phrases in (*_TABLES["sets"].values(), COUNTS, SIZES, DIRECTIONS, SIDES, RELATIONS, ZOOMS)
    for phrase in phrases
    for word in phrase.split()
)  # all of them
EMOJI: dict[str, str] = _TABLES["emoji"]
SHORT_FORMS: dict[str, str] = _TABLES["short_forms"]
