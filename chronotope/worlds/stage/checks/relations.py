"""Check what some kinds of prompts require beyond actors and events: sides, counts, absent things and camera motion."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.metrics.camera import picture_motion
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.persistence import first_run
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.checks.attributes import MIN_PROBABILITY, Detections
from chronotope.worlds.stage.checks.detector import KINDS
from chronotope.worlds.stage.checks.identity import left_of
from chronotope.worlds.stage.checks.predicates import check_scene
from chronotope.worlds.stage.checks.tracking import MIN_STRANGER_CELLS, TrackedClip, track_actors
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec

__all__ = [
    "CAMERA_DIRECTIONS",
    "MIN_CAMERA_MOTION",
    "absent_of",
    "count_checks",
    "measure_camera_motion",
    "relation_checks",
    "true_camera_motion",
]

MIN_CAMERA_MOTION = (
    0.1  # short sides of a pan, or the logarithm of a zoom factor: smaller motion cannot be detected reliably
)
CAMERA_DIRECTIONS = ("right", "left", "in", "out")
MIN_SHARE_OF_MOTION = 0.4  # of the true camera motion, because the prompt does not say how far
_CAMERA_MOTION_CHECKS = ("is there", "has its colour", "is one", "is at its place", "is sharp")
_STILL_CHECKS = ("nobody else is there", "does not flicker", "is free of noise")
_COUNT_CHECKS = ("is there", "has its colour", "is at its place", "is sharp", *_STILL_CHECKS)


def relation_checks(scene: TrackedClip, kind: str) -> tuple[Check, ...]:
    """Return the checks of a scene of this kind: those of every scene, as far as they apply, and its own."""
    checks = check_scene(scene)
    if kind == "spatial relation":
        row = itertools.pairwise(sorted(scene.actors, key=lambda track: track.actor.x))
        return (*checks, *(Check.of("is left of the other", left_of(a, b), a.actor.id) for a, b in row))
    if kind == "absence":
        return (*checks, Check.of("what is ruled out is not there", _check_absence(scene, absent_of(scene.spec))))
    if kind == "camera motion":
        applicable = (check for check in checks if check.name in _CAMERA_MOTION_CHECKS)
        return (*applicable, Check.of("the camera moves", _check_camera(scene)))
    return checks


def count_checks(detections: Detections, spec: Spec) -> tuple[Check, ...]:
    """Check a video of several equal actors: their number, their colour, and the picture as a whole."""
    scene = track_actors(detections, dataclasses.replace(spec, actors=spec.actors[:1]))
    checks = [check for check in check_scene(scene) if check.name in _COUNT_CHECKS]
    counts = np.array(
        [_patches(probability) for probability in detections.probability[:, KINDS.index(spec.actors[0].noun)]]
    )
    wrong = counts != len(spec.actors)
    fault = ("TXT-NUM", int(wrong.argmax())) if wrong.mean() > 0.5 else None
    return (*checks, Check.of("as many are there", fault))


def absent_of(spec: Spec) -> str:
    """Return the noun of the scope `small` that the prompt of this spec rules out; a function of the spec."""
    nouns = [noun for noun in SCOPES["small"].nouns if all(noun != actor.noun for actor in spec.actors)]
    return nouns[int(spec_key(spec)[:8], 16) % len(nouns)]


def true_camera_motion(spec: Spec) -> float:
    """Return how far the true camera moves in the spec's direction.

    A pan is in short sides, a zoom is the logarithm of its factor.
    """
    return _in_direction(spec, *_measure_true_camera(spec))


@functools.lru_cache(maxsize=256)
def _measure_true_camera(spec: Spec) -> tuple[float, float]:
    return measure_camera_motion(render(spec).frames)


def _in_direction(spec: Spec, pan: float, zoom: float) -> float:
    return dict(zip(CAMERA_DIRECTIONS, (pan, -pan, zoom, -zoom), strict=True))[spec.camera.direction or ""]


def measure_camera_motion(frames: Frames) -> tuple[float, float]:
    """Measure the pan to the right, in short sides, and the logarithm of the zoom factor by optical flow."""
    short = min(frames.shape[1:3])
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    pan = zoom = 0.0
    for before, after in itertools.pairwise(grey):
        if (motion := picture_motion(before, after)) is not None:
            zoom += motion.growth
            pan -= motion.right / short
    return pan, zoom


def _check_absence(scene: TrackedClip, noun: str) -> Outcome:
    """Check that no patch of this kind persists."""
    present = np.array(
        [_patches(probability) > 0 for probability in scene.detections.probability[:, KINDS.index(noun)]]
    )
    return first_run("TXT-NEG", present, scene.spec.fps)


def _patches(probability: np.ndarray) -> int:
    """Count the connected patches that are probable and large enough."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        (probability >= MIN_PROBABILITY).astype(np.uint8), connectivity=8
    )
    return int((stats[1:count, cv2.CC_STAT_AREA] >= MIN_STRANGER_CELLS).sum())


def _check_camera(scene: TrackedClip) -> Outcome:
    """Check that the camera moves in the spec's direction, and a sufficient part of the true motion."""
    motion = _in_direction(scene.spec, *measure_camera_motion(scene.frames))
    return None if motion >= MIN_SHARE_OF_MOTION * true_camera_motion(scene.spec) else ("CAM-DIR", 0)
