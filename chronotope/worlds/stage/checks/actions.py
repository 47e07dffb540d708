"""Check the actions of one actor that unfold over time: stopping, bouncing and spinning.

An action that the true clip does not show clearly, such as a fall of a few pixels, is not required of a video either.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np
from jaxtyping import Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import dilate
from chronotope.worlds.stage.checks.attributes import MIN_MOTION, Trail, to_pixels
from chronotope.worlds.stage.checks.detector import CELL
from chronotope.worlds.stage.checks.tracking import Predicates, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.motion import GRAVITY
from chronotope.worlds.stage.spec import Event

__all__ = ["action_checks", "end_at_stops", "rotation_steps"]

MAX_SPEED_AFTER_STOP = 0.5  # in the last quarter, relative to the speed before the stop
MIN_WAY_PER_QUARTER = 0.04  # short sides: slower motion looks like rest
MIN_BOUNCE_HEIGHT = 0.05  # short sides between the top and the bottom of a bounce
MIN_ARC_HEIGHT = 0.1  # short sides: lower arcs are too flat to measure
MIN_GRAVITY, MAX_GRAVITY = 0.4, 2.5  # times the stage's gravity
MIN_ARC_FIT = 0.85  # of the variance of an arc, explained by a parabola
MAX_HEIGHT_GAIN = 0.03  # short sides
MIN_ROTATION = 90.0  # degrees over the clip
MIN_SAME_DIRECTION = 0.7  # of the steps of a spin
MIN_STEP, MAX_STEP = 2.0, 75.0  # degrees from frame to frame
ANGLES, RINGS = 72, 12  # the polar grid on which rotation is measured
MIN_VISIBLE_DISC = 0.95  # of the disc around an actor, to measure its rotation


def action_checks(scene: TrackedClip, index: int, track: TrackedActor) -> Predicates:
    """Yield the checks of an actor's stops, bounces and spins."""
    for event in (event for event in scene.spec.events if event.actor == track.actor.id):
        if event.kind == "stop":
            yield "stop", partial(_check_stop, scene, track, event)
        elif event.kind == "bounce" and np.ptp(_true_heights(scene, index, event)) >= MIN_ARC_HEIGHT:
            yield "bounce", partial(_check_bounces, scene, index, track, event)
            yield "falls as things fall", partial(_check_fall, scene, track, event)
            yield "gains no height", partial(_check_height_gain, scene, track, event)
        elif event.kind == "spin":
            yield "spin", partial(_check_spin, scene, track, event)
            yield "keeps its place", partial(_check_position, scene, track)


def end_at_stops(events: list[Event]) -> list[Event]:
    """End each event of an actor where the actor stops."""
    stops = [event.start for event in events if event.kind == "stop"]
    ends = [min((stop for stop in stops if event.start < stop < event.end), default=event.end) for event in events]
    return [dataclasses.replace(event, end=end) for event, end in zip(events, ends, strict=True)]


def _speed(track: TrackedActor, frames: slice) -> float | None:
    """Return the speed in short sides a frame, or None with fewer than three detections."""
    trail = Trail(track.trail.cells[frames], track.trail.centres[frames])
    times = np.flatnonzero(trail.found)
    return math.hypot(*trail.travelled) / float(times[-1] - times[0]) if len(times) >= 3 else None


