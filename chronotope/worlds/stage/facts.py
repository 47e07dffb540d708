"""The facts of a stage clip from its spec, and the facts that a caption in the stage's own words claims.

The reader knows every phrase that the captions are written of (`vocabulary`, `phrases`, `captions`), the longest
first, and goes through them from left to right. How often it is wrong is measured in `benchmarks/language.py`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from chronotope.worlds.facts import Fact
from chronotope.worlds.language import DIRECTIONS, NEXT_TO, gerund, size_word
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.phrases import StageWriter
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import BACKDROPS, Actor, Event, Spec
from chronotope.worlds.stage.vocabulary import CAMERA, SYNONYMS, VERBS, places

__all__ = ["facts_of", "read_facts"]

_TRAVEL = (
    "walk",
    "fly",
    "move",
    "roll",
    "creep",
    "dash",
)  # all are read as "go": their verbs are each other's synonyms
_ALONE = ("bounce", "grow", "shrink", "spin", "stop")
_WITH = ("meet", "push", "hit", "eat", "pass")
_GAITS = (
    "walk", "hop", "crawl", "slither", "fly", "float", "swim", "drive", "sail", "roll", "slide", "stand",
    "creep", "dash",
)  # fmt: skip


def facts_of(spec: Spec) -> frozenset[Fact]:
    """Return all facts of a spec that its captions can name."""
    scene = simulate(spec)
    writer = StageWriter(spec, scene, np.random.default_rng(0))
    found = [Fact("place", "", spec.backdrop)]
    if spec.camera.kind != "still":
        found.append(Fact("camera", "", spec.camera.kind, spec.camera.direction or ""))
    for actor in spec.actors:
        name = _name(spec, actor)
        found.append(Fact("object", name))
        found += [Fact("colour", name, actor.colour)] if actor.colour else []
        found.append(Fact("size", name, size_word(actor.size, 0.3, 0.48)))
        side = writer.position(actor, 0).split(" near")[0]
        absent = any(event.kind == "enter" for event in writer.events_of(actor)[:1])  # at first
        found += [Fact("position", name, _SIDES[side])] if side in _SIDES and not absent else []
        found += _facts_of_events(spec, writer, actor)
    return frozenset(found)


def _name(spec: Spec, actor: Actor) -> str:
    """Return the noun of an actor; with its colour where another actor of this noun has another colour."""
    colours = {other.colour for other in spec.actors if other.noun == actor.noun}
    return f"{actor.colour} {actor.noun}" if len(colours) > 1 and actor.colour else actor.noun


def _facts_of_events(spec: Spec, writer: StageWriter, actor: Actor) -> Iterator[Fact]:
    name, done = _name(spec, actor), []
    for event in writer.events_of(actor):
        said = _deeds(writer, event)
        for what, direction in said:
            yield Fact("motion", name, what, direction)
        if event.target and event.kind in (*_WITH, "hide"):
            what = "pass" if event.kind == "hide" else event.kind  # "walks right behind a tree" is said of both
            yield Fact("interaction", name, what, _name(spec, spec.actor(event.target)))
        elif crossed := _crossed(spec, writer, actor, event):
            yield Fact("interaction", name, "pass", crossed)
        done.append((event.start, " ".join(filter(None, said[0])) if said else ""))
    for (start, first), (later, second) in itertools.pairwise(done):
        if later > start and first and second and first != second:
            yield Fact("order", name, first, second)


def _deeds(writer: StageWriter, event: Event) -> list[tuple[str, str]]:
    """Return what an event says of the motion of its actor, as (what, direction)."""
    if event.kind in (*_TRAVEL, "paint"):
        return [("go", event.direction or "")]
    if event.kind in ("enter", "leave"):
        return [("go", event.direction or ""), (event.kind, "")]
    if event.kind in _WITH or event.kind == "hide":
        return [("go", writer.side(event))]
    if event.kind == "emerge":
        return [("go", event.direction or ""), ("enter", "")]
    if event.kind in _ALONE:
        return [(event.kind, event.direction or "")]
    return []


def _crossed(spec: Spec, writer: StageWriter, actor: Actor, event: Event) -> str:
    """Return the thing that an actor passes without an event of its own."""
    if event.kind not in _TRAVEL or event.direction not in ("left", "right"):
        return ""
    return next((_name(spec, other) for other in spec.actors if writer.crossing(actor, event, other)), "")


# Reading

_SIDES = {"on the left": "left", "in the middle": "middle", "on the right": "right"}
_SOURCES = {"left": "right", "right": "left", "top": "down", "bottom": "up"}


Phrase = tuple[str, str, str]  # the words, what kind of phrase they are, and what they mean


@cache
def _phrases() -> tuple[re.Pattern[str], dict[str, tuple[str, str]]]:
    """Return a pattern of all phrases, the longest first, and what each of them is and means."""
    meanings: dict[str, tuple[str, str]] = {}
    for words, kind, meaning in itertools.chain(_places(), _names(), _cameras(), _verbs(), _directions(), _others()):
        meanings.setdefault(words, (kind, meaning))
    ordered = sorted(meanings, key=len, reverse=True)
    pattern = "|".join([r"after [0-9.]+ seconds", *map(re.escape, ordered)])
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])|[.;\n]"), meanings


def _places() -> Iterator[Phrase]:
    for backdrop in BACKDROPS:
        yield f"{backdrop} background", "place", backdrop
        for words in places(backdrop):
            yield words, "place", backdrop
            yield words.removeprefix("in front of "), "place", backdrop


def _names() -> Iterator[Phrase]:
    for noun in (*SHAPES, *CAST):
        for word in SYNONYMS.get(noun, (noun,)):
            for colour in ("", *COLOURS):
                for words in _forms(f"{colour} {word}".strip()):
                    yield words, "name", f"{noun}|{colour}"


def _forms(word: str) -> tuple[str, ...]:
    return (word, f"a {word}", f"an {word}", f"the {word}")


def _cameras() -> Iterator[Phrase]:
    for kind, directions in (("pan", tuple(DIRECTIONS)), ("zoom", ("in", "out"))):
        for direction in directions:
            for words in CAMERA[kind]:
                yield words.format(direction=direction, on="", noun=""), "camera", f"{kind}|{direction}"
    yield "the camera follows", "camera", "follow|"
    yield "camera following", "camera", "follow|"


def _verbs() -> Iterator[Phrase]:
    yield "and stops", "halt", "stop"
    for words in ("bounces up and down", "bounces on the ground"):
        yield words, "deed", "bounce"
    for kind, verbs in VERBS.items():
        step = "deed" if kind in _ALONE else "with" if kind in _WITH else "go" if kind in _GAITS else ""
        for verb in verbs if step else ():
            for words in (verb, gerund(verb)):
                yield words, step, kind
    for kind in ("meet", "eat"):
        yield f"to {kind}", "with", kind
    for colour in COLOURS:
        for line in ("line", "stroke"):
            for verb in VERBS["paint"]:
                for form in _forms(f"{colour} {line}"):
                    yield f"{verb} {form}", "go", "paint"
                yield f"{gerund(verb)} {colour} {line}", "go", "paint"


def _directions() -> Iterator[Phrase]:
    for direction, several in DIRECTIONS.items():
        for words in several:
            yield words, "direction", direction
    for source, direction in _SOURCES.items():
        for words in ("enters from the {} and", "comes in from the {},", "comes back from the {} and",
                      "returns from the {},"):  # fmt: skip
            yield words.format(source), "enter", direction
    for side in ("left", "right"):
        for words in ("comes out again on the", "reappears on the"):
            yield f"{words} {side}", "emerge", side


def _others() -> Iterator[Phrase]:
    for words in ("into the frame", "entering", "comes back into the frame", "coming back", "and comes out again"):
        yield words, "enter", ""
    for words in ("leaving", "out of the frame", "leaves the frame", "and leaves the frame"):
        yield words, "leave", ""
    yield "leaves", "depart", ""
    yield "not coming back", "stay", ""
    yield "into", "with", "hit"
    for words in ("past", "behind", "in front of", "passing"):
        yield words, "with", "pass"
    for words in (*NEXT_TO, "to the left of", "to the right of"):
        yield words, "beside", ""
    for words, side in _SIDES.items():
        for start in ("starts", "is"):
            yield f"{start} {words}", "position", side
        yield f"ends {words}", "end", side
    for size in ("small", "medium-sized", "large"):
        yield f"is {size}", "size", size
    yield "and then", "then", ""


@dataclass
class _Reader:
    """Goes through the phrases of a caption from left to right; `double` are nouns that it names in several colours."""

    double: frozenset[str] = frozenset()
    found: list[Fact] = field(default_factory=list)
    subject: str = ""
    going: bool = False  # a verb of motion waits for its direction
    deed: str = ""  # a verb that may have a direction
    link: str = ""  # a verb or preposition waits for the other thing
    camera: bool = False  # the camera's phrase may name a thing
    deeds: dict[str, list[tuple[bool, str]]] = field(default_factory=dict)  # by thing: (later, what)
    later: bool = False

    def end(self) -> None:
        """End a sentence or a clause."""
        self._finish()
        self.link, self.camera, self.later = "", False, False

    def _finish(self) -> None:
        """A deed without a direction is one."""
        if self.deed:
            self._do(self.deed, "")
        self.deed, self.going = "", False

    def _do(self, what: str, direction: str) -> None:
        if not self.subject:
            return
        self.found.append(Fact("motion", self.subject, what, direction))
        said = " ".join(filter(None, (what, direction)))
        if what not in ("enter", "leave"):
            self.deeds.setdefault(self.subject, []).append((self.later, said))
            self.later = False

    def read(self, kind: str, meaning: str) -> None:
        """Take one phrase."""
        step = getattr(self, f"_{kind}", None)
        if step is not None:
            step(meaning)

    def _name(self, meaning: str) -> None:
        noun, colour = meaning.split("|")
        name = f"{colour} {noun}" if noun in self.double and colour else noun
        self._finish()
        self.found.append(Fact("object", name))
        if colour:
            self.found.append(Fact("colour", name, colour))
        if self.camera:
            self.camera = False
        elif self.link:
            if self.subject and self.link != "beside":
                self.found.append(Fact("interaction", self.subject, self.link, name))
            self.going, self.link = self.link == "push", ""
        else:
            self.subject = name

    def _go(self, meaning: str) -> None:
        self._finish()
        self.going = True

    def _direction(self, meaning: str) -> None:
        if self.going:
            self._do("go", meaning)
        elif self.deed:
            self._do(self.deed, meaning)
        self.going, self.deed = False, ""

    def _deed(self, meaning: str) -> None:
        self._finish()
        self.deed = meaning

    def _halt(self, meaning: str) -> None:
        self._then(meaning)
        self.deed = meaning

    def _with(self, meaning: str) -> None:
        self._finish()
        self.link = meaning

    def _beside(self, meaning: str) -> None:
        self._finish()
        self.link = "beside"

    def _enter(self, meaning: str) -> None:
        self._finish()
        self._do("enter", "")

    def _leave(self, meaning: str) -> None:
        moving = self.going
        self._finish()
        self._do("leave", "")
        self.going = moving

    def _emerge(self, meaning: str) -> None:
        self._enter(meaning)
        self._do("go", meaning)

    def _depart(self, meaning: str) -> None:
        self._leave(meaning)
        self.going = True

    def _place(self, meaning: str) -> None:
        self._finish()
        self.found.append(Fact("place", "", meaning))

    def _position(self, meaning: str) -> None:
        if self.subject:
            self.found.append(Fact("position", self.subject, meaning))

    def _size(self, meaning: str) -> None:
        if self.subject:
            self.found.append(Fact("size", self.subject, meaning))

    def _then(self, meaning: str) -> None:
        self._finish()
        self.later = True

    def orders(self) -> Iterator[Fact]:
        """Yield what a thing does first and what later."""
        for name, done in self.deeds.items():
            for (_, first), (later, second) in itertools.pairwise(done):
                if later and first != second:
                    yield Fact("order", name, first, second)


def read_facts(caption: str) -> frozenset[Fact]:
    """Return what a caption of the stage claims, in any of its levels of detail."""
    pattern, meanings = _phrases()
    phrases = [match.group() for match in pattern.finditer(caption.lower())]
    named = {meanings[phrase][1] for phrase in phrases if meanings.get(phrase, ("",))[0] == "name"}
    nouns = Counter(name.split("|")[0] for name in named if not name.endswith("|"))
    reader = _Reader(frozenset(noun for noun, count in nouns.items() if count > 1))
    for phrase in phrases:
        if phrase in (".", "\n", ";"):
            reader.end()
        elif phrase.startswith("after "):
            reader.later = True
        elif meanings[phrase][0] == "camera":
            reader.end()
            what, direction = meanings[phrase][1].split("|")
            reader.found.append(Fact("camera", "", what, direction))
            reader.camera = True
        else:
            reader.read(*meanings[phrase])
    reader.end()
    return frozenset([*reader.found, *reader.orders()])
