"""Verb phrases for the events of a stage clip, and words for places, sides and the camera."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from chronotope.worlds.language import DIRECTIONS, OPPOSITE, PhraseWriter, article, gerund, horizontal_position
from chronotope.worlds.stage.camera import camera_path
from chronotope.worlds.stage.occlusion import is_return, out_of_sight
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.tracks import Scene
from chronotope.worlds.stage.vocabulary import CAMERA, SYNONYMS, VERBS, places, verb_key

__all__ = ["StageWriter"]

_TRAVEL_EVENTS = ("walk", "fly", "move", "roll", "creep", "dash")
_SAME_HEIGHT = 0.8  # of the mean height of two actors: closer centres are at the same height


class StageWriter(PhraseWriter):
    """Write phrases about one simulated spec."""

    def __init__(self, spec: Spec, scene: Scene, rng: np.random.Generator) -> None:
        super().__init__(spec, SYNONYMS, rng)
        self.spec, self.scene = spec, scene
        self.path = camera_path(spec, scene.tracks)
        self.events = spec.events  # the events that are described

    def limited_to(self, events: tuple[Event, ...]) -> StageWriter:
        """Return the same writer, which describes only these events."""
        writer = copy.copy(self)
        writer.events = events
        return writer

    def place(self) -> str:
        """Return where the clip takes place: 'in the sky'."""
        return str(self.pick(places(self.spec.backdrop)))

    def camera(self) -> str:
        """Return what the camera does, or an empty string if it is still."""
        camera = self.spec.camera
        if camera.kind == "still":
            return ""
        noun = self.name(self.spec.actor(camera.actor)) if camera.actor else ""
        preposition = "on" if camera.direction == "in" else "from"
        on = f" {preposition} the {noun}" if noun else ""
        return str(self.pick(CAMERA[camera.kind]).format(direction=camera.direction, noun=noun, on=on))

    def events_of(self, actor: Actor) -> list[Event]:
        """Return the described events of one actor in order of time."""
        return sorted((e for e in self.events if e.actor == actor.id), key=lambda e: e.start)

    def action(self, actor: Actor, event: Event, other: str | None = None) -> str:
        """Return a verb phrase in the third person: 'walks to the right'; `other` names the target."""
        target = ""
        if event.target:
            target = other or self.a(self.spec.actor(event.target))
        write = _ACTIONS.get(event.kind)
        if write is not None:
            return write(self, actor, event, target)
        verb = self.pick(VERBS[verb_key(actor, event)])
        if event.direction is None:
            return f"{verb} out of sight" if out_of_sight(self.spec, event) else verb
        return f"{verb} {self.pick(DIRECTIONS[event.direction])}{self._passing(actor, event, other is not None)}"

    def side(self, event: Event) -> str:
        """Return the direction of an event, or else the side on which its target is."""
        if event.direction:
            return event.direction
        frame = min(int(event.start * self.spec.fps), self.spec.num_frames - 1)
        x = {name: self.scene.tracks[name].x[frame] for name in (event.actor, event.target or "")}
        return "right" if x[event.target or ""] > x[event.actor] else "left"

    def _passing(self, actor: Actor, event: Event, definite: bool = False) -> str:
        """Return ' past a tree' if the actor passes another one, or an empty string."""
        if event.kind not in _TRAVEL_EVENTS or event.direction not in ("left", "right"):
            return ""
        for other in self.spec.actors:
            how = self.crossing(actor, event, other)
            if how:
                return f" {self.pick((how, how, 'past'))} {self.the(other) if definite else self.a(other)}"
        return ""

    def crossing(self, actor: Actor, event: Event, other: Actor) -> str:
        """Return 'behind', 'in front of' or 'past' if the actor passes the other, or an empty string.

        The other actor does not move, or moves the opposite way and is described later.
        """
        if other.id == actor.id or any(e.target == other.id and e.kind != "beside" for e in self.spec.events):
            return ""
        moves = [e for e in self.spec.events if e.actor == other.id and e.direction and e.kind != "beside"]
        if moves and not self._comes_towards(actor, event, other, moves):
            return ""
        one, two = self.scene.tracks[actor.id], self.scene.tracks[other.id]
        during = (self.scene.times >= event.start - 1e-9) & (self.scene.times <= event.end + 1e-9)
        if not during.any():
            return ""
        gap = (two.x - one.x)[during]
        if not min(gap[0], gap[-1]) < 0 < max(gap[0], gap[-1]):
            return ""
        nearest = int(np.argmin(np.abs(two.x - one.x)))
        reach = one.half_size(nearest)[1] + two.half_size(nearest)[1]
        if abs(one.y[nearest] - two.y[nearest]) < _SAME_HEIGHT * reach:
            return "behind" if actor.depth > other.depth else "in front of"
        return "" if moves else "past"

    def _comes_towards(self, actor: Actor, event: Event, other: Actor, moves: list[Event]) -> bool:
        """Tell whether `other`, which is described later, makes one move the opposite way at that time."""
        opposite, actors = OPPOSITE[event.direction or "right"], self.spec.actors
        if len(moves) != 1 or moves[0].kind not in _TRAVEL_EVENTS or moves[0].direction != opposite:
            return False
        overlaps = moves[0].start < event.end and event.start < moves[0].end
        return overlaps and actors.index(actor) < actors.index(other)

    def position(self, actor: Actor, frame: int) -> str:
        """Return where an actor is in the picture at one frame: 'on the left near the top'."""
        track, (look_x, look_y, zoom) = self.scene.tracks[actor.id], self.path[frame]
        x = 0.5 + (track.x[frame] - look_x) * zoom / self.spec.width
        y = 0.5 + (track.y[frame] - look_y) * zoom / self.spec.height
        if not (0 < x < 1 and 0 < y < 1):
            return "out of view"
        text = horizontal_position(x, 0.38, 0.62)
        if y < 0.33:
            return f"{text} near the top"
        return f"{text} near the bottom" if y > 0.67 else text


def _enter(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    verb, side = writer.pick(VERBS[verb_key(actor, event)]), event.direction
    source = {"left": "right", "right": "left", "up": "bottom", "down": "top"}[side or "right"]
    if is_return(writer.spec, event):
        phrases = (
            f"comes back from the {source} and {verb} {side}",
            f"returns from the {source}, {gerund(verb)} {side}",
            f"{verb} {side} and comes back into the frame",
        )
    else:
        phrases = (
            f"enters from the {source} and {verb} {side}",
            f"comes in from the {source}, {gerund(verb)} {side}",
            f"{verb} {side} into the frame",
        )
    return str(writer.pick(phrases))


def _leave(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    verb, side = writer.pick(VERBS[verb_key(actor, event)]), event.direction
    toward = f"to the {side}" if side in ("left", "right") else side
    phrases = (f"{verb} out of the frame {toward}", f"leaves {toward}", f"{verb} {side} and leaves the frame")
    return str(writer.pick(phrases))


def _bounce(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    if event.direction:
        return f"bounces {writer.pick(DIRECTIONS[event.direction])}"
    return str(writer.pick(("bounces up and down", "bounces on the ground", "bounces")))


def _toward(writer: StageWriter, actor: Actor, event: Event) -> str:
    """Return 'walks to the right', towards the target of an event."""
    verb = writer.pick(VERBS[verb_key(actor, event, travel=True)])
    return f"{verb} {writer.pick(('', 'to the '))}{writer.side(event)}"


def _pass(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    other = writer.spec.actor(event.target or "")
    how = "behind" if actor.depth > other.depth else "in front of"
    return f"{_toward(writer, actor, event)} {writer.pick((how, how, 'past'))} {target}"


def _hide(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    links = ("and hides behind", "behind", "and goes out of sight behind")
    return f"{_toward(writer, actor, event)} {writer.pick(links)} {target}"


def _emerge(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    verb, side = writer.pick(VERBS[verb_key(actor, event, travel=True)]), event.direction
    phrases = (
        f"comes out again on the {side}",
        f"reappears on the {side}",
        f"{verb} {writer.pick(DIRECTIONS[side or 'right'])} and comes out again",
    )
    return str(writer.pick(phrases))


def _stay(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    if any(e.kind == "hide" and e.actor == actor.id for e in writer.spec.events):
        return str(writer.pick(("does not come out again", "stays hidden")))
    return str(writer.pick(("does not come back", "does not return")))


def _beside(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    return f"is to the {event.direction} of {target}"


def _meet(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(writer, actor, event)} {writer.pick(('and meets', 'to meet'))} {target}"


def _push(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    if writer.chance(0.5):
        return f"{_toward(writer, actor, event)} and pushes {target}"
    return f"pushes {target} to the {writer.side(event)}"


def _hit(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(writer, actor, event)} {writer.pick(('and hits', 'into', 'and bumps into'))} {target}"


def _eat(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(writer, actor, event)} {writer.pick(('and eats', 'to eat'))} {target}"


def _paint(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    colour = event.colour or actor.colour or "red"
    verb, line = writer.pick(("paints", "draws")), writer.pick(("line", "stroke"))
    return f"{verb} {article(colour)} {colour} {line} {writer.pick(DIRECTIONS[event.direction or 'right'])}"


def _switch(writer: StageWriter, actor: Actor, event: Event, target: str) -> str:
    after = {"on": "and it gets bright", "off": "and it gets dark"}[event.direction or "on"]
    return f"{writer.pick(('is switched', 'is turned', 'goes'))} {event.direction}{writer.pick(('', f' {after}'))}"


_ACTIONS: dict[str, Callable[[StageWriter, Actor, Event, str], str]] = {
    "enter": _enter, "leave": _leave, "bounce": _bounce, "pass": _pass, "meet": _meet, "push": _push, "hit": _hit,
    "eat": _eat, "paint": _paint, "switch": _switch, "hide": _hide, "emerge": _emerge, "beside": _beside, "stay": _stay,
}  # fmt: skip
