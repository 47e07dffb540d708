"""Faults of who somebody is - lost or changed out of sight, exchanged, turned into another thing, on the wrong side, at the wrong pace.

Each is made of two clips that the stage can play, joined where nobody can see the joint or at a frame in which the fault begins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.identity import crossing
from chronotope.worlds.stage.checks.tracking import overlaps, truth_of
from chronotope.worlds.stage.faults.edits import changed, moment_of, pick, steady, then, without
from chronotope.worlds.stage.occlusion import Absence, absences
from chronotope.worlds.stage.reappearance import FAST, SLOW
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import RETURN_OF, Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["IDENTITY_FAULTS", "in_front"]

_SCOPE = SCOPES["returns"]
_SMALLER = 0.6
_BEFORE, _AFTER = 3, 3  # frames in which two stand apart, before they pass each other and afterwards
_OTHER = {"left": "right", "right": "left", "up": "down", "down": "up"}


def _absence(spec: Spec, rng: np.random.Generator) -> tuple[Absence, int] | None:
    """An absence, and a frame in the middle of it in which nothing of the actor is seen."""
    found = absences(spec)
    if not found:
        return None
    away = found[int(rng.integers(len(found)))]
    truth = truth_of(spec)
    hidden = np.flatnonzero(truth.visible_fraction[:, truth.actors.index(away.actor)] < 0.01)
    hidden = hidden[(hidden >= away.gone.start * spec.fps) & (hidden <= away.back.end * spec.fps)]
    return (away, int(hidden[len(hidden) // 2])) if len(hidden) >= 3 else None


def in_front(spec: Spec) -> Frames | None:
    """Who should go behind something goes by before it."""
    event = next((event for event in spec.events if event.kind == "hide"), None)
    if event is None:
        return None
    gap = abs(spec.actor(event.target or "").x - spec.actor(event.actor).x)
    ways: dict[str, dict[str, Any]] = {"hide": {"amount": gap}, "emerge": {}}
    events = (
        dataclasses.replace(e, kind="move", target=None, **ways[e.kind]) if e.kind in ways else e for e in spec.events
    )
    # a stay is left out, for who has only moved is in sight
    kept = tuple(e for e in events if e.kind != "stay")
    return render(
        dataclasses.replace(changed(dataclasses.replace(spec, events=()), event.actor, depth=0.05), events=kept)
    ).frames


def _lost(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """It never comes back."""
    found = _absence(spec, rng)
    return then(render(spec).frames, render(without(spec, found[0].actor)).frames, found[1]) if found else None


def _back_wrong(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """It comes back in another size, in another colour or kind, or from another side."""
    found = _absence(spec, rng)
    if found is None:
        return None
    (away, moment), ways = found, [_resized, _restyled, _from_elsewhere]
    for number in rng.permutation(len(ways)):
        other = ways[int(number)](spec, away, rng)
        if other is not None:
            return then(render(spec).frames, render(other).frames, moment)
    return None


def _resized(spec: Spec, away: Absence, rng: np.random.Generator) -> Spec | None:
    """Without the change it should have made, or with one it should not."""
    events = tuple(event for event in spec.events if not away.covers(event))
    if len(events) == len(spec.events):
        events = (*events, Event("shrink", away.actor, away.gone.end, away.back.start, amount=_SMALLER))
    return dataclasses.replace(spec, events=events)


def _restyled(spec: Spec, away: Absence, rng: np.random.Generator) -> Spec | None:
    """In another colour, or as another thing."""
    actor = spec.actor(away.actor)
    if actor.colour and rng.random() < 0.5:
        taken = {actor.colour, spec.backdrop, *(other.colour for other in spec.actors)}
        colours = [name for name in _SCOPE.colours if name not in taken]
        return changed(spec, actor.id, colour=colours[int(rng.integers(len(colours)))])
    return changed(spec, actor.id, noun=_another_noun(spec, actor.noun, rng))


def _another_noun(spec: Spec, noun: str, rng: np.random.Generator) -> str:
    """Another kind of the same sort, about as wide, that is not in this clip."""
    nouns, colour = (_SCOPE.shapes, "red") if noun in _SCOPE.shapes else (_SCOPE.nouns, None)
    free = [name for name in nouns if all(name != actor.noun for actor in spec.actors)]
    free = sorted(free, key=lambda name: abs(aspect(name, colour)[0] - aspect(noun, colour)[0]))[:4]
    return free[int(rng.integers(len(free)))]


def _from_elsewhere(spec: Spec, away: Absence, rng: np.random.Generator) -> Spec | None:
    """From the other side of the cover, if there is room, or of the frame."""
    way: Any = _OTHER[away.back.direction or ""]
    if away.back.kind == "emerge":
        actor, cover = spec.actor(away.actor), spec.actor(away.gone.target or "")
        half = aspect(actor.noun, actor.colour)[0] * actor.size * min(spec.width, spec.height) / spec.width / 2
        reach = cover.x + (away.back.amount or 0.0) * (1 if way == "right" else -1)
        if not 0.7 * half <= reach <= 1 - 0.7 * half:
            return None
    events = (dataclasses.replace(e, direction=way) if e == away.back else e for e in spec.events)
    return dataclasses.replace(spec, events=tuple(events))


def _swapped(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """From where two pass each other on, each has the look of the other."""
    if absences(spec):
        return None
    truth = truth_of(spec)
    for first in range(len(spec.actors)):
        for second in range(first + 1, len(spec.actors)):
            moment, near = crossing(truth, first, second), overlaps(spec, spec.num_frames, 0.13)[:, first, second]
            if moment is None or (~near[:moment]).sum() < _BEFORE or (~near[moment:]).sum() < _AFTER:
                continue
            one, two = spec.actors[first], spec.actors[second]
            other = changed(spec, one.id, noun=two.noun, kind=two.kind, colour=two.colour)
            other = changed(other, two.id, noun=one.noun, kind=one.kind, colour=one.colour)
            return then(render(spec).frames, render(other).frames, moment)
    return None


def _reshaped(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """In full view it turns into another thing."""
    actor, moment = pick(steady(spec, "spin", "enter", "leave"), rng), moment_of(spec, rng)
    if actor is None or moment is None or (actor.colour is None and actor.noun not in _SCOPE.nouns):
        return None
    return then(
        render(spec).frames, render(changed(spec, actor.id, noun=_another_noun(spec, actor.noun, rng))).frames, moment
    )


def _on_the_other_side(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Those who stand beside each other have changed places."""
    event = next((event for event in spec.events if event.kind == "beside"), None)
    if event is None:
        return None
    one, two = spec.actor(event.actor), spec.actor(event.target or "")
    actors = tuple(
        dataclasses.replace(a, x=two.x if a is one else one.x) if a in (one, two) else a for a in spec.actors
    )
    events = tuple(e for e in spec.events if e is not event)
    return render(dataclasses.replace(spec, actors=actors, events=events)).frames


