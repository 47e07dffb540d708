"""What a task asks beyond its spec: what was given comes back, and at the joints nothing jumps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from chronotope.evaluate.reconstruction import psnr
from chronotope.geometry import Frames
from chronotope.metrics.continuity import STEP_NOISE, cuts
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.stage.checks.tracking import TRAVELS, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.tasks import TaskInputs

__all__ = ["closes", "inputs_come_back", "boundary_checks"]

KEPT = 24.0  # dB: the stage through the shipped autoencoder has 31 and more, through a weak one 27
SEAM = 2.0  # median steps by which the velocity may change more than the stage's does


def boundary_checks(scene: TrackedClip, frames: Frames, asked: TaskInputs) -> Iterator[Check]:
    """The predicates of a task; `frames` are the video's own, of the spec's size."""
    yield from inputs_come_back(frames, asked)
    for joint in asked.joints:
        yield Check.of("goes on smoothly", _seam(scene, frames, joint))
    if asked.wraps:
        yield Check.of("closes", _wrap(scene, frames))


def inputs_come_back(frames: Frames, asked: TaskInputs) -> Iterator[Check]:
    """What was given, if anything was that must be kept, is in the video."""
    if asked.kept is not None and asked.reference is not None:
        there = psnr(frames[asked.kept], asked.reference[asked.kept])
        yield Check(
            "what was given comes back",
            "",
            None if there >= KEPT else "GIV-CHG",
            int(asked.kept.any(axis=(1, 2)).argmax()),
        )


def _seam(scene: TrackedClip, frames: Frames, joint: int) -> Outcome:
    """No cut, and who gets about goes on as the stage does, sideways and up and down."""
    if joint in cuts(frames):
        return "SEAM", joint
    for place, one in enumerate(scene.actors):
        if not any(event.kind in TRAVELS and event.actor == one.actor.id for event in scene.spec.events):
            continue
        played = truth_of(scene.spec)
        truth = np.stack([played.x, played.y], axis=2)[: scene.num_frames, place] / min(
            scene.spec.width, scene.spec.height
        )
        seen = np.where((one.found & ~one.touched)[:, None], one.trail.centres, np.nan)
        jump = _change(seen, joint) - _change(truth, joint)
        jump[1] = max(
            abs(jump[1]) - np.ptp(np.diff(truth[:, 1])), 0.0
        )  # a gait's steps and hops may fall on other frames than the stage's
        if np.linalg.norm(jump) > SEAM * _step(
            seen
        ):  # never where it cannot be seen: that is a failure of another name, or none
            return "SEAM", joint
    return None


def _step(places: Float[np.ndarray, "t 2"]) -> float:
    """The median step of somebody, at least what the detector's noise comes to."""
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    return STEP_NOISE if np.isnan(steps).all() else max(float(np.nanmedian(steps)), STEP_NOISE)


def _change(places: Float[np.ndarray, "t 2"], joint: int) -> Float[np.ndarray, "2"]:
    """By how much the step across a joint differs from the two on its longer side; NaN where it cannot be said."""
    steps = np.diff(places, axis=0)
    if joint < 3:
        steps, joint = -steps[::-1], len(places) - joint
    before = steps[max(0, joint - 3) : joint - 1]
    return np.asarray(steps[joint - 1] - before.mean(axis=0)) if len(before) else np.full(2, np.nan)


def closes(spec: Spec) -> bool:
    """Whether everybody on the stage is at the end where it was at the beginning, as near as a loop must come."""
    truth = truth_of(spec)
    places = np.stack([truth.x, truth.y], axis=2) / min(spec.width, spec.height)
    return all(_back(places[:, place]) <= SEAM for place in range(len(spec.actors)))


def _wrap(scene: TrackedClip, frames: Frames) -> Outcome:
    """The step from the last frame back to the first is like any other: no cut, nobody elsewhere."""
    half = len(frames) // 2
    if len(frames) - half in cuts(np.roll(frames, -half, axis=0)):
        return "SEAM", len(frames) - 1
    for one in scene.actors:
        if _leap(one) > SEAM:
            return "SEAM", len(frames) - 1
    return None


def _leap(one: TrackedActor) -> float:
    """The step from its last place to its first, in its median steps; 0 where it cannot be seen."""
    back = _back(np.where((one.found & ~one.touched)[:, None], one.trail.centres, np.nan))
    return 0.0 if np.isnan(back) else back


def _back(places: Float[np.ndarray, "t 2"]) -> float:
    """The step from the last place to the first, in median steps."""
    return float(np.linalg.norm(places[0] - places[-1])) / _step(places)
