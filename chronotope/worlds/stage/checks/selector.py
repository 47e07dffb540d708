"""Score how confidently the detector sees what a prompt names, to select one of several videos of one prompt.

The selector reads the prompt and the frames, never the spec. The checks use the same detector, so the gain that they
measure for selection is an upper bound.
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
    """Return the detector's kinds that the prompt names, synonyms included, without those that it negates.

    A negation extends to the end of its clause: missing a noun costs less than selecting for one that must not appear.
    """
    found = set()
    for clause in _CLAUSES.split(prompt.lower()):
        if not _DENIES_ALL.search(clause):
            found |= {_KIND_OF[word] for word in _NOUN.findall(_DENIES_WHAT_FOLLOWS.split(clause)[0])}
    return [kind for kind in KINDS[2:] if kind in found]


def _forms(noun: str) -> tuple[str, ...]:
    """Return the forms of a noun in the singular and the plural; the suite of prompts adds a bare s to all."""
    return noun, noun + "s", noun + "es", *((noun[:-1] + "ies",) if noun.endswith("y") else ())


# Every noun of the world, matched longest first, so that a hot dog is no dog
_WORDS = {word: kind for kind, words in SYNONYMS.items() for word in words} | {
    noun: noun for noun in (*CAST, *KINDS[2:])
}
_KIND_OF = {form: kind for word, kind in _WORDS.items() for form in _forms(word)}
_NOUN = re.compile(rf"\b(?:{'|'.join(re.escape(form) for form in sorted(_KIND_OF, key=len, reverse=True))})\b")


def confidence(prompt: str, frames: Frames) -> float:
    """Return the smallest confidence among the kinds that the prompt names; 0 where it names no known kind.

    The confidence in one kind is its largest probability in any cell, averaged over the frames.
    """
    probability = detect(load_detector(), frames).probability
    confidences = [float(probability[:, KINDS.index(kind)].max(axis=(1, 2)).mean()) for kind in named_kinds(prompt)]
    return min(confidences, default=0.0)