def _back_all_the_same(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Who should stay away comes back by the way it went."""
    stay = next((event for event in spec.events if event.kind == "stay"), None)
    if stay is None:
        return None
    gone = next(event for event in spec.events if event.kind in RETURN_OF and event.actor == stay.actor)
    start = (stay.start + stay.end) / 2
    way: Any = _OTHER[gone.direction or ""]
    amount = None if gone.target is None else abs(spec.actor(gone.target).x - spec.actor(gone.actor).x)
    back = Event(RETURN_OF[gone.kind], gone.actor, start, stay.end, way, gone.target, amount)
    return render(dataclasses.replace(spec, events=tuple(back if e is stay else e for e in spec.events))).frames


def _at_another_pace(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """What should be slow is fast, what should be fast is slow."""
    event = next((event for event in spec.events if event.kind in ("creep", "dash")), None)
    if event is None:
        return None
    ratio = min(spec.width, spec.height) / spec.width
    if event.kind == "creep":
        end = min(event.end, event.start + (event.amount or 0.0) / (FAST[0] * ratio))
        other = dataclasses.replace(event, end=end)
    else:
        speed = float(np.mean(SLOW)) * ratio
        other = dataclasses.replace(
            event, start=0.0, end=spec.seconds, amount=min(event.amount or 0.0, speed * spec.seconds)
        )
    return render(dataclasses.replace(spec, events=tuple(other if e is event else e for e in spec.events))).frames


IDENTITY_FAULTS: dict[str, Callable[[Spec, np.random.Generator], Frames | None]] = {
    "PRM-OCC": _lost,
    "PRM-RET": _back_wrong,
    "ID-SHP": _reshaped,
    "ID-SWP": _swapped,
    "TXT-REL": _on_the_other_side,
    "TXT-NEG": _back_all_the_same,
    "MOT-SPD": _at_another_pace,
}
