"""Judge a video of the pusher: all is there, the stick pushes what it should, and nothing moves without it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.persistence import first_run
from chronotope.worlds.table.checks.geometry import ExpectedScene, expected_scene
from chronotope.worlds.table.checks.predicates import check_tracked
from chronotope.worlds.table.checks.tracking import TrackedScene, track_solids
from chronotope.worlds.table.pusher.positions import positions
from chronotope.worlds.table.pusher.simulate import simulate
from chronotope.worlds.table.pusher.spec import PusherSpec, scene_of
from chronotope.worlds.table.spec import extent

__all__ = ["expected", "judge"]

LEAST_PUSH = 0.15  # metres: shorter pushes are not asked for
SHARE = 0.35  # of the true distance
ACROSS = 0.7  # of the distance along the true direction
DEPARTED = 0.13  # metres from the first place, from which on a solid has moved
FAR = 1.5, 0.12  # times the distance of the centres at contact, plus metres: the stick has not come to the solid
THROUGH = 0.7  # times the same distance: the two are inside each other


@functools.lru_cache(maxsize=256)
def expected(spec: PusherSpec) -> ExpectedScene:
    """Compute what a video of this spec must show, after a touch as before: the stick stays with what it pushes."""
    truth = expected_scene(scene_of(spec), simulate(spec).trajectory)
    return dataclasses.replace(truth, untouched=np.ones_like(truth.untouched))


def judge(spec: PusherSpec, frames: Frames) -> tuple[Check, ...]:
    """Check a video of the size and length of its spec."""
    scene = track_solids(scene_of(spec), frames, expected(spec))
    return (*check_tracked(scene), *_push_checks(spec, scene))


def _push_checks(spec: PusherSpec, scene: TrackedScene) -> Iterator[Check]:
    places = positions(scene)
    stick = places[:, -1]
    for i, actor in enumerate(spec.actors):
        solid = places[:, i]
        reach = (min(extent(actor)[:2]) + extent(spec.stick)[0]) / 2
        yield Check.of("moves not before", _waits(scene, i, solid, stick, reach), actor.id)
        inside = np.linalg.norm(solid - stick, axis=1) < THROUGH * reach  # NaN is not
        yield Check.of("is not entered", first_run("PHY-PEN", inside, spec.fps), actor.id)
        true = scene.truth.trajectory.position[:, i, :2]
        way = true[-1] - true[0]
        known = np.flatnonzero(~np.isnan(solid[:, 0]))
        if np.linalg.norm(way) >= LEAST_PUSH and len(known) > 1:
            moved = solid[known[-1]] - solid[known[0]]
            yield Check.of("is pushed", _is_pushed(moved, way, int(known[-1])), actor.id)


def _is_pushed(moved: Float[np.ndarray, " 2"], way: Float[np.ndarray, " 2"], last: int) -> Outcome:
    """Check that a solid comes to where the truth pushes it, roughly."""
    distance = float(np.linalg.norm(way))
    along = float(moved @ way) / distance
    across = abs(float(moved[0] * way[1] - moved[1] * way[0])) / distance
    if along >= SHARE * distance and across <= ACROSS * along:
        return None
    return ("TXT-ACT" if np.linalg.norm(moved) < SHARE * distance else "MOT-DIR"), last


def _waits(
    scene: TrackedScene, i: int, solid: Float[np.ndarray, "t 2"], stick: Float[np.ndarray, "t 2"], reach: float
) -> Outcome:
    """Check that a solid leaves its place only after the stick has come to it."""
    known = np.flatnonzero(~np.isnan(solid[:, 0]))
    if not len(known):
        return None
    gap = np.linalg.norm(solid - stick, axis=1)
    factor, margin = FAR
    came = np.isnan(gap) | (gap <= factor * reach + margin) | scene.actors[i].touched.any(axis=1)
    departed = np.linalg.norm(solid - solid[known[0]], axis=1) > DEPARTED
    return first_run("CAU-ORD", departed & ~np.logical_or.accumulate(came), scene.spec.fps)
