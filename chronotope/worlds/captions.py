"""Captions written from the spec, at three levels of detail, never from pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from chronotope.worlds.cast_table import article
from chronotope.worlds.spec import Actor, Event, Spec, spec_key
from chronotope.worlds.words import CAMERA, DIRECTIONS, SYNONYMS, VERBS, gerund, places, verb_key

__all__ = ["captions"]


def captions(spec: Spec, count: int = 4) -> dict[str, tuple[str, ...]]:
    """`count` different wordings (fewer if the spec does not allow so many) of each level: tags, sentence, paragraph."""
    writers = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    out: dict[str, tuple[str, ...]] = {}
    for level, (name, write) in enumerate(writers.items()):
        rng = np.random.default_rng([int(spec_key(spec)[:12], 16), level])
        drawn = (write(_Pen(spec, rng)) for _ in range(4 * count))
        out[name] = tuple(dict.fromkeys(drawn))[:count]
    return out


class _Pen:
    """A spec and the dice with which this wording is chosen."""

    def __init__(self, spec: Spec, rng: np.random.Generator) -> None:
        self.spec, self.rng = spec, rng
        self.words = {actor.id: self.pick(SYNONYMS.get(actor.noun, (actor.noun,))) for actor in spec.actors}

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def name(self, actor: Actor) -> str:
        """'red ball', 'fox'."""
        return f"{actor.colour} {self.words[actor.id]}" if actor.colour else self.words[actor.id]

    def a(self, actor: Actor) -> str:
        name = self.name(actor)
        return f"{article(name)} {name}"

    def the(self, actor: Actor) -> str:
        return f"the {self.name(actor)}"

    def events_of(self, actor: Actor) -> list[Event]:
        return sorted((e for e in self.spec.events if e.actor == actor.id), key=lambda e: e.start)

    def place(self) -> str:
        return self.pick(places(self.spec.backdrop))

    def camera(self) -> str:
        camera = self.spec.camera
        if camera.kind == "still":
            return ""
        noun = self.name(self.spec.actor(camera.actor)) if camera.actor else ""
        return self.pick(CAMERA[camera.kind]).format(direction=camera.direction, noun=noun)

    def deed(self, actor: Actor, event: Event) -> str:
        """A verb phrase in the third person: 'walks to the right'."""
        verb = self.pick(VERBS[verb_key(actor, event)])
        side = event.direction
        if event.kind == "enter":
            source = {"left": "right", "right": "left", "up": "bottom", "down": "top"}[side or "right"]
            return self.pick((f"enters from the {source} and {verb} {side}", f"comes in from the {source}, {gerund(verb)} {side}",
                              f"{verb} {side} into the frame"))  # fmt: skip
        if event.kind == "leave":
            toward = f"to the {side}" if side in ("left", "right") else side
            return self.pick((f"{verb} out of the frame {toward}", f"leaves {toward}", f"{verb} {side} and leaves the frame"))
        if event.kind == "bounce" and side is None:
            return self.pick(("bounces up and down", "bounces on the ground", "bounces"))
        if side is None:
            return verb
        return f"{verb} {self.pick(DIRECTIONS[side])}{self.passing(actor, event)}"

    def passing(self, actor: Actor, event: Event) -> str:
        """' past a tree' when the way leads by somebody who stays where they are."""
        spec = self.spec
        if event.kind not in ("walk", "fly", "move", "roll") or event.direction not in ("left", "right"):
            return ""
        begin = actor.x
        finish = begin + (event.amount or 0.5) * (1 if event.direction == "right" else -1)
        low, high = sorted((begin, finish))
        for other in spec.actors:
            if other.id == actor.id or any(e.kind in ("walk", "fly", "move", "roll", "enter", "leave") for e in self.events_of(other)):
                continue
            if low + 0.04 < other.x < high - 0.04:
                level = abs(other.y - actor.y) * spec.height < 0.5 * (other.size + actor.size) * min(spec.width, spec.height)
                how = ("behind" if actor.depth > other.depth else "in front of") if level else "past"
                return f" {self.pick((how, how, 'past'))} {self.a(other)}"
        return ""


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _tags(pen: _Pen) -> str:
    words = []
    for actor in pen.spec.actors:
        words.append(pen.name(actor))
        for event in pen.events_of(actor):
            words.append(gerund(pen.pick(VERBS[verb_key(actor, event)])) + (f" {event.direction}" if event.direction else ""))
            words += [{"enter": "entering", "leave": "leaving"}[event.kind]] if event.kind in ("enter", "leave") else []
    words.append(f"{pen.spec.backdrop} background" if pen.chance(0.5) else pen.place().removeprefix("in front of "))
    camera = pen.spec.camera
    if camera.kind != "still":
        words.append(f"camera {gerund({'pan': 'pans', 'zoom': 'zooms', 'follow': 'follows'}[camera.kind])} {camera.direction or ''}".strip())
    return ", ".join(words)


def _clauses(pen: _Pen) -> str:
    """Who does what, everybody once: 'a fox walks right past a tree'."""
    parts, mentioned = [], set()
    order = sorted(pen.spec.actors, key=lambda actor: not pen.events_of(actor))
    for actor in order:
        if actor.id in mentioned:
            continue
        deeds = [pen.deed(actor, event) for event in pen.events_of(actor)]
        text = pen.a(actor) + (" " + " and then ".join(deeds) if deeds else "")
        mentioned.add(actor.id)
        mentioned |= {other.id for other in pen.spec.actors if other.id != actor.id and f" {pen.a(other)}" in text}
        parts.append(text)
    return _join(parts)


def _sentence(pen: _Pen) -> str:
    text, camera = _clauses(pen), pen.camera()
    if pen.chance(0.9):
        text = f"{text} {pen.place()}"
    if camera:
        text = f"{text}, {camera}"
    style = int(pen.rng.integers(4))
    if style == 0:
        return text[0].upper() + text[1:] + "."
    return text


_SIZES = ((0.3, "small"), (0.48, "medium-sized"), (9.9, "large"))


def _where(actor: Actor) -> str:
    across = "on the left" if actor.x < 0.38 else "on the right" if actor.x > 0.62 else "in the middle"
    height = " near the top" if actor.y < 0.33 else " near the bottom" if actor.y > 0.67 else ""
    return across + height


def _paragraph(pen: _Pen) -> str:
    spec = pen.spec
    still = spec.num_frames == 1
    kind = "picture" if still else "video"
    names = _join([pen.a(actor) for actor in spec.actors])
    lines = [pen.pick((f"This {kind} shows {names} {pen.place()}.", f"A {kind} of {names} {pen.place()}.",
                       f"{names[0].upper()}{names[1:]} {pen.place()}."))]  # fmt: skip
    for actor in spec.actors:
        size = next(word for limit, word in _SIZES if actor.size < limit)
        entering = any(e.kind == "enter" for e in pen.events_of(actor))
        if entering:
            lines.append(f"The {pen.name(actor)} is {size} and not there at first.")
        else:
            lines.append(f"The {pen.name(actor)} is {size} and {'is' if still else 'starts'} {_where(actor)}.")
    for number, event in enumerate(sorted(spec.events, key=lambda e: e.start)):
        actor = spec.actor(event.actor)
        when = "At first, " if event.start < 0.1 and number == 0 else f"After {event.start:.1f} seconds, " if event.start >= 0.1 else "Meanwhile, "
        lines.append(f"{when}{pen.the(actor)} {pen.deed(actor, event)}.")
    pairs = list(zip(spec.actors, spec.actors[1:], strict=False))
    for one, two in pairs:
        if one.depth != two.depth:
            front, back = (one, two) if one.depth < two.depth else (two, one)
            lines.append(f"The {pen.name(front)} is closer than the {pen.name(back)}.")
    camera = pen.camera()
    if camera:
        lines.append(camera[0].upper() + camera[1:] + ".")
    elif not still:
        lines.append(pen.pick(("The camera does not move.", "The camera is still.", "The camera stays still.")))
    return " ".join(lines)
