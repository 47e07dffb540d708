"""Inject faults into the identity of actors: lost, changed, exchanged or replaced, on the wrong side, too fast or slow.

Each faulty clip joins two clips of the stage where the joint is hidden, or at the frame in which the fault begins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.controls import moment_of, pick, splice
from chronotope.worlds.stage.checks.identity import crossing
from chronotope.worlds.stage.checks.tracking import overlaps, truth_of
from chronotope.worlds.stage.faults.edits import OPPOSITE, changed, played, steady_actors, without
from chronotope.worlds.stage.occlusion import Absence, absences
from chronotope.worlds.stage.reappearance import FAST, SLOW
from chronotope.worlds.stage.render import backdrop_frames, render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import RETURN_OF, Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["IDENTITY_FAULTS", "in_front_of_cover"]

_SCOPE = SCOPES["returns"]
SHRINK_AMOUNT = 0.6
MIN_FRAMES_APART = 3  # before two actors cross, and after


def _absence(spec: Spec, rng: np.random.Generator) -> tuple[Absence, int] | None:
    """Choose an absence, and a frame in the middle of it in which nothing of the actor is visible."""
    found = absences(spec)
    if not found:
        return None
    absence = found[int(rng.integers(len(found)))]
    truth = truth_of(spec)
    hidden = np.flatnonzero(truth.visible_fraction[:, truth.actors.index(absence.actor)] < 0.01)
    hidden = hidden[(hidden >= absence.gone.start * spec.fps) & (hidden <= absence.back.end * spec.fps)]
    return (absence, int(hidden[len(hidden) // 2])) if len(hidden) >= 3 else None


def in_front_of_cover(spec: Spec) -> Frames | None:
    """Let an actor pass in front of its cover instead of behind it."""
    event = next((event for event in spec.events if event.kind == "hide"), None)
    if event is None:
        return None
    gap = abs(spec.actor(event.target or "").x - spec.actor(event.actor).x)
    events = []
    for e in spec.events:
        if e.kind in ("hide", "emerge"):
            amount = gap if e.kind == "hide" else e.amount
            events.append(dataclasses.replace(e, kind="move", target=None, amount=amount))
        elif e.kind != "stay":  # an actor in front of its cover is never out of sight
            events.append(e)
    front = changed(dataclasses.replace(spec, events=()), event.actor, depth=0.05)
    return played(front, events=tuple(events))


def _never_back(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let an actor not come back."""
    found = _absence(spec, rng)
    return splice(played(spec), played(without(spec, found[0].actor)), found[1]) if found else None


