"""Faults planted in true clips, one for every class of the taxonomy: what the checks must catch, and call by its name.

An injector renders the spec with one thing changed, or changes the frames; where the spec leaves nothing to change, there is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.persistence import PERSISTENT_SECONDS
from chronotope.worlds.stage.checks.drift import FADES, LONG, fade
from chronotope.worlds.stage.checks.tracking import ACTIONS, TRAVELS, WAY, stage_way, truth_of
from chronotope.worlds.stage.faults.actions import ACTION_FAULTS, left_out
from chronotope.worlds.stage.faults.edits import apart, changed, moment_of, pick, steady, then, without
from chronotope.worlds.stage.faults.identity import IDENTITY_FAULTS, in_front
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Event, Spec

__all__ = ["CONTROLS", "FAULTS", "plant"]

Injector = Callable[[Spec, np.random.Generator], Frames | None]
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
_SIZE = 0.36  # of somebody who should not be there
_SPARE = ("square", "circle", "tree", "house")
_SAFE = tuple(name for name in COLOURS if name not in ("white", "black", "brown", "pink", "grey"))


def plant(code: str, spec: Spec, seed: int) -> Frames | None:
    """A clip of this spec with this fault, or nothing where it cannot have it."""
    return FAULTS[code](spec, np.random.default_rng([seed, 11]))


def _missing(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor = pick(steady(spec), rng)
    return render(without(spec, actor.id)).frames if actor else None


def _room(spec: Spec, size: float) -> tuple[float, float] | None:
    """A place far from everybody's way, for something of this size; in the middle of the height."""
    truth, short = truth_of(spec), min(spec.width, spec.height)
    for y in (0.5, 0.3, 0.7):
        for x in (0.18, 0.82, 0.5):
            apart = np.hypot(truth.x - x * spec.width, truth.y - y * spec.height)
            reach = (np.maximum(truth.width, truth.height) + size * short) / 2 + 8 * short / 64
            half = size * short / 2
            inside = half < x * spec.width < spec.width - half and half < y * spec.height < spec.height - half
            if inside and bool((apart > reach).all()):
                return x, y
    return None


def _with_another(spec: Spec, noun: str, rng: np.random.Generator, colour: str | None) -> Frames | None:
    place = _room(spec, _SIZE)
    if place is None:
        return None
    kind = "shape" if colour else "emoji"
    other = Actor("another", noun, kind, *place, _SIZE, colour, depth=0.4)  # type: ignore[arg-type]
    return render(dataclasses.replace(spec, actors=(*spec.actors, other))).frames


def _extra(spec: Spec, rng: np.random.Generator) -> Frames | None:
    nouns = [noun for noun in _SPARE if all(noun != actor.noun for actor in spec.actors)]
    noun = nouns[int(rng.integers(len(nouns)))]
    return _with_another(spec, noun, rng, _other_colour(spec, None, rng) if noun in ("square", "circle") else None)


def _other_colour(spec: Spec, colour: str | None, rng: np.random.Generator) -> str:
    choices = [name for name in _SAFE if name not in (colour, spec.backdrop)]
    return choices[int(rng.integers(len(choices)))]


def _recoloured(spec: Spec, rng: np.random.Generator) -> Frames | None:
    shapes = [actor for actor in steady(spec) if actor.colour]
    actor = pick(shapes, rng)
    return render(changed(spec, actor.id, colour=_other_colour(spec, actor.colour, rng))).frames if actor else None


def _drifted(spec: Spec, rng: np.random.Generator) -> Frames | None:
    moment, other = moment_of(spec, rng), _recoloured(spec, rng)
    return then(render(spec).frames, other, moment) if moment and other is not None else None


