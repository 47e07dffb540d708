"""Events of one actor: getting about, entering and leaving, bouncing, growing, turning, stopping."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from chronotope.worlds.stage.spec import Event
from chronotope.worlds.stage.tracks import Scene, Track, floor_y, noun_of, step_of

__all__ = ["MOTIONS", "fall", "travel"]

GRAVITY = 2.2  # frame heights per second squared: things fall visibly, but not too fast for 8 frames a second
RESTITUTION = 0.85


def travel(scene: Scene, event: Event, dx: float, dy: float, progress: np.ndarray | None = None) -> None:
    """Carry the actor by (dx, dy) pixels, evenly, with the small movements of its gait."""
    track, actor = scene.tracks[event.actor], scene.spec.actor(event.actor)
    touched, evenly = scene.span(event)
    if not touched.any():
        return
    progress = evenly if progress is None else progress
    track.x[touched] += dx * progress
    track.y[touched] += dy * progress
    noun = noun_of(actor)
    side = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}[
        (int(math.copysign(1, dx)), 0) if abs(dx) >= abs(dy) else (0, int(math.copysign(1, dy)))
    ]
    if side in ("left", "right") and (dx or dy):
        track.mirrored[touched] = side == "left"
    if noun is None:
        if event.kind == "roll" or (event.kind == "hit" and actor.noun == "circle"):
            _roll(track, touched, dx * progress)
    elif noun.gait == "roll" and event.kind not in ("fly", "walk"):
        _roll(track, touched, dx * progress)
    else:
        if noun.facing == "up-right":
            upright = {"up": -90.0, "down": 90.0}.get(side, 0.0)
            track.turn[touched] = -upright if track.mirrored[touched][0] else upright
        _gait(track, touched, progress, _gait_for(event.kind, noun.gait), math.hypot(dx, dy))


def _gait_for(kind: str, natural: str) -> str:
    return {"walk": natural if natural == "hop" else "walk", "fly": "fly"}.get(kind, natural)


def _roll(track: Track, touched: np.ndarray, distance: np.ndarray) -> None:
    """The turn of a wheel that does not slip: distance over radius."""
    radius = track.size[touched] * track.extent[1] / 2
    track.turn[touched] += np.degrees(distance / radius)


def _gait(track: Track, touched: np.ndarray, progress: np.ndarray, gait: str, path: float) -> None:
    """The small movements of getting about: steps, hops, wing beats."""
    size = float(track.size[touched][0])
    going = (progress > 0) & (progress < 1)
    phase = math.pi * progress * max(1.0, round(1.6 * path / max(size, 1e-6)))  # 1.6 steps a body length
    if gait == "walk":
        lift = np.where(going, np.abs(np.sin(phase)) * 0.05 * size, 0.0)
        track.turn[touched] += np.where(going, np.sin(phase) * 4.0, 0.0)
    elif gait == "hop":
        lift = np.where(going, np.abs(np.sin(phase)) * 0.22 * size, 0.0)
    elif gait in ("fly", "swim", "float"):
        lift = np.sin(phase) * 0.06 * size
    else:
        return
    track.lift[touched] += lift
    track.y[touched] -= lift


def _get_about(scene: Scene, event: Event) -> None:
    sx, sy = step_of(event.direction)
    amount = 0.5 if event.amount is None else event.amount
    travel(scene, event, sx * amount * scene.spec.width, sy * amount * scene.spec.height)
    scene.note(event.kind, event)


def _way_out(scene: Scene, event: Event, direction: str, frame: int) -> tuple[float, float]:
    """How far to go in a direction from where the actor is to be just out of the frame."""
    track, spec = scene.tracks[event.actor], scene.spec
    sx, sy = step_of(direction)
    half_w, half_h = (1.1 * half + 1 for half in track.half(frame))
    x, y = float(track.x[frame]), float(track.y[frame])
    dx = {1: spec.width + half_w - x, -1: -half_w - x, 0: 0.0}[sx]
    dy = {1: spec.height + half_h - y, -1: -half_h - y, 0: 0.0}[sy]
    return dx, dy


def _leave(scene: Scene, event: Event) -> None:
    touched, progress = scene.span(event)
    if touched.any():
        travel(scene, event, *_way_out(scene, event, event.direction or "right", int(np.argmax(touched))))
        scene.tracks[event.actor].present[touched] = progress < 1
    scene.note("leave", event)


def _enter(scene: Scene, event: Event) -> None:
    track = scene.tracks[event.actor]
    touched, _ = scene.span(event)
    track.present[~touched] = track.present[~touched] & (len(_moves_before(scene, event)) > 0)
    if touched.any():
        frame = int(np.argmax(touched))
        actor = scene.spec.actor(event.actor)
        track.x[touched] = actor.x * scene.spec.width
        if event.direction in ("up", "down") or not _moves_before(scene, event):
            track.y[touched] = (
                actor.y * scene.spec.height
            )  # who comes back sideways has kept its level, and its feet on the ground
        opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}[event.direction or "right"]
        dx, dy = _way_out(scene, event, opposite, frame)
        track.present[touched] = True
        track.x[touched] += dx
        track.y[touched] += dy
        travel(scene, event, -dx, -dy)
    scene.note("enter", event)


def _moves_before(scene: Scene, event: Event) -> list[Event]:
    return [e for e in scene.spec.events if e.actor == event.actor and e.start < event.start and e.kind == "leave"]


def fall(height: float, gravity: float, seconds: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Height over the floor when dropped from `height`: exactly a parabola between contacts; and the times of contact."""
    contact = math.sqrt(2 * max(height, 1e-6) / gravity)
    speed = gravity * contact * RESTITUTION
    over = height - gravity * seconds**2 / 2
    contacts = []
    last = float(seconds[-1]) if len(seconds) else 0.0
    while contact <= last and speed > 1e-3 * gravity:
        contacts.append(contact)
        since = seconds - contact
        over = np.where(since >= 0, speed * since - gravity * since**2 / 2, over)
        contact, speed = contact + 2 * speed / gravity, speed * RESTITUTION
    return np.maximum(over, 0.0), contacts


