"""Events of one actor: move, enter, leave, bounce, grow, shrink, spin, stop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from chronotope.worlds.language import OPPOSITE
from chronotope.worlds.stage.spec import Event
from chronotope.worlds.stage.tracks import Scene, Track, floor_y, noun_of, unit_step

__all__ = ["MOTIONS", "displace", "fall"]

GRAVITY = 2.2  # frame heights per second squared: a visible fall that is not too fast for 8 frames per second
RESTITUTION = 0.85
_STEPS_PER_SIZE = 1.6  # steps of the gait in one length of the body
_ON_GROUND = 0.05  # frame heights: feet this near to the floor stand on it


def displace(scene: Scene, event: Event, dx: float, dy: float, progress: np.ndarray | None = None) -> None:
    """Move the actor by (dx, dy) pixels, evenly unless `progress` is given, with the small movements of its gait."""
    track, actor = scene.tracks[event.actor], scene.spec.actor(event.actor)
    started, even_progress = scene.progress(event)
    if not started.any():
        return
    progress = even_progress if progress is None else progress
    track.x[started] += dx * progress
    track.y[started] += dy * progress
    side = _main_direction(dx, dy)
    if side in ("left", "right") and (dx or dy):
        track.mirrored[started] = side == "left"
    noun = noun_of(actor)
    if noun is None:
        if event.kind == "roll" or (event.kind == "hit" and actor.noun == "circle"):
            _roll(track, started, dx * progress)
    elif noun.gait == "roll" and event.kind not in ("fly", "walk"):
        _roll(track, started, dx * progress)
    else:
        if noun.facing == "up-right":
            turn = {"up": -90.0, "down": 90.0}.get(side, 0.0)
            track.turn[started] = -turn if track.mirrored[started][0] else turn
        _apply_gait(track, started, progress, _gait_for(event.kind, noun.gait), math.hypot(dx, dy))


def _main_direction(dx: float, dy: float) -> str:
    """Return the direction of the larger component; zero counts by its sign."""
    if abs(dx) >= abs(dy):
        return "right" if math.copysign(1, dx) > 0 else "left"
    return "down" if math.copysign(1, dy) > 0 else "up"


def _gait_for(kind: str, natural: str) -> str:
    if kind == "walk":
        return natural if natural == "hop" else "walk"
    return "fly" if kind == "fly" else natural


def _roll(track: Track, started: np.ndarray, distance: np.ndarray) -> None:
    """Turn like a wheel that does not slip: by distance / radius."""
    radius = track.size[started] * track.extent[1] / 2
    track.turn[started] += np.degrees(distance / radius)


def _apply_gait(track: Track, started: np.ndarray, progress: np.ndarray, gait: str, path: float) -> None:
    """Add the small movements of steps, hops and wing beats; `path` is in pixels."""
    size = float(track.size[started][0])
    moving = (progress > 0) & (progress < 1)
    phase = math.pi * progress * max(1.0, round(_STEPS_PER_SIZE * path / max(size, 1e-6)))
    if gait == "walk":
        lift = np.where(moving, np.abs(np.sin(phase)) * 0.05 * size, 0.0)
        track.turn[started] += np.where(moving, np.sin(phase) * 4.0, 0.0)
    elif gait == "hop":
        lift = np.where(moving, np.abs(np.sin(phase)) * 0.22 * size, 0.0)
    elif gait in ("fly", "swim", "float"):
        lift = np.sin(phase) * 0.06 * size
    else:
        return
    track.lift[started] += lift
    track.y[started] -= lift


def _move(scene: Scene, event: Event) -> None:
    sx, sy = unit_step(event.direction)
    amount = 0.5 if event.amount is None else event.amount
    displace(scene, event, sx * amount * scene.spec.width, sy * amount * scene.spec.height)
    scene.record(event.kind, event)


def _way_out(scene: Scene, event: Event, direction: str, frame: int) -> tuple[float, float]:
    """Return the displacement, in pixels, that takes the actor from its place at `frame` just out of the frame."""
    track, spec = scene.tracks[event.actor], scene.spec
    sx, sy = unit_step(direction)
    half_width, half_height = (1.1 * half + 1 for half in track.half_size(frame))
    x, y = float(track.x[frame]), float(track.y[frame])
    dx = {1: spec.width + half_width - x, -1: -half_width - x, 0: 0.0}[sx]
    dy = {1: spec.height + half_height - y, -1: -half_height - y, 0: 0.0}[sy]
    return dx, dy


def _leave(scene: Scene, event: Event) -> None:
    started, progress = scene.progress(event)
    if started.any():
        displace(scene, event, *_way_out(scene, event, event.direction or "right", int(np.argmax(started))))
        scene.tracks[event.actor].present[started] = progress < 1
    scene.record("leave", event)


def _enter(scene: Scene, event: Event) -> None:
    track, actor = scene.tracks[event.actor], scene.spec.actor(event.actor)
    started, _ = scene.progress(event)
    returns = any(e.actor == event.actor and e.start < event.start and e.kind == "leave" for e in scene.spec.events)
    if not returns:
        track.present[~started] = False
    if started.any():
        track.x[started] = actor.x * scene.spec.width
        # An actor that comes back sideways keeps its height, and so its feet on the ground.
        if event.direction in ("up", "down") or not returns:
            track.y[started] = actor.y * scene.spec.height
        dx, dy = _way_out(scene, event, OPPOSITE[event.direction or "right"], int(np.argmax(started)))
        track.present[started] = True
        track.x[started] += dx
        track.y[started] += dy
        displace(scene, event, -dx, -dy)
    scene.record("enter", event)


def fall(height: float, gravity: float, seconds: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Return the height above the floor of a dropped body, parabolas between contacts, and the times of contact."""
    contact = math.sqrt(2 * max(height, 1e-6) / gravity)
    speed = gravity * contact * RESTITUTION
    heights = height - gravity * seconds**2 / 2
    contacts = []
    last = float(seconds[-1]) if len(seconds) else 0.0
    while contact <= last and speed > 1e-3 * gravity:
        contacts.append(contact)
        since = seconds - contact
        heights = np.where(since >= 0, speed * since - gravity * since**2 / 2, heights)
        contact, speed = contact + 2 * speed / gravity, speed * RESTITUTION
    return np.maximum(heights, 0.0), contacts


