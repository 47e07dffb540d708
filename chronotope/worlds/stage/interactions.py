"""Events between actors and with the stage: pass, hide and emerge, meet, push, hit, eat, paint a stroke, switch a lamp."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.motion import travel
from chronotope.worlds.stage.spec import Event
from chronotope.worlds.stage.tracks import Scene, Stroke, Track, step_of

__all__ = ["ENCOUNTERS"]


def _pair(scene: Scene, event: Event) -> tuple[Track, Track, int, float]:
    """The actor's track, the target's, the first frame, and the way from the one to the other in x."""
    one, two = scene.tracks[event.actor], scene.tracks[event.target or ""]
    frame = min(math.ceil(event.start * scene.spec.fps - 1e-9), scene.spec.num_frames - 1)
    return one, two, frame, float(two.x[frame] - one.x[frame])


def _reach(scene: Scene, event: Event, frame: int) -> float:
    """The distance of the centres, in x, at which the two touch."""
    one, two = scene.tracks[event.actor], scene.tracks[event.target or ""]
    a, b = one.half(frame)[0], two.half(frame)[0]
    round_ones = {scene.spec.actor(name).noun for name in (event.actor, event.target or "")} == {"circle"}
    rise = float(one.y[frame] - two.y[frame])
    return math.sqrt(max((a + b) ** 2 - rise**2, 0.0)) if round_ones else a + b


def _pass(scene: Scene, event: Event) -> None:
    """Go by the target, from one side of it to the other."""
    one, two, frame, gap = _pair(scene, event)
    way = gap + math.copysign(one.half(frame)[0] + two.half(frame)[0] + 0.03 * scene.spec.width, gap)
    if event.amount is not None:
        way = math.copysign(event.amount * scene.spec.width, gap)
    travel(scene, event, way, 0.0)
    scene.note("pass", event)


def _hide(scene: Scene, event: Event) -> None:
    """Go to where the target is; standing in front, it covers whoever comes there."""
    _, _, _, gap = _pair(scene, event)
    travel(scene, event, gap, 0.0)
    scene.note("hide", event)


def _emerge(scene: Scene, event: Event) -> None:
    """Come out on one side of the target, until all of the actor can be seen again."""
    one, two, frame, gap = _pair(scene, event)
    way = (
        math.copysign(one.half(frame)[0] + two.half(frame)[0] + 0.03 * scene.spec.width, step_of(event.direction)[0])
        + gap
    )
    if event.amount is not None:
        way = step_of(event.direction)[0] * event.amount * scene.spec.width
    travel(scene, event, way, 0.0)
    scene.note("emerge", event)


def _beside(scene: Scene, event: Event) -> None:
    """Nothing happens: it is how the clip begins."""
    scene.note("beside", event)


def _meet(scene: Scene, event: Event) -> None:
    """Both go towards each other, at the same speed, until they touch."""
    _, _, frame, gap = _pair(scene, event)
    way = math.copysign(max(abs(gap) - _reach(scene, event, frame), 0.0) / 2, gap)
    travel(scene, event, way, 0.0)
    travel(scene, Event("meet", event.target or "", event.start, event.end), -way, 0.0)
    scene.note("meet", event)
    scene.note("contact", event, event.end, event.end)


def _push(scene: Scene, event: Event) -> None:
    """Walk up to the target and shove it along: it moves from the contact on, never before."""
    _, two, frame, gap = _pair(scene, event)
    free = math.copysign(max(abs(gap) - _reach(scene, event, frame), 0.0), gap)
    way = (
        math.copysign(event.amount * scene.spec.width, gap)
        if event.amount is not None
        else free + math.copysign(0.25 * scene.spec.width, gap)
    )
    travel(scene, event, way, 0.0)
    touched, progress = scene.span(event)
    shoved = np.maximum(np.abs(way) * progress - abs(free), 0.0) * math.copysign(1, gap)
    two.x[touched] += shoved
    scene.note("push", event)
    if abs(way) > abs(free):
        contact = event.start + (event.end - event.start) * abs(free) / abs(way)
        scene.note("contact", event, contact, contact)


def _hit(scene: Scene, event: Event) -> None:
    """Run into the target and exchange momentum with it; both then slow down by friction."""
    from chronotope.worlds.stage.collisions import collide

    one, two, frame, gap = _pair(scene, event)
    side = math.copysign(1, gap)
    speed = (0.8 if event.amount is None else event.amount) * scene.spec.width / max(event.end - event.start, 1e-9)
    areas = [float(track.half(frame)[0] * track.half(frame)[1]) for track in (one, two)]
    touched, _ = scene.span(event)
    seconds = np.clip(scene.times[touched] - event.start, 0.0, event.end - event.start)
    paths, contact = collide(abs(gap) - _reach(scene, event, frame), speed, areas[0] / areas[1], seconds)
    for name, path in zip((event.actor, event.target or ""), paths, strict=True):
        travel(scene, Event("hit", name, event.start, event.end), side, 0.0, progress=path)
    scene.note("hit", event)
    if contact is not None:
        scene.note("contact", event, event.start + contact, event.start + contact)


def _eat(scene: Scene, event: Event) -> None:
    """Go to the target; from the moment the mouth is over it, it is gone for good."""
    one, two, frame, gap = _pair(scene, event)
    way = gap - math.copysign(one.half(frame)[0] * 0.85, gap)
    travel(scene, event, way, 0.0)
    if (way > 0) != (gap > 0):  # already on top of it: still face it
        one.mirrored[frame:] = gap < 0
    two.present[scene.times >= event.end - 1e-9] = False
    scene.note("eat", event)
    scene.note("eaten", event, event.end, event.end)


# Where the colour comes out, as fractions of the sprite's width and height from its middle.
_TIPS = {"paintbrush": (-0.42, 0.42), "crayon": (-0.42, 0.42), "pencil": (-0.45, 0.45)}


def _paint(scene: Scene, event: Event) -> None:
    """Move and leave a stroke behind, which stays to the end of the clip."""
    track, actor = scene.tracks[event.actor], scene.spec.actor(event.actor)
    sx, sy = step_of(event.direction)
    amount = 0.5 if event.amount is None else event.amount
    touched, progress = scene.span(event)
    facing = track.mirrored.copy()
    travel(scene, event, sx * amount * scene.spec.width, sy * amount * scene.spec.height)
    if touched.any():
        track.mirrored[:] = facing if actor.noun in _TIPS else track.mirrored
        first = int(np.argmax(touched))
        tip = _TIPS.get(actor.noun, (0.0, 0.0))
        half_w, half_h = track.half(first)
        flip = -1 if track.mirrored[first] else 1
        points = np.column_stack([track.x + 2 * half_w * tip[0] * flip, track.y + track.lift + 2 * half_h * tip[1]])[
            first:
        ]
        points = points[: int(np.count_nonzero(progress < 1)) + 1]
        colour = COLOURS[event.colour or actor.colour or "red"]
        scene.strokes.append(Stroke(colour, 0.16 * float(track.size[first]), points, first))
    scene.note("paint", event)


def _switch(scene: Scene, event: Event) -> None:
    """Turn the light on or off; before the first switch it is the other way round."""
    on = event.direction == "on"
    if not any(h.kind in ("on", "off") for h in scene.log):
        scene.light[:] = 0.0 if on else 1.0
    scene.light[scene.times >= event.start - 1e-9] = 1.0 if on else 0.0
    scene.note("on" if on else "off", event)


ENCOUNTERS: dict[str, Callable[[Scene, Event], None]] = {
    "pass": _pass,
    "meet": _meet,
    "push": _push,
    "hit": _hit,
    "eat": _eat,
    "paint": _paint,
    "switch": _switch,
    "hide": _hide,
    "emerge": _emerge,
    "beside": _beside,
}
