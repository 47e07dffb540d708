"""Check what a task requires beyond its spec: the input frames come back, and motion continues across boundaries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from chronotope.geometry import Frames
from chronotope.metrics.continuity import STEP_NOISE, cuts
from chronotope.worlds.boundaries import inputs_come_back
from chronotope.worlds.case import TaskInputs
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.stage.checks.tracking import TRAVELS, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.spec import Spec

__all__ = ["boundary_checks", "closes"]

MAX_VELOCITY_CHANGE = 2.0  # median steps: the largest change of velocity beyond that of the truth


def boundary_checks(scene: TrackedClip, frames: Frames, task: TaskInputs) -> Iterator[Check]:
    """Yield the checks of a task; `frames` are the original frames of the video, in the size of the spec."""
    yield from inputs_come_back(frames, task)
    for boundary in task.boundaries:
        yield Check.of("goes on smoothly", _boundary(scene, frames, boundary))
    if task.wraps:
        yield Check.of("closes", _loop_boundary(scene, frames))


def _boundary(scene: TrackedClip, frames: Frames, boundary: int) -> Outcome:
    """Find a cut, or a travelling actor whose velocity changes more than that of the truth."""
    if boundary in cuts(frames):
        return "SEAM", boundary
    for index, track in enumerate(scene.actors):
        if not any(event.kind in TRAVELS and event.actor == track.actor.id for event in scene.spec.events):
            continue
        truth = _true_centres(scene.spec)[: scene.num_frames, index]
        seen = _seen_centres(track)
        jump = _velocity_change(seen, boundary) - _velocity_change(truth, boundary)
        # The steps and hops of a gait may fall on other frames than those of the truth.
        jump[1] = max(abs(jump[1]) - np.ptp(np.diff(truth[:, 1])), 0.0)
        # The comparison is false for NaN: an unseen actor is a failure of another check, or none.
        if np.linalg.norm(jump) > MAX_VELOCITY_CHANGE * _median_step(seen):
            return "SEAM", boundary
    return None


def _true_centres(spec: Spec) -> Float[np.ndarray, "t actors 2"]:
    """Return the centres of the truth in short sides."""
    truth = truth_of(spec)
    return np.stack([truth.x, truth.y], axis=2) / min(spec.width, spec.height)


def _seen_centres(track: TrackedActor) -> Float[np.ndarray, "t 2"]:
    """Return the tracked centres, NaN where another actor touches this one."""
    return np.where((track.found & ~track.touched)[:, None], track.trail.centres, np.nan)


def _median_step(centres: Float[np.ndarray, "t 2"]) -> float:
    """Return the median step of an actor, at least the noise of the detector."""
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    return STEP_NOISE if np.isnan(steps).all() else max(float(np.nanmedian(steps)), STEP_NOISE)


def _velocity_change(centres: Float[np.ndarray, "t 2"], boundary: int) -> Float[np.ndarray, "2"]:
    """Return how the step across a boundary differs from the two steps on its longer side; NaN where unknown."""
    steps = np.diff(centres, axis=0)
    if boundary < 3:
        steps, boundary = -steps[::-1], len(centres) - boundary
    before = steps[max(0, boundary - 3) : boundary - 1]
    return np.asarray(steps[boundary - 1] - before.mean(axis=0)) if len(before) else np.full(2, np.nan)


def closes(spec: Spec) -> bool:
    """Tell whether every actor of the truth ends where it began, as close as a loop must come."""
    truth = _true_centres(spec)
    return all(_return_step(truth[:, index]) <= MAX_VELOCITY_CHANGE for index in range(len(spec.actors)))


def _loop_boundary(scene: TrackedClip, frames: Frames) -> Outcome:
    """Find a cut or a leap of an actor from the last frame back to the first."""
    half = len(frames) // 2
    if len(frames) - half in cuts(np.roll(frames, -half, axis=0)):
        return "SEAM", len(frames) - 1
    # The comparison is false for NaN, where the first or the last frame does not show the actor.
    leaps = any(_return_step(_seen_centres(track)) > MAX_VELOCITY_CHANGE for track in scene.actors)
    return ("SEAM", len(frames) - 1) if leaps else None


def _return_step(centres: Float[np.ndarray, "t 2"]) -> float:
    """Return the step from the last centre to the first, in median steps."""
    return float(np.linalg.norm(centres[0] - centres[-1])) / _median_step(centres)