def _bounce(scene: Scene, event: Event) -> None:
    track, spec = scene.tracks[event.actor], scene.spec
    touched, progress = scene.span(event)
    if touched.any():
        half = track.half(int(np.argmax(touched)))[1]
        top = float(track.y[touched][0])
        rest = max(top, floor_y(spec.height, spec.actor(event.actor).depth) - half)
        over, contacts = fall(rest - top, GRAVITY * spec.height, progress * (event.end - event.start))
        track.y[touched], track.lift[touched] = rest - over, over
        if event.direction in ("left", "right"):
            amount = 0.3 if event.amount is None else event.amount
            track.x[touched] += step_of(event.direction)[0] * amount * spec.width * progress
        for contact in contacts:
            scene.note("contact", event, event.start + contact, event.start + contact, "floor")
    scene.note("bounce", event)


def _scale(scene: Scene, event: Event) -> None:
    factor = event.amount if event.amount is not None else (2.0 if event.kind == "grow" else 0.5)
    touched, progress = scene.span(event)
    track = scene.tracks[event.actor]
    if touched.any():
        before = track.size[touched].copy()
        track.size[touched] *= factor**progress
        actor = scene.spec.actor(event.actor)
        feet = float(track.y[touched][0]) + track.half(int(np.argmax(touched)))[1]
        if abs(feet - floor_y(scene.spec.height, actor.depth)) < 0.05 * scene.spec.height:
            # What stands on the ground keeps its feet there while it changes size.
            track.y[touched] += (before - track.size[touched]) * track.extent[1] / 2
    scene.note(event.kind, event)


def _spin(scene: Scene, event: Event) -> None:
    touched, progress = scene.span(event)
    scene.tracks[event.actor].turn[touched] += 360.0 * (1.0 if event.amount is None else event.amount) * progress
    scene.note("spin", event)


def _stop(scene: Scene, event: Event) -> None:
    """Freeze where the actor is at that very moment, between frames if need be."""
    track = scene.tracks[event.actor]
    touched, _ = scene.span(event)
    track.y[touched] = np.interp(event.start, scene.times, track.y + track.lift)  # feet back on the ground
    for row in (track.x, track.turn):
        row[touched] = np.interp(event.start, scene.times, row)
    track.lift[touched] = 0.0
    scene.log[:] = [
        dataclasses.replace(h, end=event.start) if h.actor == event.actor and h.start < event.start < h.end else h
        for h in scene.log
    ]
    scene.note("stop", event)


def _stay(scene: Scene, event: Event) -> None:
    """Nothing happens: who is out of sight stays there."""
    scene.note("stay", event)


MOTIONS: dict[str, Callable[[Scene, Event], None]] = {
    "enter": _enter,
    "leave": _leave,
    "walk": _get_about,
    "fly": _get_about,
    "move": _get_about,
    "roll": _get_about,
    "creep": _get_about,
    "dash": _get_about,
    "bounce": _bounce,
    "grow": _scale,
    "shrink": _scale,
    "spin": _spin,
    "stop": _stop,
    "stay": _stay,
}
