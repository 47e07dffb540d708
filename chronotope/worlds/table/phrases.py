"""Verb phrases for the events of a table clip and their outcomes, and words for stacks, places and the camera."""

from __future__ import annotations

import math

import numpy as np

from chronotope.worlds.language import DIRECTIONS, PhraseWriter, horizontal_position, join
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.simulate import Contact, Trajectory
from chronotope.worlds.table.spec import DIRECTIONS as UNIT_STEPS
from chronotope.worlds.table.spec import Actor, Event, TableSpec

__all__ = ["CAMERA", "TableWriter"]

_WAYS = {
    "left": DIRECTIONS["left"][:2],
    "right": DIRECTIONS["right"][:2],
    "away": ("away from the camera", "to the back", "away"),
    "closer": ("toward the camera", "to the front", "closer to the camera"),
}
_SYNONYMS = {"ball": ("ball", "ball", "sphere"), "brick": ("brick", "brick", "box")}
CAMERA = {
    "orbit": (
        "the camera orbits to the {side}",
        "the camera moves around the table to the {side}",
        "camera orbiting {side}",
    ),
    "round": ("the camera goes once round the table to the {side}", "the camera circles the table once to the {side}"),
}
_FALLEN_COSINE = 0.5  # of the tilt from which a solid counts as knocked over
_REST_SPEED = 0.03  # m/s
_REST_SECONDS = 0.25
_DEPTH_MARGIN = 0.35  # metres from the middle of the table to its front and back


