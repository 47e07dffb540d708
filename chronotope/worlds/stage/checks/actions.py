"""What can be seen of the deeds of one actor that have a shape in time: to stop on the way, to bounce, to spin.

What the stage's own playing of the spec does not show clearly (a fall of a few pixels) is not asked of a video of it either.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import grown
from chronotope.worlds.stage.checks.attributes import FARTHEST_STILL, Trail
from chronotope.worlds.stage.checks.detector import CELL
from chronotope.worlds.stage.checks.tracking import TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.motion import GRAVITY
from chronotope.worlds.stage.spec import Event

__all__ = ["action_checks", "turned", "until_it_stops"]

GOES_ON = 0.5  # of the speed before: who is still that fast in the last quarter has not stopped
SEEN_MOVING = 0.04  # short sides in a quarter of the clip: slower motion cannot be told from rest
TURN = 0.05  # short sides between the top and the bottom of a bounce
FALL = 0.1  # short sides: lower arcs are too flat to be measured
WEIGHT = 0.4, 2.5  # times the stage's gravity
ROUND = 0.85  # of the variance of an arc that a parabola explains
GAIN = 0.03  # short sides higher than before
QUARTER_TURN = 90.0  # degrees: who turns less has not spun
STEADY_TURN = 0.7  # of its steps go the same way round
STEP_OF_TURN = 2.0, 75.0  # degrees from frame to frame


def action_checks(scene: TrackedClip, place: int, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of an actor's stops, bounces and spins, by name."""
    for event in (event for event in scene.spec.events if event.actor == one.actor.id):
        if event.kind == "stop":
            yield "stop", partial(_stops, scene, one, event)
        elif event.kind == "bounce" and np.ptp(_stage_heights(scene, place, event)) >= FALL:
            yield "bounce", partial(_bounces, scene, place, one, event)
            yield "falls as things fall", partial(_falls, scene, one, event)
            yield "gains no height", partial(_gains, scene, one, event)
        elif event.kind == "spin":
            yield "spin", partial(_spins, scene, one, event)
            yield "keeps its place", partial(_keeps_place, scene, one)


def until_it_stops(events: list[Event]) -> list[Event]:
    """Each journey ends where its actor stops."""
    stops = [event.start for event in events if event.kind == "stop"]
    ends = [min((stop for stop in stops if event.start < stop < event.end), default=event.end) for event in events]
    return [
        event if end == event.end else dataclasses.replace(event, end=end)
        for event, end in zip(events, ends, strict=True)
    ]


def _speed(one: TrackedActor, frames: slice) -> float | None:
    """Short sides a frame; nothing where it is seen too seldom."""
    trail = Trail(one.trail.cells[frames], one.trail.centres[frames])
    times = np.flatnonzero(trail.found)
    return math.hypot(*trail.travelled) / float(times[-1] - times[0]) if len(times) >= 3 else None


