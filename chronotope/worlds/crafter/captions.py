"""Captions of Crafter clips at three levels of detail, written from the truth, and the facts that such words claim.

A clip with several deeds also has a story: one line a deed, with its time in seconds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from chronotope.worlds.crafter.deeds import Deed, Sight, deeds, place, sights, time_of_day
from chronotope.worlds.crafter.simulate import simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.facts import Fact
from chronotope.worlds.language import Choices, capitalised, distinct_wordings, gerund, join

__all__ = ["captions", "facts", "prompt", "read_facts", "vocabulary"]

PLAYER = ("the player", "a player", "the explorer")
STYLES = ("in a pixel game", "in a pixel world", "in a pixel world seen from above")
# The wordings of each deed; the first is the usual one.
WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("walk", "left"): ("walks to the left", "walks left", "goes left"),
    ("walk", "right"): ("walks to the right", "walks right", "goes right"),
    ("walk", "up"): ("walks up", "walks upward", "goes up"),
    ("walk", "down"): ("walks down", "walks downward", "goes down"),
    ("drink", "water"): ("drinks water", "takes a drink of water"),
    ("chop", "tree"): ("chops a tree", "gathers wood from a tree"),
    ("pick", "sapling"): ("picks a sapling", "collects a sapling"),
    ("mine", "stone"): ("mines stone", "digs stone"),
    ("mine", "coal"): ("mines coal", "digs coal"),
    ("mine", "iron"): ("mines iron", "digs iron"),
    ("mine", "diamond"): ("mines a diamond", "digs a diamond"),
    ("eat", "cow"): ("eats a cow", "kills a cow for food"),
    ("eat", "plant"): ("eats a ripe plant", "eats the fruit of a plant"),
    ("defeat", "zombie"): ("defeats a zombie", "beats a zombie"),
    ("defeat", "skeleton"): ("defeats a skeleton", "beats a skeleton"),
    ("place", "stone"): ("places a stone", "puts down a stone"),
    ("place", "table"): ("places a table", "builds a table"),
    ("place", "furnace"): ("places a furnace", "builds a furnace"),
    ("place", "sapling"): ("plants a sapling", "puts a sapling into the ground"),
    ("sleep", ""): ("falls asleep", "goes to sleep"),
    ("wake", ""): ("wakes up",),
} | {
    ("make", f"{stuff} {tool}"): tuple(
        f"{verb} {'an' if stuff == 'iron' else 'a'} {stuff} {tool}" for verb in ("makes", "crafts")
    )
    for stuff in ("wood", "stone", "iron")
    for tool in ("pickaxe", "sword")
}
# One of each kind of thing, and several.
NOUNS: dict[str, tuple[str, str]] = {
    "cow": ("a cow", "cows"),
    "zombie": ("a zombie", "zombies"),
    "skeleton": ("a skeleton", "skeletons"),
    "plant": ("a young plant", "young plants"),
    "plant-ripe": ("a ripe plant", "ripe plants"),
    "water": ("a pond", "a lake"),
    "sand": ("a patch of sand", "sand"),
    "stone": ("a rock", "rocks"),
    "path": ("a spot of bare ground", "bare ground"),
    "tree": ("a tree", "trees"),
    "lava": ("a spot of lava", "lava"),
    "coal": ("a lump of coal", "coal"),
    "iron": ("a lump of iron", "iron"),
    "diamond": ("a diamond", "diamonds"),
    "table": ("a table", "tables"),
    "furnace": ("a furnace", "furnaces"),
}
SIDES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
PLACES = {
    "grassland": ("on grassland", "on a meadow"),
    "forest": ("in a forest", "among many trees"),
    "shore": ("on a shore", "at the water's edge"),
    "rocks": ("among rocks", "in the mountains"),
}
TIMES = {"day": ("by day", "in daylight"), "dusk": ("at dusk",), "night": ("at night", "in the dark")}
IDLE = ("stands still", "stays in place")
MOST_DEEDS, MOST_SIGHTS = 4, 3  # of a sentence


@dataclass(frozen=True)
class Told:
    """What there is to tell of a clip."""

    deeds: tuple[Deed, ...]
    sights: tuple[Sight, ...]
    ever_seen: frozenset[str]
    place: str
    time: str
    moves: bool
    fps: float
    still: bool


def _told(spec: CrafterSpec) -> Told:
    """Return what there is to tell of a clip."""
    episode = simulate(spec)
    scenes = episode.scenes
    return Told(
        deeds=deeds(scenes, episode.positions),
        sights=sights(scenes, 0),
        ever_seen=frozenset(sight.name for t in range(len(scenes)) for sight in sights(scenes, t)),
        place=place(scenes, 0),
        time=time_of_day(scenes, 0),
        moves=bool((episode.positions != episode.positions[0]).any()),
        fps=spec.fps,
        still=spec.num_frames == 1,
    )


def captions(spec: CrafterSpec, count: int = 4) -> Mapping[str, tuple[str, ...]]:
    """Return up to `count` wordings of each level: tags, sentence, paragraph and perhaps story."""
    told = _told(spec)
    levels: dict[str, Callable[[_Writer], str]] = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    if len(told.deeds) > 1:
        levels["story"] = _story
    return distinct_wordings(spec, levels, lambda rng: _Writer(told, rng), count)  # type: ignore[type-var]


def prompt(spec: CrafterSpec) -> str:
    """Return a sentence that says everything that the checks ask of a clip: its deeds, its place and its time."""
    told = _told(spec)
    writer = _Writer(told, np.random.default_rng([spec.seed, spec.start, 3]))
    place_and_time = f"{writer.pick(PLACES[told.place])}, {writer.pick(TIMES[told.time])}"
    return f"{writer.pick(STYLES)}, {writer.player} {writer.action()}, {place_and_time}"


class _Writer(Choices):
    """Write about what is told; `rng` chooses between wordings."""

    def __init__(self, told: Told, rng: np.random.Generator) -> None:
        self.told, self.rng = told, rng
        self.player = self.pick(PLAYER)

    def deed(self, deed: Deed) -> str:
        return str(self.pick(WORDS[deed.kind, deed.what]))

    def sight(self, sight: Sight, sided: bool) -> str:
        noun = NOUNS[sight.name][min(sight.count, 2) - 1]
        return f"{noun} {SIDES[sight.side]}" if sided and sight.side else noun

    def action(self) -> str:
        """Return what the player does, the first deeds if there are many."""
        found = self.told.deeds[:MOST_DEEDS]
        if found:
            return join([self.deed(deed) for deed in found], self.pick((" and then ", ", then ")))
        return "stands" if self.told.still else self.pick(IDLE) if not self.told.moves else "walks about"


def _tags(writer: _Writer) -> str:
    told = writer.told
    tags = ["pixel game", *(gerund(writer.deed(deed)) for deed in told.deeds)]
    tags += [writer.sight(sight, False) for sight in told.sights[:MOST_SIGHTS]]
    return ", ".join([*tags, writer.pick(PLACES[told.place]), writer.pick(TIMES[told.time])])


def _sentence(writer: _Writer) -> str:
    told = writer.told
    text = f"{writer.pick(STYLES)}, {writer.player} {writer.action()}"
    if writer.chance(0.7):
        text = f"{text}, {writer.pick(PLACES[told.place])}"
    if told.time != "day" or writer.chance(0.2):
        text = f"{text}, {writer.pick(TIMES[told.time])}"
    if told.sights and writer.chance(0.6):
        text = f"{text}, with {join([writer.sight(sight, writer.chance(0.5)) for sight in told.sights[:2]])}"
    return capitalised(text) + "." if writer.chance(0.25) else text


def _paragraph(writer: _Writer) -> str:
    told = writer.told
    kind = "picture" if told.still else "video"
    lines = [
        f"This {kind} of a pixel game shows {writer.player} {writer.pick(PLACES[told.place])}, "
        f"{writer.pick(TIMES[told.time])}."
    ]
    if told.sights:
        seen = join([writer.sight(sight, True) for sight in told.sights[: MOST_SIGHTS + 2]])
        view = "The view" if told.still else "At first the view"
        lines.append(f"{view} {writer.pick(('shows', 'contains'))} {seen}.")
    for number, deed in enumerate(told.deeds):
        when = "" if number == 0 else writer.pick(("Then ", f"After {deed.start / told.fps:.1f} seconds, "))
        lines.append(capitalised(f"{when}the player {writer.deed(deed)}") + ".")
    if not told.deeds:
        lines.append(f"The player {writer.action()}.")
    return " ".join(lines)


def _story(writer: _Writer) -> str:
    beats: dict[float, list[str]] = {}
    for number, deed in enumerate(writer.told.deeds):
        beat = 0.0 if number == 0 else deed.start / writer.told.fps
        beats.setdefault(beat, []).append(writer.deed(deed))
    return "\n".join(f"{beat:g}: {writer.player} {join(words, ' and then ')}" for beat, words in beats.items())


# Facts


def facts(spec: CrafterSpec) -> frozenset[Fact]:
    """Return what captions can truly claim of a clip."""
    told = _told(spec)
    found = {Fact("object", name) for name in told.ever_seen}
    found |= {Fact("position", sight.name, sight.side) for sight in told.sights if sight.side}
    found |= {Fact("place", "", told.place), Fact("place", "", told.time)}
    found |= {_deed_fact(deed.kind, deed.what) for deed in told.deeds}
    for i, first in enumerate(told.deeds):
        found |= {_order_fact((first.kind, first.what), (later.kind, later.what)) for later in told.deeds[i + 1 :]}
    return frozenset(found)


def _deed_fact(kind: str, what: str) -> Fact:
    if kind in ("walk", "sleep", "wake"):
        return Fact("motion", "player", kind, what)
    return Fact("interaction", "player", kind, what)


def _order_fact(first: tuple[str, str], later: tuple[str, str]) -> Fact:
    return Fact("order", "player", " ".join(first).strip(), " ".join(later).strip())


def read_facts(caption: str) -> frozenset[Fact]:
    """Return what a caption in this world's words claims."""
    text = re.sub(r"\s+", " ", caption.lower())
    done: list[tuple[int, tuple[str, str], bool]] = []
    for phrase, deed, finite in _PHRASES:
        for match in re.finditer(rf"\b{re.escape(phrase)}\b", text):
            done.append((match.start(), deed, finite))
        text = re.sub(rf"\b{re.escape(phrase)}\b", lambda match: " " * len(match.group()), text)
    done.sort()
    found = {_deed_fact(*deed) for _, deed, _ in done}
    told = [deed for _, deed, finite in done if finite]  # a list of tags claims no order
    found |= {_order_fact(first, later) for first, later in itertools.pairwise(told)}
    for names in (PLACES, TIMES):
        for name, words in names.items():
            for phrase in words:
                if re.search(rf"\b{re.escape(phrase)}\b", text):
                    found.add(Fact("place", "", name))
                    text = text.replace(phrase, " " * len(phrase))
    for phrase, name in _NOUNS:
        for match in re.finditer(rf"\b{re.escape(phrase)}\b", text):
            found.add(Fact("object", name))
            after = text[match.end() :].lstrip()
            found |= {Fact("position", name, side) for side, words in SIDES.items() if after.startswith(words)}
        text = re.sub(rf"\b{re.escape(phrase)}\b", lambda match: " " * len(match.group()), text)
    return frozenset(found)


def _longest_first(rows: list[tuple]) -> list[tuple]:  # type: ignore[type-arg]
    return sorted(rows, key=lambda row: -len(row[0]))


_PHRASES: list[tuple[str, tuple[str, str], bool]] = _longest_first(
    [(phrase, deed, True) for deed, words in WORDS.items() for phrase in words]
    + [(gerund(phrase), deed, False) for deed, words in WORDS.items() for phrase in words]
)
_NOUNS: list[tuple[str, str]] = _longest_first([(noun, name) for name, words in NOUNS.items() for noun in words])


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Return what captions can name, by kind."""
    return {
        "things": tuple(noun for words in NOUNS.values() for noun in words),
        "actions": tuple(phrase for words in WORDS.values() for phrase in words),
        "places": tuple(phrase for words in PLACES.values() for phrase in words),
        "times": tuple(phrase for words in TIMES.values() for phrase in words),
    }
