"""Inject faults of every class of the taxonomy into true clips, to test that the checks find and classify them.

An injector renders the spec with one change, or changes the frames. A fault that a spec cannot show is None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.controls import control_clips, moment_of, pick, splice
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.persistence import PERSISTENT_SECONDS
from chronotope.worlds.stage.checks.drift import MIN_SECONDS
from chronotope.worlds.stage.checks.tracking import ACTIONS, MIN_WAY, TRAVELS, true_way, truth_of
from chronotope.worlds.stage.faults.actions import ACTION_FAULTS, without_stop_or_spin
from chronotope.worlds.stage.faults.edits import (
    DEGRADATIONS,
    OPPOSITE,
    apart,
    changed,
    degrade,
    played,
    steady_actors,
    without,
)
from chronotope.worlds.stage.faults.identity import IDENTITY_FAULTS, in_front_of_cover
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Event, Spec

__all__ = ["FAULTS", "controls", "inject"]

Injector = Callable[[Spec, np.random.Generator], Frames | None]
EXTRA_SIZE = 0.36  # short sides: the size of an extra actor
EXTRA_NOUNS = ("square", "circle", "tree", "house")
DISTINCT_COLOURS = tuple(name for name in COLOURS if name not in ("white", "black", "brown", "pink", "grey"))


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](case.spec, np.random.default_rng([case.index, 11]))


def _missing(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor = pick(steady_actors(spec), rng)
    return played(without(spec, actor.id)) if actor else None


def _room(spec: Spec, size: float) -> tuple[float, float] | None:
    """Find a position far from all actors, inside the frame, for a thing of this size."""
    truth, short = truth_of(spec), min(spec.width, spec.height)
    for y in (0.5, 0.3, 0.7):
        for x in (0.18, 0.82, 0.5):
            distance = np.hypot(truth.x - x * spec.width, truth.y - y * spec.height)
            reach = (np.maximum(truth.width, truth.height) + size * short) / 2 + 8 * short / 64
            half = size * short / 2
            inside = half < x * spec.width < spec.width - half and half < y * spec.height < spec.height - half
            if inside and bool((distance > reach).all()):
                return x, y
    return None


def _with_another(spec: Spec, noun: str, colour: str | None) -> Frames | None:
    position = _room(spec, EXTRA_SIZE)
    if position is None:
        return None
    other = Actor("another", noun, "shape" if colour else "emoji", *position, EXTRA_SIZE, colour, depth=0.4)
    return played(spec, actors=(*spec.actors, other))


def _extra(spec: Spec, rng: np.random.Generator) -> Frames | None:
    nouns = [noun for noun in EXTRA_NOUNS if all(noun != actor.noun for actor in spec.actors)]
    noun = nouns[int(rng.integers(len(nouns)))]
    colour = _other_colour(spec, None, rng) if noun in ("square", "circle") else None
    return _with_another(spec, noun, colour)


def _other_colour(spec: Spec, colour: str | None, rng: np.random.Generator) -> str:
    choices = [name for name in DISTINCT_COLOURS if name not in (colour, spec.backdrop)]
    return choices[int(rng.integers(len(choices)))]


def _recoloured(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor = pick([actor for actor in steady_actors(spec) if actor.colour], rng)
    return played(changed(spec, actor.id, colour=_other_colour(spec, actor.colour, rng))) if actor else None


def _colour_changed(spec: Spec, rng: np.random.Generator) -> Frames | None:
    moment, other = moment_of(spec, rng), _recoloured(spec, rng)
    return splice(played(spec), other, moment) if moment and other is not None else None


def _other_event(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Replace an event by its opposite, leave it out, or let it happen in front of the cover."""
    in_view = in_front_of_cover(spec)
    if in_view is not None:
        return in_view
    visible_events = ("grow", "shrink", "enter", "leave")
    events = [event for event in spec.events if event.kind in visible_events and not absences(spec, event.actor)]
    if not events:
        spinning = {event.actor for event in spec.events if event.kind == "spin"}
        separate = all(apart(spec, index) for index, actor in enumerate(spec.actors) if actor.id in spinning)
        return without_stop_or_spin(spec) if separate else None
    event = events[int(rng.integers(len(events)))]
    others = tuple(other for other in spec.events if other is not event)
    if event.kind in ("grow", "shrink"):
        kind = "shrink" if event.kind == "grow" else "grow"
        amount = None if event.amount is None else 1 / event.amount
        return played(spec, events=(*others, dataclasses.replace(event, kind=kind, amount=amount)))
    if any(other.actor == event.actor for other in others):
        return None
    return played(spec, events=others)


