"""Events between two actors or with the scene: pass, hide, emerge, meet, push, hit, eat, paint, switch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.motion import displace
from chronotope.worlds.stage.spec import Event
from chronotope.worlds.stage.tracks import Scene, Stroke, Track, unit_step

__all__ = ["INTERACTIONS"]

_CLEARANCE = 0.03  # frame widths between two actors after one has passed or come out from behind the other


def _pair(scene: Scene, event: Event) -> tuple[Track, Track, int, float]:
    """Return the actor's track, the target's track, the first frame, and the distance in x from actor to target."""
    one, two = scene.tracks[event.actor], scene.tracks[event.target or ""]
    frame = min(math.ceil(event.start * scene.spec.fps - 1e-9), scene.spec.num_frames - 1)
    return one, two, frame, float(two.x[frame] - one.x[frame])


def _touching_distance(scene: Scene, event: Event, frame: int) -> float:
    """Return the distance of the centres, in x, at which actor and target touch."""
    one, two = scene.tracks[event.actor], scene.tracks[event.target or ""]
    reach = one.half_size(frame)[0] + two.half_size(frame)[0]
    if {scene.spec.actor(name).noun for name in (event.actor, event.target or "")} == {"circle"}:
        rise = float(one.y[frame] - two.y[frame])
        return math.sqrt(max(reach**2 - rise**2, 0.0))
    return reach


def _side_by_side(scene: Scene, one: Track, two: Track, frame: int) -> float:
    """Return the distance of the centres, in x, at which neither hides the other."""
    return one.half_size(frame)[0] + two.half_size(frame)[0] + _CLEARANCE * scene.spec.width


def _pass(scene: Scene, event: Event) -> None:
    """Move from one side of the target to the other."""
    one, two, frame, gap = _pair(scene, event)
    if event.amount is not None:
        dx = math.copysign(event.amount * scene.spec.width, gap)
    else:
        dx = gap + math.copysign(_side_by_side(scene, one, two, frame), gap)
    displace(scene, event, dx, 0.0)
    scene.record("pass", event)


def _hide(scene: Scene, event: Event) -> None:
    """Move behind the target, which is nearer to the camera."""
    _, _, _, gap = _pair(scene, event)
    displace(scene, event, gap, 0.0)
    scene.record("hide", event)


def _emerge(scene: Scene, event: Event) -> None:
    """Move out from behind the target, until the whole actor can be seen."""
    one, two, frame, gap = _pair(scene, event)
    sign = unit_step(event.direction)[0]
    if event.amount is not None:
        dx = sign * event.amount * scene.spec.width
    else:
        dx = math.copysign(_side_by_side(scene, one, two, frame), sign) + gap
    displace(scene, event, dx, 0.0)
    scene.record("emerge", event)


def _beside(scene: Scene, event: Event) -> None:
    """Record which actor is beside which in the first frame."""
    scene.record("beside", event)


def _meet(scene: Scene, event: Event) -> None:
    """Move both actors towards each other at the same speed until they touch."""
    _, _, frame, gap = _pair(scene, event)
    dx = math.copysign(max(abs(gap) - _touching_distance(scene, event, frame), 0.0) / 2, gap)
    displace(scene, event, dx, 0.0)
    displace(scene, Event("meet", event.target or "", event.start, event.end), -dx, 0.0)
    scene.record("meet", event)
    scene.record("contact", event, event.end, event.end)


def _push(scene: Scene, event: Event) -> None:
    """Walk to the target and push it, which moves only from the contact on."""
    _, two, frame, gap = _pair(scene, event)
    free = math.copysign(max(abs(gap) - _touching_distance(scene, event, frame), 0.0), gap)
    if event.amount is not None:
        dx = math.copysign(event.amount * scene.spec.width, gap)
    else:
        dx = free + math.copysign(0.25 * scene.spec.width, gap)
    displace(scene, event, dx, 0.0)
    started, progress = scene.progress(event)
    two.x[started] += np.maximum(np.abs(dx) * progress - abs(free), 0.0) * math.copysign(1, gap)
    scene.record("push", event)
    if abs(dx) > abs(free):
        contact = event.start + (event.end - event.start) * abs(free) / abs(dx)
        scene.record("contact", event, contact, contact)


def _hit(scene: Scene, event: Event) -> None:
    """Run into the target and exchange momentum with it; friction slows both down afterwards."""
    from chronotope.worlds.stage.collisions import collide

    one, two, frame, gap = _pair(scene, event)
    side = math.copysign(1, gap)
    speed = (0.8 if event.amount is None else event.amount) * scene.spec.width / max(event.end - event.start, 1e-9)
    areas = [float(np.prod(track.half_size(frame))) for track in (one, two)]
    started, _ = scene.progress(event)
    seconds = np.clip(scene.times[started] - event.start, 0.0, event.end - event.start)
    paths, contact = collide(abs(gap) - _touching_distance(scene, event, frame), speed, areas[0] / areas[1], seconds)
    for name, path in zip((event.actor, event.target or ""), paths, strict=True):
        displace(scene, Event("hit", name, event.start, event.end), side, 0.0, progress=path)
    scene.record("hit", event)
    if contact is not None:
        scene.record("contact", event, event.start + contact, event.start + contact)


def _eat(scene: Scene, event: Event) -> None:
    """Move to the target, which disappears at the end of the event."""
    one, two, frame, gap = _pair(scene, event)
    dx = gap - math.copysign(one.half_size(frame)[0] * 0.85, gap)
    displace(scene, event, dx, 0.0)
    if (dx > 0) != (gap > 0):  # an actor that overlaps the target still faces it
        one.mirrored[frame:] = gap < 0
    two.present[scene.times >= event.end - 1e-9] = False
    scene.record("eat", event)
    scene.record("eaten", event, event.end, event.end)


# Where the colour comes out, as fractions of the sprite's width and height from its centre.
_TIPS = {"paintbrush": (-0.42, 0.42), "crayon": (-0.42, 0.42), "pencil": (-0.45, 0.45)}
_STROKE_WIDTH = 0.16  # of the size of the brush


def _paint(scene: Scene, event: Event) -> None:
    """Move and leave a stroke, which stays to the end of the clip."""
    track, actor = scene.tracks[event.actor], scene.spec.actor(event.actor)
    sx, sy = unit_step(event.direction)
    amount = 0.5 if event.amount is None else event.amount
    started, progress = scene.progress(event)
    mirrored = track.mirrored.copy()
    displace(scene, event, sx * amount * scene.spec.width, sy * amount * scene.spec.height)
    if started.any():
        if actor.noun in _TIPS:  # a brush does not turn to the other side
            track.mirrored[:] = mirrored
        first = int(np.argmax(started))
        tip_x, tip_y = _TIPS.get(actor.noun, (0.0, 0.0))
        half_width, half_height = track.half_size(first)
        flip = -1 if track.mirrored[first] else 1
        x = track.x + 2 * half_width * tip_x * flip
        y = track.y + track.lift + 2 * half_height * tip_y
        last = first + int(np.count_nonzero(progress < 1)) + 1
        colour = COLOURS[event.colour or actor.colour or "red"]
        points = np.column_stack([x, y])[first:last]
        scene.strokes.append(Stroke(colour, _STROKE_WIDTH * float(track.size[first]), points, first))
    scene.record("paint", event)


def _switch(scene: Scene, event: Event) -> None:
    """Turn the light on or off; before the first switch it is in the other state."""
    on = event.direction == "on"
    if not any(record.kind in ("on", "off") for record in scene.log):
        scene.light[:] = 0.0 if on else 1.0
    scene.light[scene.times >= event.start - 1e-9] = 1.0 if on else 0.0
    scene.record("on" if on else "off", event)


INTERACTIONS: dict[str, Callable[[Scene, Event], None]] = {
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