class TableWriter(PhraseWriter):
    """Write phrases about one simulated spec."""

    def __init__(self, spec: TableSpec, trajectory: Trajectory, rng: np.random.Generator) -> None:
        super().__init__(spec, _SYNONYMS, rng)
        self.spec, self.trajectory = spec, trajectory
        self.index = {actor.id: i for i, actor in enumerate(spec.actors)}

    def place(self) -> str:
        """Return 'on a wooden table'."""
        table = f"on a {self.spec.table} table"
        return str(self.pick((table, table, f"{table}top")))

    def camera(self) -> str:
        """Return what the camera does, or an empty string if it is still."""
        camera = self.spec.camera
        if camera.kind == "still":
            return ""
        return str(self.pick(CAMERA[camera.kind]).format(side=camera.direction))

    def event_of(self, actor: Actor) -> Event | None:
        """Return the event of this actor, if any."""
        return next((event for event in self.spec.events if event.actor == actor.id), None)

    def stack(self, actor: Actor) -> list[Actor]:
        """Return the stack to which the actor belongs, lowest first; only the actor itself if there is none."""
        lowest = actor
        while below := self.spec.stacked_on(lowest):
            lowest = below
        return [lowest, *self.spec.stack_on(lowest)]

    def stack_name(self, stack: list[Actor], definite: bool = False) -> str:
        """Return 'a blue cube on top of a red cube' or 'a stack of a red cube, a blue cube and a green cone'."""
        if definite:
            return "the stack"
        if len(stack) == 2 and self.chance(0.5):
            return f"{self.a(stack[1])} {self.pick(('on top of', 'on'))} {self.a(stack[0])}"
        return f"a stack of {join([self.a(actor) for actor in stack])}"

    def side(self, event: Event) -> str:
        """Return the direction of an event, or else the direction in which its target is."""
        if event.direction:
            return event.direction
        frame = min(math.ceil(event.start * self.spec.fps), self.spec.num_frames - 1)
        positions = self.trajectory.position[frame]
        way = positions[self.index[event.target or ""]] - positions[self.index[event.actor]]
        return max(UNIT_STEPS, key=lambda name: float(way[:2] @ UNIT_STEPS[name]))

    def first_contact(self, event: Event) -> Contact | None:
        """Return the first contact of the event's actor with another actor after the start of the event."""
        for contact in self.trajectory.contacts:
            pair = {contact.actor, contact.target}
            if event.actor in pair and contact.seconds >= event.start and not pair & {"table", "floor"}:
                return contact
        return None

    def first_touched(self, event: Event) -> Actor | None:
        """Return the other actor of the first contact, if any."""
        contact = self.first_contact(event)
        if contact is None:
            return None
        return self.spec.actor(contact.target if contact.actor == event.actor else contact.actor)

    def knocked_over(self, actor: Actor) -> bool:
        """Tell whether an actor that stood at first lies at the end."""
        last = self.trajectory.rotation(self.spec.num_frames - 1, self.index[actor.id])
        return actor.noun in ("cylinder", "cone", "pyramid") and bool(last[2, 2] < _FALLEN_COSINE)

    def has_fallen(self, stack: list[Actor]) -> bool:
        """Tell whether a part of a stack falls."""
        names = {actor.id for actor in stack}
        return any(record.kind == "fall" and record.actor in names for record in self.trajectory.events)

    def action(self, actor: Actor, event: Event, definite: bool = False) -> str:
        """Return a verb phrase with the outcome: 'rolls to the right and hits a blue cube'."""
        refer = self.the if definite else self.a
        way = ""
        if event.kind not in ("drop", "bounce") or event.direction:
            way = self.pick(_WAYS[self.side(event)])
        verb = "rolls" if actor.noun == "ball" else "slides"
        if event.kind in ("hit", "push", "topple"):
            return self._collision(actor, event, way, verb, definite)
        touched = self.first_touched(event)
        if event.kind == "drop":
            onto = refer(touched) if touched and self._lands_on_actor(event) else "the table"
            return str(self.pick((f"falls onto {onto}", f"drops onto {onto}", f"is dropped onto {onto}")))
        if event.kind == "bounce":
            if way:
                return str(self.pick((f"bounces {way}", f"drops onto the table and bounces {way}")))
            return str(self.pick(("bounces on the table", "falls onto the table and bounces", "bounces up and down")))
        if touched:
            return f"{verb} {way} and {self.pick(('hits', 'bumps into'))} {refer(touched)}"
        return f"{verb} {way}{self._stopping(actor)}"

    def _collision(self, actor: Actor, event: Event, way: str, verb: str, definite: bool) -> str:
        target, refer = self.spec.actor(event.target or ""), self.the if definite else self.a
        stack = self.stack(target)
        is_stack = len(stack) > 1 and actor not in stack
        what = self.stack_name(stack, definite) if is_stack else refer(target)
        touched = self.first_touched(event)
        if touched is None or (touched != target and not is_stack):
            return f"{verb} {way} toward {what}" + (f" and hits {refer(touched)}" if touched else "")
        phrases: tuple[str, ...] = (
            f"{verb} {way} and hits {what}",
            f"{verb} {way} into {what}",
            f"{verb} {way} and bumps into {what}",
        )
        if event.kind == "push":
            phrases = (f"pushes {what} {way}", f"{verb} {way} and pushes {what}")
        elif is_stack and self.has_fallen(stack):
            phrases = (
                f"{verb} {way} and knocks over {what}",
                f"{verb} into {what} and knocks it over",
                f"{verb} {way} and topples {what}",
            )
        elif self.knocked_over(target):
            phrases = (f"{verb} {way} and knocks over {what}", f"{verb} into {what} and knocks it over")
        return str(self.pick(phrases))

    def _lands_on_actor(self, event: Event) -> bool:
        """Tell whether a falling actor touches another before the table."""
        own = [c for c in self.trajectory.contacts if event.actor in (c.actor, c.target)]
        return bool(own) and "table" not in (own[0].actor, own[0].target)

    def _stopping(self, actor: Actor) -> str:
        """Return ' and stops' if the actor comes to rest before the end, else an empty string."""
        speed = np.linalg.norm(self.trajectory.velocity[:, self.index[actor.id]], axis=1)
        rest = max(2, round(_REST_SECONDS * self.spec.fps))
        if self.spec.num_frames <= rest or speed[-rest:].max() > _REST_SPEED:
            return ""
        return str(self.pick(("", " and stops", " and comes to rest")))

    def position(self, actor: Actor) -> str:
        """Return where an actor is in the first frame: 'on the left at the back'."""
        x, _, depth = views(self.spec)[0].project(self.trajectory.position[:1, self.index[actor.id]])[0]
        text = horizontal_position(x / self.spec.width, 0.4, 0.6)
        middle = self.spec.camera.distance
        if depth > middle + _DEPTH_MARGIN:
            return f"{text} at the back"
        return f"{text} at the front" if depth < middle - _DEPTH_MARGIN else text