def _back_wrong(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let an actor come back in another size, colour or kind, or from another side."""
    found = _absence(spec, rng)
    if found is None:
        return None
    (absence, moment), edits = found, [_resized, _restyled, _other_exit]
    for number in rng.permutation(len(edits)):
        other = edits[int(number)](spec, absence, rng)
        if other is not None:
            return splice(played(spec), played(other), moment)
    return None


def _resized(spec: Spec, absence: Absence, rng: np.random.Generator) -> Spec | None:
    """Leave out the requested change of size, or add one that was not requested."""
    events = tuple(event for event in spec.events if not absence.covers(event))
    if len(events) == len(spec.events):
        events = (*events, Event("shrink", absence.actor, absence.gone.end, absence.back.start, amount=SHRINK_AMOUNT))
    return dataclasses.replace(spec, events=events)


def _restyled(spec: Spec, absence: Absence, rng: np.random.Generator) -> Spec | None:
    """Change the colour or the noun of the actor."""
    actor = spec.actor(absence.actor)
    if actor.colour and rng.random() < 0.5:
        taken = {actor.colour, spec.backdrop, *(other.colour for other in spec.actors)}
        colours = [name for name in _SCOPE.colours if name not in taken]
        return changed(spec, actor.id, colour=colours[int(rng.integers(len(colours)))])
    return changed(spec, actor.id, noun=_another_noun(spec, actor.noun, rng))


def _another_noun(spec: Spec, noun: str, rng: np.random.Generator) -> str:
    """Choose another noun of the same sort, about as wide, that is not in this clip."""
    nouns, colour = (_SCOPE.shapes, "red") if noun in _SCOPE.shapes else (_SCOPE.nouns, None)
    free = [name for name in nouns if all(name != actor.noun for actor in spec.actors)]
    free = sorted(free, key=lambda name: abs(aspect(name, colour)[0] - aspect(noun, colour)[0]))[:4]
    return free[int(rng.integers(len(free)))]


def _other_exit(spec: Spec, absence: Absence, rng: np.random.Generator) -> Spec | None:
    """Let the actor return from the other side of the cover, if there is room, or of the frame."""
    direction: Any = OPPOSITE[absence.back.direction or ""]
    if absence.back.kind == "emerge":
        actor, cover = spec.actor(absence.actor), spec.actor(absence.gone.target or "")
        half = aspect(actor.noun, actor.colour)[0] * actor.size * min(spec.width, spec.height) / spec.width / 2
        reach = cover.x + (absence.back.amount or 0.0) * (1 if direction == "right" else -1)
        if not 0.7 * half <= reach <= 1 - 0.7 * half:
            return None
    events = (dataclasses.replace(e, direction=direction) if e == absence.back else e for e in spec.events)
    return dataclasses.replace(spec, events=tuple(events))


def _exchanged(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Exchange the looks of two actors from the frame in which they cross."""
    if absences(spec):
        return None
    truth = truth_of(spec)
    for first in range(len(spec.actors)):
        for second in range(first + 1, len(spec.actors)):
            moment, near = crossing(truth, first, second), overlaps(spec, spec.num_frames, 0.13)[:, first, second]
            if moment is None or min((~near[:moment]).sum(), (~near[moment:]).sum()) < MIN_FRAMES_APART:
                continue
            one, two = spec.actors[first], spec.actors[second]
            other = changed(spec, one.id, noun=two.noun, kind=two.kind, colour=two.colour)
            other = changed(other, two.id, noun=one.noun, kind=one.kind, colour=one.colour)
            return splice(played(spec), played(other), moment)
    return None


def _reshaped(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Replace an actor by another thing in full view."""
    actor, moment = pick(steady_actors(spec, "spin", "enter", "leave"), rng), moment_of(spec, rng)
    if actor is None or moment is None or (actor.colour is None and actor.noun not in _SCOPE.nouns):
        return None
    other = changed(spec, actor.id, noun=_another_noun(spec, actor.noun, rng))
    return splice(played(spec), played(other), moment)


def _halved(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Leave out the left or the right half of an actor."""
    actor = pick(steady_actors(spec, "spin", "enter", "leave"), rng)
    if actor is None:
        return None
    clip, index, left = render(spec), spec.actors.index(actor), rng.random() < 0.5
    side = (np.arange(spec.width) < clip.truth.x[:, index, None]) == left
    whole = [cv2.dilate((mask == index + 1).astype(np.uint8), np.ones((3, 3), np.uint8)) for mask in clip.masks]
    half = (np.stack(whole) > 0) & side[:, None]
    return np.where(half[..., None], backdrop_frames(spec), clip.frames)


def _sides_exchanged(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Exchange the places of two actors that are next to each other."""
    event = next((event for event in spec.events if event.kind == "beside"), None)
    if event is None:
        return None
    one, two = spec.actor(event.actor), spec.actor(event.target or "")
    # The event goes first: a spec whose actors stand on the other side is refused.
    without_event = dataclasses.replace(spec, events=tuple(e for e in spec.events if e is not event))
    return played(changed(changed(without_event, one.id, x=two.x), two.id, x=one.x))


def _back_after_all(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let an actor come back that should stay away."""
    stay = next((event for event in spec.events if event.kind == "stay"), None)
    if stay is None:
        return None
    gone = next(event for event in spec.events if event.kind in RETURN_OF and event.actor == stay.actor)
    start = (stay.start + stay.end) / 2
    direction: Any = OPPOSITE[gone.direction or ""]
    amount = None if gone.target is None else abs(spec.actor(gone.target).x - spec.actor(gone.actor).x)
    back = Event(RETURN_OF[gone.kind], gone.actor, start, stay.end, direction, gone.target, amount)
    return played(spec, events=tuple(back if e is stay else e for e in spec.events))


def _other_speed(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Make a slow actor fast, or a fast one slow."""
    event = next((event for event in spec.events if event.kind in ("creep", "dash")), None)
    if event is None:
        return None
    ratio = min(spec.width, spec.height) / spec.width
    if event.kind == "creep":
        end = min(event.end, event.start + (event.amount or 0.0) / (FAST[0] * ratio))
        other = dataclasses.replace(event, end=end)
    else:
        amount = min(event.amount or 0.0, float(np.mean(SLOW)) * ratio * spec.seconds)
        other = dataclasses.replace(event, start=0.0, end=spec.seconds, amount=amount)
    return played(spec, events=tuple(other if e is event else e for e in spec.events))


IDENTITY_FAULTS: dict[str, Callable[[Spec, np.random.Generator], Frames | None]] = {
    "PRM-OCC": _never_back,
    "PRM-RET": _back_wrong,
    "ID-SHP": _reshaped,
    "ID-FRM": _halved,
    "ID-SWP": _exchanged,
    "TXT-REL": _sides_exchanged,
    "TXT-NEG": _back_after_all,
    "MOT-SPD": _other_speed,
}