def _undone(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """The deed turned into its opposite, or left out, or done before somebody instead of behind."""
    if (before := in_front(spec)) is not None:
        return before
    deeds = [
        event
        for event in spec.events
        if event.kind in ("grow", "shrink", "enter", "leave") and not absences(spec, event.actor)
    ]
    if not deeds:
        turning = [
            place
            for place, actor in enumerate(spec.actors)
            if any(e.kind == "spin" and e.actor == actor.id for e in spec.events)
        ]
        return left_out(spec) if all(apart(spec, place) for place in turning) else None
    deed = deeds[int(rng.integers(len(deeds)))]
    others = tuple(event for event in spec.events if event is not deed)
    if deed.kind in ("grow", "shrink"):
        kind = "shrink" if deed.kind == "grow" else "grow"
        amount = None if deed.amount is None else 1 / deed.amount
        return render(
            dataclasses.replace(spec, events=(*others, dataclasses.replace(deed, kind=kind, amount=amount)))
        ).frames
    if any(event.actor == deed.actor for event in others):
        return None
    return render(dataclasses.replace(spec, events=others)).frames


def _reordered(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Right and then left becomes left and then right: the mirror image."""
    ways = [event.direction for event in sorted(spec.events, key=lambda e: e.start) if event.kind in TRAVELS]
    if len(spec.actors) != 1 or len(spec.events) != 2 or set(ways) != {"left", "right"}:
        return None
    return _mirrored(render(spec).frames)


def _mirrored(frames: Frames) -> Frames:
    return np.ascontiguousarray(frames[:, :, ::-1])


def _elsewhere(spec: Spec, rng: np.random.Generator) -> Frames | None:
    places = [name for name in ("white", "black", "sky", "hills", "sea", "night") if name != spec.backdrop]
    places = [name for name in places if all(actor.colour != name for actor in spec.actors)]
    return render(dataclasses.replace(spec, backdrop=places[int(rng.integers(len(places)))])).frames


def _passage(spec: Spec, kind: str, share: float) -> tuple[Actor, int] | None:
    """Who enters (leaves), and a frame of it in which all of them can be seen, away from all others."""
    for event in (event for event in spec.events if event.kind == kind):
        place = next(i for i, actor in enumerate(spec.actors) if actor.id == event.actor)
        moment = round((event.start + share * (event.end - event.start)) * spec.fps)
        seen = truth_of(spec).visible_fraction[max(0, moment - 2) : moment + 2, place]
        if 3 <= moment <= spec.num_frames - 3 and (seen >= 0.99).all() and apart(spec, place):
            return spec.actors[place], moment
    return None


def _vanished(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if passage := _passage(spec, "leave", 0.3):  # gone in the middle of the frame is not left
        return then(render(spec).frames, render(without(spec, passage[0].id)).frames, passage[1])
    actor, moment = pick(steady(spec, "leave"), rng), moment_of(spec, rng)
    return then(render(spec).frames, render(without(spec, actor.id)).frames, moment) if actor and moment else None


def _appeared(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if passage := _passage(spec, "enter", 0.75):
        return then(render(without(spec, passage[0].id)).frames, render(spec).frames, passage[1])
    actor, moment = pick(steady(spec, "enter"), rng), moment_of(spec, rng)
    return then(render(without(spec, actor.id)).frames, render(spec).frames, moment) if actor and moment else None


def _doubled(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(steady(spec), rng), moment_of(spec, rng)
    both = _with_another(spec, actor.noun, rng, actor.colour) if actor and moment else None
    return then(render(spec).frames, both, moment) if both is not None and moment else None


def _resized(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor = pick(steady(spec, "grow", "shrink", "enter", "leave", "bounce"), rng)
    if actor is None or spec.num_frames < 5 or len(spec.actors) > 1:
        return None
    change = Event("shrink", actor.id, 0.0, spec.seconds, amount=0.6)
    return render(dataclasses.replace(spec, events=(*spec.events, change))).frames


def _frozen(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if not any(event.kind in TRAVELS for event in spec.events) or any(
        event.kind in ("enter", "leave") for event in spec.events
    ):
        return None
    frames = render(spec).frames
    return np.repeat(frames[len(frames) // 2][None], len(frames), axis=0)


def _turned(spec: Spec, rng: np.random.Generator) -> Frames | None:
    ways = {event.direction for event in spec.events if event.direction}
    if len(spec.events) != 1 or not ways <= {"left", "right"} or not ways:
        return None
    if spec.events[0].kind in ("meet", "eat") and abs(stage_way(spec, spec.events[0].actor)) < WAY:
        return None  # the way is too short to be asked for
    return _mirrored(render(spec).frames)


def _jumped(spec: Spec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(steady(spec, "enter", "leave"), rng), moment_of(spec, rng)
    if actor is None or moment is None or len(spec.actors) > 1:
        return None
    truth, place = truth_of(spec), [a.id for a in spec.actors].index(actor.id)
    half = truth.width[:, place].max() / 2
    room_left, room_right = truth.x[moment:, place].min() - half, spec.width - half - truth.x[moment:, place].max()
    way = min(max(room_left, room_right), 0.7 * min(spec.width, spec.height)) * (1 if room_right >= room_left else -1)
    if abs(way) < 0.5 * min(spec.width, spec.height):
        return None
    return then(render(spec).frames, render(changed(spec, actor.id, x=actor.x + way / spec.width)).frames, moment)


def _shaken(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """The frames in another order."""
    frames, of_its_own = render(spec).frames, {event.kind for event in spec.events} & (set(ACTIONS) - {"stop"})
    return _shuffled(spec, frames, rng) if steady(spec) and len(frames) >= 8 and not of_its_own else None


def _halting(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """All of the way in the first and the last part of the time, none between; or, if it should go through the whole clip, for good."""
    if len(spec.events) != 1 or spec.events[0].kind not in TRAVELS or spec.num_frames < 12 or not steady(spec):
        return None
    event, frames = spec.events[0], render(spec).frames
    if (event.amount or 0) * spec.width < 0.3 * min(spec.width, spec.height):
        return None
    first, last = round(event.start * spec.fps), min(len(frames) - 1, round(event.end * spec.fps))
    share = np.linspace(0, 1, last - first + 1)
    warped = np.where(share < 0.25, share * 2, np.where(share > 0.75, share * 2 - 1, 0.5))
    if event.start < PERSISTENT_SECONDS and event.end > spec.seconds - PERSISTENT_SECONDS and rng.random() < 0.5:
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


def _fading(spec: Spec, rng: np.random.Generator) -> Frames | None:
    if spec.seconds < LONG:
        return None
    kinds = [
        kind for kind in FADES if kind != "blurred" or steady(spec)
    ]  # a plain backdrop alone cannot lose its edges
    return fade(render(spec).frames, kinds[int(rng.integers(len(kinds)))], float(rng.uniform(0.5, 1.0)), rng)


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _missing,
    "TXT-EXT": _extra,
    "TXT-ATT": _recoloured,
    "TXT-ACT": _undone,
    "TXT-ORD": _reordered,
    "TXT-PLC": _elsewhere,
    "OBJ-DIS": _vanished,
    "OBJ-APP": _appeared,
    "OBJ-DUP": _doubled,
    "ID-COL": _drifted,
    "ID-SIZ": _resized,
    "MOT-STA": _frozen,
    "MOT-DIR": _turned,
    "MOT-JMP": _jumped,
    "MOT-SHK": _shaken,
    "PHY-INR": _halting,
    **ACTION_FAULTS,
    **IDENTITY_FAULTS,
    "VIS-FLK": _flickering,
    "VIS-NSE": _noisy,
    "VIS-BLR": _blurred,
    "LNG-DRF": _fading,
}


def _still(spec: Spec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return np.repeat(frames[:1], len(frames), axis=0) if _happens(spec) else None


def _shuffled(spec: Spec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return frames[rng.permutation(len(frames))] if _happens(spec) and len(frames) > 4 else None


def _backwards(spec: Spec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    ways = [event.direction for event in sorted(spec.events, key=lambda e: e.start)]
    undoing = len(ways) == 2 and ways[1] == _OPPOSITE.get(ways[0] or "")  # there and back is the same backwards
    undoing |= {event.kind for event in spec.events} == {"spin"}  # and so is turning
    return frames[::-1] if _happens(spec) and not undoing else None


def _blank(spec: Spec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return np.full_like(frames, 127)


def _happens(spec: Spec) -> bool:
    return any(event.kind != "beside" for event in spec.events)


CONTROLS: dict[str, Callable[[Spec, Frames, np.random.Generator], Frames | None]] = {
    "frozen first frame": _still,
    "shuffled frames": _shuffled,
    "backwards": _backwards,
    "blank": _blank,
}
