"""What some prompts ask beyond who is there and what they do: who is left of whom, how many, what is not there, where the camera goes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.persistence import first_run
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.checks.attributes import SURE, Detections
from chronotope.worlds.stage.checks.detector import KINDS
from chronotope.worlds.stage.checks.identity import left_of
from chronotope.worlds.stage.checks.predicates import check_scene
from chronotope.worlds.stage.checks.tracking import FEWEST_CELLS, TrackedClip, track_actors
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec

__all__ = ["MOVING", "SHOWN_BY_CAMERA", "absent_of", "camera_of", "count_checks", "relation_checks", "seen_by_camera"]

MOVING = 0.1  # short sides, or of the logarithm of the size: the camera is seen to move
SHOWN_BY_CAMERA = ("right", "left", "in", "out")  # the ways of the camera that can be told
SHARE = 0.4  # of what the stage's camera does is enough, for how far is not said
_OF_WHAT_IS_SEEN_MOVING = ("is there", "has its colour", "is one", "is at its place", "is sharp")
_OF_SEVERAL = (
    "is there",
    "has its colour",
    "nobody else is there",
    "is at its place",
    "is sharp",
    "does not flicker",
    "is free of noise",
)


def relation_checks(scene: TrackedClip, kind: str) -> tuple[Check, ...]:
    """Every check of a scene of this kind: those of any scene, as far as they hold for it, and its own."""
    found = check_scene(scene)
    if kind == "spatial relation":
        row = itertools.pairwise(sorted(scene.actors, key=lambda one: one.actor.x))
        return (*found, *(Check.of("is left of the other", left_of(a, b), a.actor.id) for a, b in row))
    if kind == "absence":
        return (*found, Check.of("what is ruled out is not there", _absent(scene, absent_of(scene.spec))))
    if kind == "camera motion":
        return (
            *(one for one in found if one.name in _OF_WHAT_IS_SEEN_MOVING),
            Check.of("the camera moves", _camera_moves(scene)),
        )
    return found


def count_checks(sight: Detections, spec: Spec) -> tuple[Check, ...]:
    """Of several alike: so many of them, in their colour, and what must be true of any picture."""
    scene = track_actors(sight, dataclasses.replace(spec, actors=spec.actors[:1]))
    found = [one for one in check_scene(scene) if one.name in _OF_SEVERAL]
    counts = np.array([_patches(likely) for likely in sight.likely[:, KINDS.index(spec.actors[0].noun)]])
    wrong = counts != len(spec.actors)
    fault = ("TXT-NUM", int(wrong.argmax())) if wrong.mean() > 0.5 else None
    return (*found, Check.of("as many are there", fault))


def absent_of(spec: Spec) -> str:
    """A noun of the scope `small` that the spec does not have and its prompt rules out; always the same."""
    nouns = [noun for noun in SCOPES["small"].nouns if all(noun != actor.noun for actor in spec.actors)]
    return nouns[int(spec_key(spec)[:8], 16) % len(nouns)]


def camera_of(spec: Spec) -> float:
    """How far the stage's camera is seen to move in the spec's direction: short sides of a pan, the logarithm of a zoom."""
    return _along(spec, *_stage_camera(spec))


@functools.lru_cache(maxsize=256)
def _stage_camera(spec: Spec) -> tuple[float, float]:
    return seen_by_camera(render(spec).frames)


def _along(spec: Spec, pan: float, zoom: float) -> float:
    return dict(zip(SHOWN_BY_CAMERA, (pan, -pan, zoom, -zoom), strict=True))[spec.camera.direction or ""]


def seen_by_camera(frames: Frames) -> tuple[float, float]:
    """How far the camera goes to the right, in short sides, and the logarithm of how much closer it comes, from how corners move."""
    short, grey = min(frames.shape[1:3]), [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    middle = np.array([frames.shape[2] / 2, frames.shape[1] / 2])
    pan = zoom = 0.0
    for before, after in itertools.pairwise(grey):
        corners = cv2.goodFeaturesToTrack(before, 60, 0.02, 3)
        if corners is None or len(corners) < 6:
            continue
        moved, there, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(9, 9), maxLevel=2)  # type: ignore[call-overload]
        good = there.ravel() == 1
        if good.sum() < 6:
            continue
        fit, _ = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=0.7)
        if fit is not None:
            zoom += math.log(max(math.hypot(fit[0, 0], fit[1, 0]), 1e-3))
            pan -= float((fit @ [*middle, 1.0])[0] - middle[0]) / short
    return pan, zoom


def _absent(scene: TrackedClip, noun: str) -> Outcome:
    """No patch of this kind that lasts."""
    there = np.array([_patches(likely) > 0 for likely in scene.sight.likely[:, KINDS.index(noun)]])
    return first_run("TXT-NEG", there, scene.spec.fps)


def _patches(likely: np.ndarray) -> int:
    """How many connected patches of cells are likely enough, and large enough."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((likely >= SURE).astype(np.uint8), connectivity=8)
    return int((stats[1:count, cv2.CC_STAT_AREA] >= FEWEST_CELLS).sum())


def _camera_moves(scene: TrackedClip) -> Outcome:
    """In the direction of the spec, and a good part as far as the stage's camera."""
    found = _along(scene.spec, *seen_by_camera(scene.sight.frames))
    return None if found >= SHARE * camera_of(scene.spec) else ("CAM-DIR", 0)
