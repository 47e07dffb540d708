"""Assign a spec to strata: number and relation of actions, physics, actors and place."""

from __future__ import annotations

from chronotope.worlds.case import hardest
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.checks.identity import identity_stratum
from chronotope.worlds.stage.checks.tracking import TRAVELS
from chronotope.worlds.stage.spec import Spec

__all__ = ["strata_of"]

# The physics that a clip shows, by its events; the last matching level counts.
PHYSICS = {
    "P0 none": (),
    "P1 inertia": (*TRAVELS, "enter", "leave", "stop", "meet", "hide", "emerge"),
    "P2 gravity": ("bounce",),
    "P3 two bodies": ("hit",),
    "P5 irreversible": ("eat",),
}
CONTACT = ("meet", "hit", "eat")
NO_ACTION = ("beside", "stay")  # events that are not actions
CASTS = {"shape": "shapes", "emoji": "nouns"}


def strata_of(spec: Spec) -> dict[str, str]:
    """Return the strata of a spec in addition to those of every world."""
    kinds = {actor.kind for actor in spec.actors}
    return {
        "deeds": _action_level(spec),
        "physics": hardest(PHYSICS, {event.kind for event in spec.events}),
        "actors": f"{len(spec.actors)}",
        "cast": CASTS[kinds.pop()] if len(kinds) == 1 else "both",
        "place": "plain colour" if spec.backdrop in PLAIN_COLOURS else "landscape",
        "identity": identity_stratum(spec),
    }


def _action_level(spec: Spec) -> str:
    """Return the level of the actions and their relation, from C0 to C4."""
    events = [event for event in spec.events if event.kind not in NO_ACTION]
    if any(event.kind in CONTACT for event in events):
        return "C4 one touches another"
    if not events:
        return "C0 nothing happens"
    if len(events) == 1:
        return "C1 one deed"
    at_once = len({event.start for event in events}) == 1 or len({event.actor for event in events}) > 1
    return "C2 two deeds at once" if at_once else "C3 one deed after the other"
