"""How surely a video shows what its prompt names: the selector among several videos of one prompt. It never sees the truth.

It reads the nouns and shapes that the prompt asks for and asks the detector how sure it is of each, frame by frame. The checks use the
same detector, so what selection gains by it is an upper bound.
"""

from __future__ import annotations

import re

from chronotope.geometry import Frames
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.checks.attributes import detect
from chronotope.worlds.stage.checks.detector import KINDS, load_detector
from chronotope.worlds.stage.vocabulary import SYNONYMS

__all__ = ["SELECTOR", "confidence", "named_kinds"]

SELECTOR = "the detector's confidence in the nouns of the prompt"
_CLAUSES = re.compile(r"[.,;:!?\n]+|\b(?:where|but|while)\b")
_DENIES_WHAT_FOLLOWS = re.compile(r"\b(?:no|not|without|nor|neither|lacks|lacking|except)\b|n't\b")
_DENIES_ALL = re.compile(r"\b(?:nowhere|absent|missing)\b")


def named_kinds(prompt: str) -> list[str]:
    """Return the kinds of the detector's cast that the words ask for, by the grammar's synonyms too; not what they deny.

    A denial holds to the end of its clause: to miss a noun there is better than to choose for what shall not be there.
    """
    found = set()
    for clause in _CLAUSES.split(prompt.lower()):
        if not _DENIES_ALL.search(clause):
            found |= {_MEANT[word] for word in _NOUN.findall(_DENIES_WHAT_FOLLOWS.split(clause)[0])}
    return [kind for kind in KINDS[2:] if kind in found]


def _forms(noun: str) -> tuple[str, ...]:
    """A noun, and how several of it are called; the suite of prompts adds a bare s to all."""
    return noun, noun + "s", noun + "es", *((noun[:-1] + "ies",) if noun.endswith("y") else ())


# Every noun of the world, so that a hot dog is no dog; the longest is read first
_WORDS = {word: kind for kind, words in SYNONYMS.items() for word in words} | {
    noun: noun for noun in (*CAST, *KINDS[2:])
}
_MEANT = {form: kind for word, kind in _WORDS.items() for form in _forms(word)}
_NOUN = re.compile(rf"\b(?:{'|'.join(re.escape(form) for form in sorted(_MEANT, key=len, reverse=True))})\b")


def confidence(prompt: str, frames: Frames) -> float:
    """Return the detector's confidence in the least sure thing that the prompt names; 0 where it names nothing known.

    The confidence in one thing is the largest likelihood of any cell, averaged over the frames.
    """
    likely = detect(load_detector(), frames).likely
    sure = [float(likely[:, KINDS.index(kind)].max(axis=(1, 2)).mean()) for kind in named_kinds(prompt)]
    return min(sure, default=0.0)
