"""A clause such as "a red ball rolls right" -> a thing that the detector knows, its colour, and what it does."""

from __future__ import annotations

import re

from chronotope.errors import UsageError, suggest
from chronotope.worlds.observe.sightings import Act, Step
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.checks.detector import KINDS, SHAPE_KINDS
from chronotope.worlds.stage.vocabulary import SYNONYMS, VERBS

__all__ = ["read_step"]

_GAITS = "walk hop crawl slither fly float swim drive sail roll slide stand creep dash".split()
_PHRASES: dict[Act, tuple[str, ...]] = {
    "is there": ("is there", "is seen", "is in sight"),
    "appears": ("appears", "enters", "comes in", *VERBS["emerge"]),
    "disappears": ("disappears", "leaves", "goes away", "vanishes", *VERBS["hide"]),
    "moves": tuple(dict.fromkeys(verb for gait in _GAITS for verb in VERBS[gait])),
}
_ACT_OF = {phrase: act for act, phrases in _PHRASES.items() for phrase in phrases}
_THING_OF = {kind: kind for kind in KINDS[2:]} | {
    word: kind for kind, words in SYNONYMS.items() if kind in KINDS for word in words
}


def _any_of(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_CLAUSE = re.compile(
    rf"(?:(?:a|an|the) )?(?:(?P<colour>{_any_of([*COLOURS])}) )?(?P<thing>{_any_of([*_THING_OF])}) "
    rf"(?P<act>{_any_of([*_ACT_OF])})(?: (?:to the )?(?P<direction>left|right|up|down))?"
)


def read_step(text: str) -> Step:
    """Return what a clause names; raise UsageError for words that the detector knows nothing of."""
    found = _CLAUSE.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise UsageError(_what_is_wrong(text))
    step = Step(_THING_OF[found["thing"]], _ACT_OF[found["act"]], found["direction"] or "", found["colour"] or "")
    if step.colour and step.thing not in SHAPE_KINDS:
        raise UsageError(f"'{text}': a {step.thing} has its own colours; only {', '.join(SHAPE_KINDS)} have one")
    if step.direction and step.act != "moves":
        raise UsageError(f"'{text}': only what moves has a direction; leave '{step.direction}' out")
    return step


def _what_is_wrong(text: str) -> str:
    words = re.findall(r"\w+", text.lower())
    if not any(thing in " ".join(words) for thing in _THING_OF):
        subject = next((word for word in words if word not in {"a", "an", "the", *COLOURS}), text)
        return f"'{text}' names nothing that the detector knows. {suggest(subject, _THING_OF)}"
    return (
        f"'{text}' cannot be read; write a thing and what it does, such as 'a red ball moves right' or "
        f"'a rabbit appears'. Verbs are {', '.join(_ACT_OF)}"
    )