def _bounce(scene: Scene, event: Event) -> None:
    track, spec = scene.tracks[event.actor], scene.spec
    started, progress = scene.progress(event)
    if started.any():
        half_height = track.half_size(int(np.argmax(started)))[1]
        top = float(track.y[started][0])
        rest = max(top, floor_y(spec.height, spec.actor(event.actor).depth) - half_height)
        heights, contacts = fall(rest - top, GRAVITY * spec.height, progress * (event.end - event.start))
        track.y[started], track.lift[started] = rest - heights, heights
        if event.direction in ("left", "right"):
            amount = 0.3 if event.amount is None else event.amount
            track.x[started] += unit_step(event.direction)[0] * amount * spec.width * progress
        for contact in contacts:
            scene.record("contact", event, event.start + contact, event.start + contact, "floor")
    scene.record("bounce", event)


def _scale(scene: Scene, event: Event) -> None:
    default = 2.0 if event.kind == "grow" else 0.5
    factor = default if event.amount is None else event.amount
    started, progress = scene.progress(event)
    track = scene.tracks[event.actor]
    if started.any():
        before = track.size[started].copy()
        track.size[started] *= factor**progress
        actor = scene.spec.actor(event.actor)
        feet = float(track.y[started][0]) + track.half_size(int(np.argmax(started)))[1]
        # An actor that stands on the ground keeps its feet there while it changes size.
        if abs(feet - floor_y(scene.spec.height, actor.depth)) < _ON_GROUND * scene.spec.height:
            track.y[started] += (before - track.size[started]) * track.extent[1] / 2
    scene.record(event.kind, event)


def _spin(scene: Scene, event: Event) -> None:
    started, progress = scene.progress(event)
    turns = 1.0 if event.amount is None else event.amount
    scene.tracks[event.actor].turn[started] += 360.0 * turns * progress
    scene.record("spin", event)


def _stop(scene: Scene, event: Event) -> None:
    """Freeze the actor where it is at that moment, between two frames if necessary."""
    track = scene.tracks[event.actor]
    started, _ = scene.progress(event)
    track.y[started] = np.interp(event.start, scene.times, track.y + track.lift)  # feet back on the ground
    for row in (track.x, track.turn):
        row[started] = np.interp(event.start, scene.times, row)
    track.lift[started] = 0.0
    for number, record in enumerate(scene.log):
        if record.actor == event.actor and record.start < event.start < record.end:
            scene.log[number] = dataclasses.replace(record, end=event.start)
    scene.record("stop", event)


def _stay(scene: Scene, event: Event) -> None:
    """Record that an actor out of sight does not come back."""
    scene.record("stay", event)


MOTIONS: dict[str, Callable[[Scene, Event], None]] = {
    "enter": _enter,
    "leave": _leave,
    "walk": _move,
    "fly": _move,
    "move": _move,
    "roll": _move,
    "creep": _move,
    "dash": _move,
    "bounce": _bounce,
    "grow": _scale,
    "shrink": _scale,
    "spin": _spin,
    "stop": _stop,
    "stay": _stay,
}
