"""What an actor does, as a verb phrase; who stands where, in words."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from chronotope.worlds.language import DIRECTIONS, article, gerund
from chronotope.worlds.stage.camera import camera_path
from chronotope.worlds.stage.occlusion import out_of_sight, returns
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.tracks import Scene
from chronotope.worlds.stage.vocabulary import CAMERA, SYNONYMS, VERBS, places, verb_key

__all__ = ["Pen"]

_TRAVELS = ("walk", "fly", "move", "roll", "creep", "dash")


class Pen:
    """A spec, its scene, and the dice by which one wording is chosen."""

    def __init__(self, spec: Spec, scene: Scene, rng: np.random.Generator) -> None:
        self.spec, self.scene, self.rng = spec, scene, rng
        self.path = camera_path(spec, scene.tracks)
        self.words = {actor.id: self.pick(SYNONYMS.get(actor.noun, (actor.noun,))) for actor in spec.actors}
        self.events = spec.events  # those that are told

    def telling(self, events: tuple[Event, ...]) -> Pen:
        """The same pen, for only some of what happens."""
        pen = copy.copy(self)
        pen.events = events
        return pen

    def pick(self, choices: Any) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True this often."""
        return bool(self.rng.random() < share)

    def name(self, actor: Actor) -> str:
        """'red ball', 'fox'."""
        return f"{actor.colour} {self.words[actor.id]}" if actor.colour else self.words[actor.id]

    def a(self, actor: Actor) -> str:
        """'a red ball', 'an owl'."""
        name = self.name(actor)
        return f"{article(name)} {name}"

    def the(self, actor: Actor) -> str:
        """'the red ball'."""
        return f"the {self.name(actor)}"

    def place(self) -> str:
        """Where it all happens."""
        return self.pick(places(self.spec.backdrop))

    def camera(self) -> str:
        """What the camera does, or nothing if it stands."""
        camera = self.spec.camera
        if camera.kind == "still":
            return ""
        noun = self.name(self.spec.actor(camera.actor)) if camera.actor else ""
        on = f" {'on' if camera.direction == 'in' else 'from'} the {noun}" if noun else ""
        return self.pick(CAMERA[camera.kind]).format(direction=camera.direction, noun=noun, on=on)

    def events_of(self, actor: Actor) -> list[Event]:
        """What this actor does, in order."""
        return sorted((e for e in self.events if e.actor == actor.id), key=lambda e: e.start)

    def deed(self, actor: Actor, event: Event, other: str | None = None) -> str:
        """A verb phrase in the third person: 'walks to the right'; `other` names the target."""
        target = (other or self.a(self.spec.actor(event.target))) if event.target else ""
        write = _DEEDS.get(event.kind)
        if write is not None:
            return write(self, actor, event, target)
        verb = self.pick(VERBS[verb_key(actor, event)])
        if event.direction is None:
            return f"{verb} out of sight" if out_of_sight(self.spec, event) else verb
        return f"{verb} {self.pick(DIRECTIONS[event.direction])}{self.passing(actor, event, other is not None)}"

    def side(self, event: Event) -> str:
        """The direction of an event towards a target, which the spec need not say."""
        if event.direction:
            return event.direction
        frame = min(int(event.start * self.spec.fps), self.spec.num_frames - 1)
        x = {name: self.scene.tracks[name].x[frame] for name in (event.actor, event.target or "")}
        return "right" if x[event.target or ""] > x[event.actor] else "left"

    def passing(self, actor: Actor, event: Event, definite: bool = False) -> str:
        """' past a tree' when the way leads by somebody who stays where they are."""
        if event.kind not in _TRAVELS or event.direction not in ("left", "right"):
            return ""
        for other in self.spec.actors:
            how = self.crossing(actor, event, other)
            if how:
                return f" {self.pick((how, how, 'past'))} {self.the(other) if definite else self.a(other)}"
        return ""

    def crossing(self, actor: Actor, event: Event, other: Actor) -> str:
        """'behind', 'in front of' or 'past' if the actor's way in this event leads by the other; else nothing.

        The other stays, or comes the other way and is named later.
        """
        if other.id == actor.id or any(e.target == other.id and e.kind != "beside" for e in self.spec.events):
            return ""
        goes = [e for e in self.spec.events if e.actor == other.id and e.direction and e.kind != "beside"]
        if goes and not self._comes(actor, event, other, goes):
            return ""
        one, two = self.scene.tracks[actor.id], self.scene.tracks[other.id]
        during = (self.scene.times >= event.start - 1e-9) & (self.scene.times <= event.end + 1e-9)
        if not during.any():
            return ""
        gap = (two.x - one.x)[during]
        if not min(gap[0], gap[-1]) < 0 < max(gap[0], gap[-1]):
            return ""
        nearest = int(np.argmin(np.abs(two.x - one.x)))
        level = abs(one.y[nearest] - two.y[nearest]) < 0.8 * (one.half(nearest)[1] + two.half(nearest)[1])
        if goes and not level:
            return ""
        return ("behind" if actor.depth > other.depth else "in front of") if level else "past"

    def _comes(self, actor: Actor, event: Event, other: Actor, goes: list[Event]) -> bool:
        """Whether somebody who is named later travels the other way at that time."""
        opposite, actors = {"left": "right", "right": "left"}[event.direction or "right"], self.spec.actors
        alone = len(goes) == 1 and goes[0].kind in _TRAVELS and goes[0].direction == opposite
        return (
            alone
            and goes[0].start < event.end
            and event.start < goes[0].end
            and actors.index(actor) < actors.index(other)
        )

    def where(self, actor: Actor, frame: int) -> str:
        """'on the left near the top', at one frame."""
        track, look = self.scene.tracks[actor.id], self.path[frame]
        x = 0.5 + (track.x[frame] - look[0]) * look[2] / self.spec.width
        y = 0.5 + (track.y[frame] - look[1]) * look[2] / self.spec.height
        if not (0 < x < 1 and 0 < y < 1):
            return "out of view"
        across = "on the left" if x < 0.38 else "on the right" if x > 0.62 else "in the middle"
        return across + (" near the top" if y < 0.33 else " near the bottom" if y > 0.67 else "")