def _check_stop(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that the last quarter of the clip is slow relative to the time before the stop."""
    stop = round(event.start * scene.spec.fps)
    quarter = max(3, scene.num_frames // 4)
    first = max(stop + 1, scene.num_frames - quarter)
    before, after = _speed(track, slice(0, stop + 1)), _speed(track, slice(first, scene.num_frames))
    if before is None or after is None or before * quarter < MIN_WAY_PER_QUARTER:
        return None
    return ("TXT-ACT", first) if after > MAX_SPEED_AFTER_STOP * before else None


def _true_heights(scene: TrackedClip, index: int, event: Event) -> np.ndarray:
    """Return the true y in short sides, downwards, in each frame of the event."""
    return np.asarray(truth_of(scene.spec).y[scene.during(event), index] / min(scene.spec.width, scene.spec.height))


def _heights(scene: TrackedClip, track: TrackedActor, event: Event) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
    """Return the frames of the event in which the actor is found, and its y in them."""
    frames = scene.during(event)
    times = np.flatnonzero(track.found[frames]) + frames.start
    return times, track.trail.centres[times, 1]


def _bottoms(values: Float[np.ndarray, " n"]) -> list[int]:
    """Find the local maxima of y that exceed both neighbouring minima by more than `MIN_BOUNCE_HEIGHT`."""
    found, low, high, falling = [], 0, 0, False
    for i, value in enumerate(values):
        low = i if value >= values[low] else low  # y grows downwards
        high = i if value <= values[high] else high
        if falling and values[low] - value > MIN_BOUNCE_HEIGHT:
            found.append(low)
            falling, high = False, i
        elif not falling and value - values[high] > MIN_BOUNCE_HEIGHT:
            falling, low = True, i
    return found


def _check_bounces(scene: TrackedClip, index: int, track: TrackedActor, event: Event) -> Outcome:
    """Check that the actor bounces as often as in the truth, give or take one."""
    times, height = _heights(scene, track, event)
    if len(times) < 5:
        return None
    expected, found = len(_bottoms(_true_heights(scene, index, event))), len(_bottoms(height))
    if abs(found - expected) <= 1 and (found or not expected):
        return None
    return "MOT-STA" if np.ptp(height) < MIN_MOTION else "TXT-ACT", int(times[-1])


def _arcs(times: np.ndarray, height: Float[np.ndarray, " n"]) -> Iterator[tuple[np.ndarray, Float[np.ndarray, " n"]]]:
    """Yield the arcs between contacts.

    A contact falls between two frames, so the frames nearest to it belong to no arc.
    """
    ends = [-1, *_bottoms(height)]
    rest = height[ends[-1] + 1 :]
    top = int(rest.argmin()) if len(rest) else 0
    last = top + int(rest[top:].argmax()) if len(rest) else 0  # the next contact with the floor, if any
    ends.append(len(height) if last == len(rest) - 1 else ends[-1] + 1 + last)
    for first, last in itertools.pairwise(ends):
        piece = slice(first + 1, last)
        if last - first - 1 >= 4 and np.ptp(height[piece]) >= MIN_ARC_HEIGHT:
            yield times[piece], height[piece]


def _check_fall(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that every arc is a parabola with about the stage's gravity."""
    gravity = GRAVITY * scene.spec.height / min(scene.spec.width, scene.spec.height)
    for times, height in _arcs(*_heights(scene, track, event)):
        seconds = times / scene.spec.fps
        curve = np.polyfit(seconds, height, 2)
        rest = height - np.polyval(curve, seconds)
        straight = rest.var() > (1 - MIN_ARC_FIT) * height.var()
        if straight or not MIN_GRAVITY <= 2 * curve[0] / gravity <= MAX_GRAVITY:
            return "PHY-GRV", int(times[0])
    return None


def _check_height_gain(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that the actor never rises higher after a contact than before it."""
    times, height = _heights(scene, track, event)
    for bottom in _bottoms(height):
        higher = height[bottom:] < height[:bottom].min() - MAX_HEIGHT_GAIN
        if higher.any():
            return "PHY-NRG", int(times[bottom + np.argmax(higher)])
    return None


def rotation_steps(scene: TrackedClip, track: TrackedActor) -> Float[np.ndarray, " steps"] | None:
    """Return the clockwise rotation in degrees from each frame in which the actor is found to the next.

    The rotation is the shift at which the polar images of two frames correlate best. None where the actor is partly out
    of view.
    """
    short = min(scene.frames.shape[1:3])
    centre = tuple((np.nanmedian(track.trail.centres, axis=0) * short).tolist())
    radius = 1.2 * CELL * math.sqrt(float(np.nanmedian(track.areas)) / math.pi)
    none = np.zeros_like(track.trail.cells[0])
    occupied = [none, *(other.trail.cells.any(axis=0) for other in scene.actors if other is not track)]
    free = to_pixels(~dilate(np.any(occupied, axis=0)), scene.frames)
    flags = cv2.INTER_LINEAR + cv2.WARP_FILL_OUTLIERS

    def polar(picture: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.warpPolar(picture.astype(np.float32), (RINGS, ANGLES), centre, radius, flags))

    visible = (polar(free) > 0.5)[..., None]  # 0 outside the picture
    if visible.mean() < MIN_VISIBLE_DISC:
        return None
    seen = np.stack([polar(scene.frames[t]) for t in np.flatnonzero(track.found)])
    # Subtracting the median removes what does not rotate: the background and the shadow.
    spectra = np.fft.fft((seen - np.median(seen, axis=0)) * visible, axis=1)
    products = [after * before.conj() for before, after in itertools.pairwise(spectra)]
    shifts = np.array([int(np.fft.ifft(p, axis=0).real.sum(axis=(1, 2)).argmax()) for p in products])
    return np.where(shifts <= ANGLES // 2, shifts, shifts - ANGLES) * (360.0 / ANGLES)


def _check_spin(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that the actor rotates, with most steps in the same direction."""
    frames = scene.during(event)
    times, steps = np.flatnonzero(track.found), rotation_steps(scene, track)
    if steps is None:
        return None
    steps = steps[(times[:-1] >= frames.start) & (times[1:] < frames.stop)]
    if len(steps) < 3:
        return None
    same = max(((sign * steps > MIN_STEP) & (sign * steps <= MAX_STEP)).mean() for sign in (1, -1))
    return None if abs(steps.sum()) >= MIN_ROTATION and same >= MIN_SAME_DIRECTION else ("TXT-ACT", int(times[-1]))


def _check_position(scene: TrackedClip, track: TrackedActor) -> Outcome:
    """Check that the actor stays at its position."""
    times = np.flatnonzero(track.found & ~track.touched)
    if len(times) < 3:
        return None
    centres = track.trail.centres[times]
    distances = np.linalg.norm(centres - np.median(centres, axis=0), axis=1)
    moves = np.percentile(distances, 90) > 2 * MIN_MOTION
    return ("MOT-DIR", int(times[distances.argmax()])) if moves else None
