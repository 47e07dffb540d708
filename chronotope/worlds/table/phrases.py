"""What happens on a table, as phrases: who does what, what stands on what, how the camera goes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chronotope.worlds.language import DIRECTIONS, article, join
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.simulate import Contact, Motion
from chronotope.worlds.table.spec import DIRECTIONS as STEPS
from chronotope.worlds.table.spec import Actor, Event, TableSpec

__all__ = ["CAMERA", "TablePen"]

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
_TILT = 0.5  # the cosine of the angle by which something that was knocked over leans


class TablePen:
    """A spec, how it went, and the dice by which one wording is chosen."""

    def __init__(self, spec: TableSpec, motion: Motion, rng: np.random.Generator) -> None:
        self.spec, self.motion, self.rng = spec, motion, rng
        self.words = {actor.id: self.pick(_SYNONYMS.get(actor.noun, (actor.noun,))) for actor in spec.actors}
        self.number = {actor.id: i for i, actor in enumerate(spec.actors)}

    def pick(self, choices: Any) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True this often."""
        return bool(self.rng.random() < share)

    def name(self, actor: Actor) -> str:
        """'red ball'."""
        return f"{actor.colour} {self.words[actor.id]}"

    def a(self, actor: Actor) -> str:
        """'a red ball'."""
        return f"{article(self.name(actor))} {self.name(actor)}"

    def the(self, actor: Actor) -> str:
        """'the red ball'."""
        return f"the {self.name(actor)}"

    def place(self) -> str:
        """'on a wooden table'."""
        return self.pick(
            (f"on a {self.spec.table} table", f"on a {self.spec.table} table", f"on a {self.spec.table} tabletop")
        )

    def camera(self) -> str:
        """What the camera does, or nothing if it stands."""
        camera = self.spec.camera
        return self.pick(CAMERA[camera.kind]).format(side=camera.direction) if camera.kind != "still" else ""

    def event_of(self, actor: Actor) -> Event | None:
        """What sets this actor going, if anything does."""
        return next((event for event in self.spec.events if event.actor == actor.id), None)

    def stack(self, actor: Actor) -> list[Actor]:
        """The actors stacked over and under this one, lowest first; itself alone if there are none."""
        lowest = actor
        while below := self.spec.stacked_on(lowest):
            lowest = below
        pile = [lowest]
        while above := [other for other in self.spec.actors if self.spec.stacked_on(other) == pile[-1]]:
            pile.append(above[0])
        return pile

    def pile(self, pile: list[Actor], definite: bool = False) -> str:
        """'a blue cube on top of a red cube', 'a stack of a red cube, a blue cube and a green cone'."""
        if definite:
            return "the stack"
        if len(pile) == 2 and self.chance(0.5):
            return f"{self.a(pile[1])} {self.pick(('on top of', 'on'))} {self.a(pile[0])}"
        return f"a stack of {join([self.a(actor) for actor in pile])}"

    def side(self, event: Event) -> str:
        """Where an event leads, as one of the four directions."""
        if event.direction:
            return event.direction
        frame = min(math.ceil(event.start * self.spec.fps), self.spec.num_frames - 1)
        way = (
            self.motion.position[frame, self.number[event.target or ""]]
            - self.motion.position[frame, self.number[event.actor]]
        )
        return max(STEPS, key=lambda name: float(way[:2] @ STEPS[name]))

    def first_contact(self, event: Event) -> Contact | None:
        """The first other actor that this event's actor meets afterwards."""
        for contact in self.motion.contacts:
            if event.actor in (contact.actor, contact.target) and contact.seconds >= event.start:
                if {contact.actor, contact.target} & {"table", "floor"} == set():
                    return contact
        return None

    def met(self, event: Event) -> Actor | None:
        """Whom the event's actor meets first, if anybody."""
        contact = self.first_contact(event)
        return self.spec.actor(contact.target if contact.actor == event.actor else contact.actor) if contact else None

    def knocked_over(self, actor: Actor) -> bool:
        """Whether it lies at the end, having stood."""
        last = self.motion.rotation(self.spec.num_frames - 1, self.number[actor.id])
        return actor.noun in ("cylinder", "cone", "pyramid") and bool(last[2, 2] < _TILT)

    def fell(self, pile: list[Actor]) -> bool:
        """Whether anything of a stack fell."""
        return any(
            happening.kind == "fall" and happening.actor in {actor.id for actor in pile}
            for happening in self.motion.events
        )

    def deed(self, actor: Actor, event: Event, definite: bool = False) -> str:
        """A verb phrase in the third person, with what came of it: 'rolls to the right and hits a blue cube'."""
        refer = self.the if definite else self.a
        way = self.pick(_WAYS[self.side(event)]) if event.kind not in ("drop", "bounce") or event.direction else ""
        goes = "rolls" if actor.noun == "ball" else "slides"
        if event.kind in ("hit", "push", "topple"):
            return self._meeting(actor, event, way, goes, definite)
        met = self.met(event)
        if event.kind == "drop":
            onto = refer(met) if met and self._before_table(event) else "the table"
            return self.pick((f"falls onto {onto}", f"drops onto {onto}", f"is dropped onto {onto}"))
        if event.kind == "bounce":
            if way:
                return self.pick((f"bounces {way}", f"drops onto the table and bounces {way}"))
            return self.pick(("bounces on the table", "falls onto the table and bounces", "bounces up and down"))
        came = f" and {self.pick(('hits', 'bumps into'))} {refer(met)}" if met else self._stopping(actor)
        return f"{goes} {way}{came}"

    def _meeting(self, actor: Actor, event: Event, way: str, goes: str, definite: bool) -> str:
        other, refer = self.spec.actor(event.target or ""), self.the if definite else self.a
        pile = self.stack(other)
        contact = self.first_contact(event)
        whole = len(pile) > 1 and actor not in pile
        what = self.pile(pile, definite) if whole else refer(other)
        if contact is None or (self.met(event) != other and not whole):
            met = self.met(event)
            return f"{goes} {way} toward {what}" + (f" and hits {refer(met)}" if met else "")
        if event.kind == "push":
            return self.pick((f"pushes {what} {way}", f"{goes} {way} and pushes {what}"))
        if whole and self.fell(pile):
            return self.pick(
                (
                    f"{goes} {way} and knocks over {what}",
                    f"{goes} into {what} and knocks it over",
                    f"{goes} {way} and topples {what}",
                )
            )
        if self.knocked_over(other):
            return self.pick((f"{goes} {way} and knocks over {what}", f"{goes} into {what} and knocks it over"))
        return self.pick(
            (f"{goes} {way} and hits {what}", f"{goes} {way} into {what}", f"{goes} {way} and bumps into {what}")
        )

    def _before_table(self, event: Event) -> bool:
        """Whether a falling actor meets another before the table."""
        mine = [c for c in self.motion.contacts if event.actor in (c.actor, c.target)]
        return bool(mine) and "table" not in (mine[0].actor, mine[0].target)

    def _stopping(self, actor: Actor) -> str:
        """' and stops' if it comes to rest well before the end."""
        speed = np.linalg.norm(self.motion.velocity[:, self.number[actor.id]], axis=1)
        rest = max(2, round(0.25 * self.spec.fps))
        if self.spec.num_frames <= rest or speed[-rest:].max() > 0.03:
            return ""
        return self.pick(("", " and stops", " and comes to rest"))

    def where(self, actor: Actor) -> str:
        """'on the left at the back', in the first frame."""
        x, _, depth = views(self.spec)[0].project(self.motion.position[:1, self.number[actor.id]])[0]
        across = x / self.spec.width
        middle = self.spec.camera.distance
        side = "on the left" if across < 0.4 else "on the right" if across > 0.6 else "in the middle"
        return side + (" at the back" if depth > middle + 0.35 else " at the front" if depth < middle - 0.35 else "")