def _enter(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    verb, side = pen.pick(VERBS[verb_key(actor, event)]), event.direction
    source = {"left": "right", "right": "left", "up": "bottom", "down": "top"}[side or "right"]
    if returns(pen.spec, event):
        return pen.pick((f"comes back from the {source} and {verb} {side}", f"returns from the {source}, {gerund(verb)} {side}",
                         f"{verb} {side} and comes back into the frame"))  # fmt: skip
    return pen.pick((f"enters from the {source} and {verb} {side}", f"comes in from the {source}, {gerund(verb)} {side}",
                     f"{verb} {side} into the frame"))  # fmt: skip


def _leave(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    verb, side = pen.pick(VERBS[verb_key(actor, event)]), event.direction
    toward = f"to the {side}" if side in ("left", "right") else side
    return pen.pick((f"{verb} out of the frame {toward}", f"leaves {toward}", f"{verb} {side} and leaves the frame"))


def _bounce(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    if event.direction:
        return f"bounces {pen.pick(DIRECTIONS[event.direction])}"
    return pen.pick(("bounces up and down", "bounces on the ground", "bounces"))


def _toward(pen: Pen, actor: Actor, event: Event) -> str:
    return f"{pen.pick(VERBS[verb_key(actor, event, going=True)])} {pen.pick(('', 'to the '))}{pen.side(event)}"


def _pass(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    other = pen.spec.actor(event.target or "")
    how = "behind" if actor.depth > other.depth else "in front of"
    return f"{_toward(pen, actor, event)} {pen.pick((how, how, 'past'))} {target}"


def _hide(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(pen, actor, event)} {pen.pick(('and hides behind', 'behind', 'and goes out of sight behind'))} {target}"


def _emerge(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    verb, side = pen.pick(VERBS[verb_key(actor, event, going=True)]), event.direction
    return pen.pick((f"comes out again on the {side}", f"reappears on the {side}", f"{verb} {pen.pick(DIRECTIONS[side or 'right'])} "
                     "and comes out again"))  # fmt: skip


def _stay(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    hidden = any(e.kind == "hide" and e.actor == actor.id for e in pen.spec.events)
    return pen.pick(
        ("does not come out again", "stays hidden") if hidden else ("does not come back", "does not return")
    )


def _beside(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    return f"is to the {event.direction} of {target}"


def _meet(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(pen, actor, event)} {pen.pick(('and meets', 'to meet'))} {target}"


def _push(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    if pen.chance(0.5):
        return f"{_toward(pen, actor, event)} and pushes {target}"
    return f"pushes {target} to the {pen.side(event)}"


def _hit(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(pen, actor, event)} {pen.pick(('and hits', 'into', 'and bumps into'))} {target}"


def _eat(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    return f"{_toward(pen, actor, event)} {pen.pick(('and eats', 'to eat'))} {target}"


def _paint(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    colour = event.colour or actor.colour or "red"
    verb, line = pen.pick(("paints", "draws")), pen.pick(("line", "stroke"))
    return f"{verb} {article(colour)} {colour} {line} {pen.pick(DIRECTIONS[event.direction or 'right'])}"


def _switch(pen: Pen, actor: Actor, event: Event, target: str) -> str:
    after = {"on": "and it gets bright", "off": "and it gets dark"}[event.direction or "on"]
    return f"{pen.pick(('is switched', 'is turned', 'goes'))} {event.direction}{pen.pick(('', f' {after}'))}"


_DEEDS: dict[str, Any] = {"enter": _enter, "leave": _leave, "bounce": _bounce, "pass": _pass, "meet": _meet, "push": _push, "hit": _hit,
                          "eat": _eat, "paint": _paint, "switch": _switch, "hide": _hide, "emerge": _emerge,
                          "beside": _beside, "stay": _stay}  # fmt: skip
