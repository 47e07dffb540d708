"""A prompt -> what the model will be told, and how often prompts of its kind succeeded when that was measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chronotope.caption.parse import Parser
from chronotope.caption.scene import Deed, Scene
from chronotope.caption.vocabulary import Vocabulary
from chronotope.caption.words.lexicon import load_lexicon, tokens_of

__all__ = ["Chance", "Reading", "chance_of", "read_prompt", "strata_of"]

CONTACT = ("meet", "hit", "eat")
NO_DEED = ("stay",)
PHYSICS = {"bounce": "P2 gravity", "hit": "P3 two bodies", "eat": "P5 irreversible"}  # the last one counts
LENGTHS = {"up to 1 s": 1.0, "1 to 2 s": 2.0}  # as the standard suite has them
LONGEST = 3.0  # seconds; nothing is measured beyond


@dataclass(frozen=True)
class Chance:
    """A measured rate: `right` of `tries` videos of this kind showed all that was asked for; interval of 95 %."""

    kind: str
    right: int
    tries: int
    low: float
    high: float


@dataclass(frozen=True)
class Reading:
    """What a model is told for a prompt, what became of its words, and its measured chances, the decisive one first."""

    typed: str
    told: str
    negative: str
    notes: tuple[str, ...]
    chances: tuple[Chance, ...]


def read_prompt(
    text: str, vocabulary: Vocabulary | None, rates: Mapping[str, Any], num_frames: int, fps: float
) -> Reading:
    """Read a prompt as a worker will; without a vocabulary the model is told what was typed."""
    found = vocabulary.expand(text) if vocabulary else None
    known = vocabulary.known if vocabulary and vocabulary.similar is None else frozenset()
    told = found.prompt if found else text
    negative = found.negative if found else ""
    understood = found is not None and not (
        found.suggestions or found.unread or found.foreign or found.kept or found.left_out
    )
    measured = understood and num_frames / fps <= LONGEST
    chances = chance_of(told, known, rates, num_frames, fps) if measured else ()
    return Reading(text, told, negative, tuple(found.notes()) if found else (), chances)


def chance_of(
    caption: str, known: Collection[str], rates: Mapping[str, Any], num_frames: int, fps: float
) -> tuple[Chance, ...]:
    """Return the measured rates of the kinds that a caption belongs to, the decisive one first.

    It is that of its deeds and length, or of a kind that failed more often, beyond the interval of the first.
    """
    scene = Parser(load_lexicon(), frozenset(known)).parse(tokens_of(caption))
    if not rates or not scene.things:
        return ()
    deeds, length, others = strata_of(scene, num_frames, fps)
    rated = [
        (f"{_plain(deeds)}, {length}", rates.get("cube", {}).get(deeds, {}).get(length)),
        *((_plain(level), rates.get("physics", {}).get(level)) for level in others),
        *((name, rates.get("checks", {}).get(name)) for name in _checks(scene.deeds)),
    ]
    unique = list(dict.fromkeys(_chance(kind, rate) for kind, rate in rated if rate))
    if not unique or rated[0][1] is None:
        return ()
    first = unique[0]
    for other in unique[1:]:
        if other.high < first.right / first.tries and other.right / other.tries < first.low:
            first = other
    return (first, *(chance for chance in unique if chance != first))


def strata_of(scene: Scene, num_frames: int, fps: float) -> tuple[str, str, tuple[str, ...]]:
    """Return the strata of a scene in the words of the standard suite: deeds, length, and others that apply."""
    deeds = [deed for deed in scene.deeds if deed.verb not in NO_DEED]
    length = "a picture"
    if num_frames > 1:
        length = next((name for name, most in LENGTHS.items() if num_frames / fps <= most), "over 2 s")
    if any(deed.verb in CONTACT for deed in deeds):
        level = "C4 one touches another"
    elif not deeds:
        level = "C0 nothing happens"
    elif len(deeds) == 1:
        level = "C1 one deed"
    else:
        later = any(deed.later for deed in deeds)
        level = "C3 one deed after the other" if later else "C2 two deeds at once"
    found = [name for verb, name in PHYSICS.items() if any(deed.verb == verb for deed in deeds)]
    return level, length, tuple(found[-1:])


def _checks(deeds: Sequence[Deed]) -> list[str]:
    return [" ".join(filter(None, (deed.verb, deed.direction))) for deed in deeds]


def _plain(stratum: str) -> str:
    return stratum.partition(" ")[2]


def _chance(kind: str, rate: Mapping[str, Any]) -> Chance:
    low, high = rate["interval"]
    return Chance(kind, rate["right"], rate["of"], low, high)
