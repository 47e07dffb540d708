"""Captions of Doom clips at three levels of detail, written from the truth, and the facts that such words claim."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from chronotope.worlds.doom.deeds import Deed, Sight, brightness, deeds, sights
from chronotope.worlds.doom.simulate import simulate
from chronotope.worlds.doom.spec import DoomSpec
from chronotope.worlds.doom.things import NOUNS
from chronotope.worlds.facts import Fact
from chronotope.worlds.language import Choices, capitalised, distinct_wordings, gerund, join

__all__ = ["captions", "facts", "prompt", "read_facts", "vocabulary"]

Meaning = TypeVar("Meaning")
PLAYER = ("the player", "a soldier", "the soldier")
STYLES = ("in a first-person shooter", "in a game in first person", "in a maze seen in first person")
WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("walk", "forward"): ("walks forward", "walks ahead", "goes forward"),
    ("walk", "backward"): ("walks backward", "steps back", "goes backward"),
    ("turn", "left"): ("turns left", "turns to the left", "looks to the left"),
    ("turn", "right"): ("turns right", "turns to the right", "looks to the right"),
    ("shoot", ""): ("shoots", "fires a pistol"),
    ("defeat", "monster"): ("defeats a monster", "kills a monster"),
}
LIGHTS = {"dark": ("in the dark", "in a dark place"), "bright": ("in bright light", "in a bright place"), "": ("",)}
SIDES = {"left": "on the left", "right": "on the right"}
MOST_DEEDS, MOST_SIGHTS = 4, 3


@dataclass(frozen=True)
class Told:
    """What there is to tell of a clip."""

    deeds: tuple[Deed, ...]
    sights: tuple[Sight, ...]
    ever_seen: frozenset[str]
    light: str
    fps: float
    still: bool


def _told(spec: DoomSpec) -> Told:
    episode = simulate(spec)
    first = episode.seen[0]
    return Told(
        deeds=deeds(episode.states),
        sights=sights(first),
        ever_seen=frozenset(sight.noun for seen in episode.seen for sight in sights(seen)),
        light=brightness(first),
        fps=spec.fps,
        still=spec.num_frames == 1,
    )


class _Writer(Choices):
    """Write about what is told; `rng` chooses between wordings."""

    def __init__(self, told: Told, rng: np.random.Generator) -> None:
        self.told, self.rng = told, rng
        self.player, self.light = self.pick(PLAYER), self.pick(LIGHTS[told.light])

    def deed(self, deed: Deed) -> str:
        return str(self.pick(WORDS[deed.kind, deed.what]))

    def sight(self, sight: Sight, sided: bool) -> str:
        noun = sight.noun if sight.count == 1 else PLURALS[sight.noun]
        return f"{noun} {SIDES[sight.side]}" if sided and sight.side else noun

    def action(self) -> str:
        """Return what the player does, the first deeds if there are many."""
        found = self.told.deeds[:MOST_DEEDS]
        if found:
            return join([self.deed(deed) for deed in found], self.pick((" and then ", ", then ")))
        return "stands still"


PLURALS = dict(NOUNS.values())


def captions(spec: DoomSpec, count: int = 4) -> Mapping[str, tuple[str, ...]]:
    """Return up to `count` wordings of each level: tags, sentence and paragraph."""
    told = _told(spec)
    levels: dict[str, Callable[[_Writer], str]] = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    return distinct_wordings(spec, levels, lambda rng: _Writer(told, rng), count)  # type: ignore[type-var]


def prompt(spec: DoomSpec) -> str:
    """Return a sentence that says all deeds of a clip and its light."""
    writer = _Writer(_told(spec), np.random.default_rng([spec.seed, spec.start, 3]))
    return ", ".join(filter(None, (writer.pick(STYLES), f"{writer.player} {writer.action()}", writer.light)))


def _tags(writer: _Writer) -> str:
    tags = ["first-person shooter", *(gerund(writer.deed(deed)) for deed in writer.told.deeds)]
    tags += [writer.sight(sight, False) for sight in writer.told.sights[:MOST_SIGHTS]]
    return ", ".join(filter(None, [*tags, writer.light]))


def _sentence(writer: _Writer) -> str:
    told = writer.told
    text = f"{writer.pick(STYLES)}, {writer.player} {writer.action()}"
    if writer.light and writer.chance(0.7):
        text = f"{text}, {writer.light}"
    if told.sights and writer.chance(0.6):
        text = f"{text}, with {join([writer.sight(sight, writer.chance(0.5)) for sight in told.sights[:2]])}"
    return capitalised(text) + "." if writer.chance(0.25) else text


def _paragraph(writer: _Writer) -> str:
    told = writer.told
    kind = "picture" if told.still else "video"
    where = f" {writer.light}" if writer.light else ""
    lines = [f"This {kind} of a first-person shooter shows what {writer.player} sees{where}."]
    if told.sights:
        seen = join([writer.sight(sight, True) for sight in told.sights[:MOST_SIGHTS]])
        lines.append(f"{'The view' if told.still else 'At first the view'} contains {seen}.")
    for number, deed in enumerate(told.deeds):
        when = "" if number == 0 else writer.pick(("Then ", f"After {deed.start / told.fps:.1f} seconds, "))
        lines.append(capitalised(f"{when}the player {writer.deed(deed)}") + ".")
    if not told.deeds:
        lines.append(f"The player {writer.action()}.")
    return " ".join(lines)


def facts(spec: DoomSpec) -> frozenset[Fact]:
    """Return what captions can truly claim of a clip."""
    told = _told(spec)
    found = {Fact("object", noun) for noun in told.ever_seen}
    found |= {Fact("position", sight.noun, sight.side) for sight in told.sights if sight.side}
    found |= {_fact(deed.kind, deed.what) for deed in told.deeds}
    if told.light:
        found.add(Fact("place", "", told.light))
    for i, first in enumerate(told.deeds):
        found |= {_order((first.kind, first.what), (later.kind, later.what)) for later in told.deeds[i + 1 :]}
    return frozenset(found)


def _fact(kind: str, what: str) -> Fact:
    return Fact("interaction" if kind == "defeat" else "motion", "player", kind, what)


def _order(first: tuple[str, str], later: tuple[str, str]) -> Fact:
    return Fact("order", "player", " ".join(first).strip(), " ".join(later).strip())


def read_facts(caption: str) -> frozenset[Fact]:
    """Return what a caption in this world's words claims."""
    text = re.sub(r"\s+", " ", caption.lower())
    done, text = _take(text, _PHRASES)
    found = {_fact(*deed) for _, (deed, _) in done}
    told = [deed for _, (deed, finite) in sorted(done, key=lambda one: one[0]) if finite]  # tags claim no order
    found |= {_order(first, later) for i, first in enumerate(told) for later in told[i + 1 :]}
    lit, text = _take(text, _LIGHTS)
    found |= {Fact("place", "", light) for _, light in lit}
    named, text = _take(text, _NOUNS)
    for end, noun in named:
        found.add(Fact("object", noun))
        after = text[end:].lstrip()
        found |= {Fact("position", noun, side) for side, words in SIDES.items() if after.startswith(words)}
    return frozenset(found)