def _stops(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """The last quarter of the clip is slow beside what came before the stop."""
    stop = round(event.start * scene.spec.fps)
    quarter = max(3, scene.num_frames // 4)
    first = max(stop + 1, scene.num_frames - quarter)
    before, after = _speed(one, slice(0, stop + 1)), _speed(one, slice(first, scene.num_frames))
    if before is None or after is None or before * quarter < SEEN_MOVING:
        return None
    return ("TXT-ACT", first) if after > GOES_ON * before else None


def _stage_heights(scene: TrackedClip, place: int, event: Event) -> np.ndarray:
    """How far down the stage has it in each frame of the event."""
    return np.asarray(truth_of(scene.spec).y[scene.during(event), place] / min(scene.spec.width, scene.spec.height))


def _heights(scene: TrackedClip, one: TrackedActor, event: Event) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
    """The frames of the event in which it is found, and how far down it is in them."""
    frames = scene.during(event)
    times = np.flatnonzero(one.found[frames]) + frames.start
    return times, one.trail.centres[times, 1]


def _bottoms(values: Float[np.ndarray, " n"]) -> list[int]:
    """Where it turns upwards again: lower than what lies on both sides of it by more than a little."""
    found, low, high, falling = [], 0, 0, False
    for i, value in enumerate(values):
        low = i if value >= values[low] else low  # the larger, the lower in the picture
        high = i if value <= values[high] else high
        if falling and values[low] - value > TURN:
            found.append(low)
            falling, high = False, i
        elif not falling and value - values[high] > TURN:
            falling, low = True, i
    return found


def _bounces(scene: TrackedClip, place: int, one: TrackedActor, event: Event) -> Outcome:
    """Down and up again as often as on the stage, or once more or less."""
    times, down = _heights(scene, one, event)
    if len(times) < 5:
        return None
    wanted, found = len(_bottoms(_stage_heights(scene, place, event))), len(_bottoms(down))
    if abs(found - wanted) <= 1 and (found or not wanted):
        return None
    return "MOT-STA" if np.ptp(down) < FARTHEST_STILL else "TXT-ACT", int(times[-1])


def _arcs(times: np.ndarray, down: Float[np.ndarray, " n"]) -> Iterator[tuple[np.ndarray, Float[np.ndarray, " n"]]]:
    """The pieces between contacts; a contact falls between two frames, so the frames nearest to it belong to no piece."""
    ends = [-1, *_bottoms(down)]
    rest = down[ends[-1] + 1 :]
    last = (
        int(rest.argmin()) + int(rest[rest.argmin() :].argmax()) if len(rest) else 0
    )  # where it touches the floor again, if it does
    ends.append(len(down) if last == len(rest) - 1 else ends[-1] + 1 + last)
    for first, last in itertools.pairwise(ends):
        piece = slice(first + 1, last)
        if last - first - 1 >= 4 and np.ptp(down[piece]) >= FALL:
            yield times[piece], down[piece]


def _falls(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """Between contacts a parabola, bent downwards about as much as the stage's."""
    weight = GRAVITY * scene.spec.height / min(scene.spec.width, scene.spec.height)
    for times, down in _arcs(*_heights(scene, one, event)):
        seconds = times / scene.spec.fps
        curve = np.polyfit(seconds, down, 2)
        rest = down - np.polyval(curve, seconds)
        straight = rest.var() > (1 - ROUND) * down.var()
        if straight or not WEIGHT[0] <= 2 * curve[0] / weight <= WEIGHT[1]:
            return "PHY-GRV", int(times[0])
    return None


def _gains(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """After a contact it never comes higher than it was before."""
    times, down = _heights(scene, one, event)
    for bottom in _bottoms(down):
        higher = down[bottom:] < down[:bottom].min() - GAIN
        if higher.any():
            return "PHY-NRG", int(times[bottom + np.argmax(higher)])
    return None


ANGLES, RINGS = 72, 12
IN_VIEW = 0.95  # of the disc around it: with less, nothing is said of how it turns


def turned(scene: TrackedClip, one: TrackedActor) -> Float[np.ndarray, " steps"] | None:
    """By how many degrees it turns clockwise from each frame in which it is found to the next: the shift at which its rings fit best."""
    short = min(scene.sight.frames.shape[1:3])
    middle = np.nanmedian(one.trail.centres, axis=0) * short
    radius = 1.2 * CELL * math.sqrt(float(np.nanmedian(one.areas)) / math.pi)
    none = np.zeros_like(one.trail.cells[0])
    others = grown(
        np.any([none, *(other.trail.cells.any(axis=0) for other in scene.actors if other is not one)], axis=0)
    )
    free = np.repeat(np.repeat(~others, CELL, axis=0), CELL, axis=1)[
        : scene.sight.frames.shape[1], : scene.sight.frames.shape[2]
    ]

    def rings(picture: np.ndarray) -> np.ndarray:
        return np.asarray(
            cv2.warpPolar(
                picture.astype(np.float32),
                (RINGS, ANGLES),
                tuple(middle.tolist()),
                radius,
                cv2.INTER_LINEAR + cv2.WARP_FILL_OUTLIERS,
            )
        )

    view = (rings(free) > 0.5)[..., None]  # outside the picture there is nothing to see either
    if view.mean() < IN_VIEW:
        return None
    seen = np.stack([rings(scene.sight.frames[t]) for t in np.flatnonzero(one.found)])
    # what never changes is not what turns: the ground behind it, the shadow under it
    spectra = np.fft.fft((seen - np.median(seen, axis=0)) * view, axis=1)
    fits = [
        np.fft.ifft(after * before.conj(), axis=0).real.sum(axis=(1, 2))
        for before, after in itertools.pairwise(spectra)
    ]
    shifts = np.array([int(fit.argmax()) for fit in fits])
    return np.where(shifts <= ANGLES // 2, shifts, shifts - ANGLES) * (360.0 / ANGLES)


def _spins(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """It turns, most of its steps the same way round."""
    frames = scene.during(event)
    times, steps = np.flatnonzero(one.found), turned(scene, one)
    steps = steps[(times[:-1] >= frames.start) & (times[1:] < frames.stop)] if steps is not None else np.zeros(0)
    if len(steps) < 3:
        return None
    least, most = STEP_OF_TURN
    same = max(((way * steps > least) & (way * steps <= most)).mean() for way in (1, -1))
    return None if abs(steps.sum()) >= QUARTER_TURN and same >= STEADY_TURN else ("TXT-ACT", int(times[-1]))


def _keeps_place(scene: TrackedClip, one: TrackedActor) -> Outcome:
    """It turns where it is."""
    times = np.flatnonzero(one.found & ~one.touched)
    far = (
        np.linalg.norm(one.trail.centres[times] - np.median(one.trail.centres[times], axis=0), axis=1)
        if len(times) >= 3
        else np.zeros(1)
    )
    return ("MOT-DIR", int(times[far.argmax()])) if np.percentile(far, 90) > 2 * FARTHEST_STILL else None