def _reordered(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Mirror a clip that goes right and then left, which exchanges the two events."""
    directions = [event.direction for event in sorted(spec.events, key=lambda e: e.start) if event.kind in TRAVELS]
    if len(spec.actors) != 1 or len(spec.events) != 2 or set(directions) != {"left", "right"}:
        return None
    return _mirrored(spec)


def _mirrored(spec: Spec) -> Frames:
    return np.ascontiguousarray(played(spec)[:, :, ::-1])


def _other_backdrop(spec: Spec, rng: np.random.Generator) -> Frames | None:
    places = [name for name in ("white", "black", "sky", "hills", "sea", "night") if name != spec.backdrop]
    places = [name for name in places if all(actor.colour != name for actor in spec.actors)]
    return played(spec, backdrop=places[int(rng.integers(len(places)))])


def _passage(spec: Spec, kind: str, share: float) -> tuple[Actor, int] | None:
    """Return an actor that enters (leaves), and a frame of it in which it is fully visible and apart from others."""
    for event in (event for event in spec.events if event.kind == kind):
        index = next(i for i, actor in enumerate(spec.actors) if actor.id == event.actor)
        moment = round((event.start + share * (event.end - event.start)) * spec.fps)
        seen = truth_of(spec).visible_fraction[max(0, moment - 2) : moment + 2, index]
        if 3 <= moment <= spec.num_frames - 3 and (seen >= 0.99).all() and apart(spec, index):
            return spec.actors[index], moment
    return None


def _vanished(spec: Spec, rng: np.random.Generator) -> Frames | None:
    passing = _passage(spec, "leave", 0.3)
    actor, moment = passing or (pick(steady_actors(spec, "leave"), rng), moment_of(spec, rng))
    return splice(played(spec), played(without(spec, actor.id)), moment) if actor and moment else None


def _appeared(spec: Spec, rng: np.random.Generator) -> Frames | None:
    passing = _passage(spec, "enter", 0.75)
    actor, moment = passing or (pick(steady_actors(spec, "enter"), rng), moment_of(spec, rng))
    return splice(played(without(spec, actor.id)), played(spec), moment) if actor and moment else None


def _doubled(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(steady_actors(spec), rng), moment_of(spec, rng)
    both = _with_another(spec, actor.noun, actor.colour) if actor and moment else None
    return splice(played(spec), both, moment) if both is not None and moment else None


def _resized(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor = pick(steady_actors(spec, "grow", "shrink", "enter", "leave", "bounce"), rng)
    if actor is None or spec.num_frames < 5 or len(spec.actors) > 1:
        return None
    return played(spec, events=(*spec.events, Event("shrink", actor.id, 0.0, spec.seconds, amount=0.6)))


def _frozen(spec: Spec, rng: np.random.Generator) -> Frames | None:
    kinds = {event.kind for event in spec.events}
    if not kinds & set(TRAVELS) or kinds & {"enter", "leave"}:
        return None
    frames = render(spec).frames
    return np.repeat(frames[len(frames) // 2][None], len(frames), axis=0)


def _mirrored_clip(spec: Spec, rng: np.random.Generator) -> Frames | None:
    directions = {event.direction for event in spec.events if event.direction}
    if len(spec.events) != 1 or not directions <= {"left", "right"} or not directions:
        return None
    if spec.events[0].kind in ("meet", "eat") and abs(true_way(spec, spec.events[0].actor)) < MIN_WAY:
        return None  # too short to be checked
    return _mirrored(spec)


def _jumped(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(steady_actors(spec, "enter", "leave"), rng), moment_of(spec, rng)
    if actor is None or moment is None or len(spec.actors) > 1:
        return None
    x, short = truth_of(spec).x[moment:, 0], min(spec.width, spec.height)
    half = truth_of(spec).width.max() / 2
    room_left, room_right = x.min() - half, spec.width - half - x.max()
    shift = min(max(room_left, room_right), 0.7 * short) * (1 if room_right >= room_left else -1)
    if abs(shift) < 0.5 * short:
        return None
    return splice(played(spec), played(changed(spec, actor.id, x=actor.x + shift / spec.width)), moment)


def _shaken(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Shuffle the frames."""
    others = {event.kind for event in spec.events} & (set(ACTIONS) - {"stop"})
    if others or spec.num_frames < 8 or not steady_actors(spec) or not _happens(spec):
        return None
    return played(spec)[rng.permutation(spec.num_frames)]


def _interrupted(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Halt in the middle of the way; or, where the actor moves through the whole clip, sometimes for good."""
    if len(spec.events) != 1 or spec.events[0].kind not in TRAVELS or spec.num_frames < 12 or not steady_actors(spec):
        return None
    event, frames = spec.events[0], render(spec).frames
    if (event.amount or 0) * spec.width < 0.3 * min(spec.width, spec.height):
        return None
    first, last = round(event.start * spec.fps), min(len(frames) - 1, round(event.end * spec.fps))
    share = np.linspace(0, 1, last - first + 1)
    warped = np.where(share < 0.25, share * 2, np.where(share > 0.75, share * 2 - 1, 0.5))
    whole = event.start < PERSISTENT_SECONDS and event.end > spec.seconds - PERSISTENT_SECONDS
    if whole and rng.random() < 0.5:
        warped = np.minimum(share, rng.uniform(0.45, 0.65))
    order = np.arange(len(frames))
    order[first : last + 1] = first + np.round(warped * (last - first)).astype(int)
    return frames[order]


def _flickering(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if spec.num_frames == 1:
        return None
    gain = 1 + 0.15 * np.where(np.arange(spec.num_frames) % 2 == 0, 1, -1)[:, None, None, None]
    return np.clip(render(spec).frames * gain + 8 * (gain - 1), 0, 255).astype(np.uint8)


def _noisy(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if spec.num_frames == 1:
        return None
    frames = render(spec).frames
    return np.clip(frames + rng.normal(0, 14, frames.shape), 0, 255).round().astype(np.uint8)


def _blurred(spec: Spec, rng: np.random.Generator) -> Frames | None:
    sigma = 0.045 * min(spec.width, spec.height)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in render(spec).frames])


def _degrading(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if spec.seconds < MIN_SECONDS:
        return None
    # A plain backdrop without actors has no edges to lose.
    kinds = [kind for kind in DEGRADATIONS if kind != "blurred" or steady_actors(spec)]
    return degrade(render(spec).frames, kinds[int(rng.integers(len(kinds)))], float(rng.uniform(0.5, 1.0)), rng)


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _missing,
    "TXT-EXT": _extra,
    "TXT-ATT": _recoloured,
    "TXT-ACT": _other_event,
    "TXT-ORD": _reordered,
    "TXT-PLC": _other_backdrop,
    "OBJ-DIS": _vanished,
    "OBJ-APP": _appeared,
    "OBJ-DUP": _doubled,
    "ID-COL": _colour_changed,
    "ID-SIZ": _resized,
    "MOT-STA": _frozen,
    "MOT-DIR": _mirrored_clip,
    "MOT-JMP": _jumped,
    "MOT-SHK": _shaken,
    "PHY-INR": _interrupted,
    **ACTION_FAULTS,
    **IDENTITY_FAULTS,
    "VIS-FLK": _flickering,
    "VIS-NSE": _noisy,
    "VIS-BLR": _blurred,
    "LNG-DRF": _degrading,
}


def controls(spec: Spec, frames: Frames, rng: np.random.Generator) -> Mapping[str, Frames]:
    """Return the control clips of a spec, on which its checks must fail."""
    directions = [event.direction for event in sorted(spec.events, key=lambda e: e.start)]
    returns = len(directions) == 2 and directions[1] == OPPOSITE.get(directions[0] or "")
    reversible = returns or {event.kind for event in spec.events} == {"spin"}
    return control_clips(frames, rng, _happens(spec), reversible)


def _happens(spec: Spec) -> bool:
    return any(event.kind != "beside" for event in spec.events)