def _take(text: str, phrases: list[tuple[str, Meaning]]) -> tuple[list[tuple[int, Meaning]], str]:
    """Return the ends and the meanings of all phrases in a text, and the text with spaces in their place."""
    found: list[tuple[int, Meaning]] = []
    for phrase, meaning in phrases:
        pattern = re.compile(rf"\b{re.escape(phrase)}\b")
        found += [(match.end(), meaning) for match in pattern.finditer(text)]
        text = pattern.sub(lambda match: " " * len(match.group()), text)
    return found, text


def _longest_first(rows: Iterable[tuple[str, Meaning]]) -> list[tuple[str, Meaning]]:
    return sorted(rows, key=lambda row: -len(row[0]))


def _same(phrase: str) -> str:
    return phrase


_PHRASES = _longest_first(
    (form(phrase), (deed, finite))
    for deed, words in WORDS.items()
    for phrase in words
    for form, finite in ((_same, True), (gerund, False))
)
_LIGHTS = _longest_first((phrase, light) for light, words in LIGHTS.items() for phrase in words if phrase)
_NOUNS = _longest_first((noun, words[0]) for words in dict.fromkeys(NOUNS.values()) for noun in words)


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Return what captions can name, by kind."""
    return {
        "things": tuple(noun for words in dict.fromkeys(NOUNS.values()) for noun in words),
        "actions": tuple(phrase for words in WORDS.values() for phrase in words),
        "lights": tuple(phrase for words in LIGHTS.values() for phrase in words if phrase),
    }
