"""Check that the camera moves around the table as asked, and that all resting solids fit one camera.

For a given path of the camera each resting solid is triangulated: the place on the table that projects nearest to its
measured positions. A video may put its solids anywhere, but may not move them relative to each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View, angles
from chronotope.worlds.table.checks.geometry import anchor_height, orbit_views, triangulate
from chronotope.worlds.table.checks.tracking import TrackedScene
from chronotope.worlds.table.spec import TableSpec

__all__ = ["OrbitFit", "closes_loop", "fit_orbit", "follows_path", "fully_visible", "is_rigid"]

MAX_ERROR = 0.015  # short sides, root mean square: of the positions of a solid that fits a camera
ERROR_CAP = 0.15  # short sides: larger errors of single frames count as this
ORBIT_RANGE = 0.75, 1.3  # times the asked angle of an orbit
ROUND_RANGE = 0.85, 1.15  # times once round
STILL_RANGE = 4.0  # degrees to both sides
SEARCH_FACTOR, MIN_SEARCH = 1.5, 60.0  # times the asked angle, at least degrees: range of the search for other paths
MIN_FRAMES = 4
VISIBLE = 0.97  # of an actor that is not occluded
UNCUT = 0.9  # of the expected area of an actor that the edge of the picture does not cut
LOOP_STEPS, LOOP_MARGIN = 1.8, 0.02  # times the usual step, plus short sides: from the last position to the first


@dataclass(frozen=True)
class OrbitFit:
    """Errors of the resting solids, in short sides, for the asked camera and for the best of all cameras that orbit."""

    resting: tuple[int, ...]
    asked: Float[np.ndarray, " r"]
    best: Float[np.ndarray, " r"]
    without_one: bool  # without one of them, the others fit the asked camera
    path: tuple[View, ...]

    @property
    def as_asked(self) -> bool:
        """Return whether all resting solids fit the asked camera."""
        return bool((self.asked <= MAX_ERROR).all())


def fully_visible(scene: TrackedScene, i: int) -> Bool[np.ndarray, " t"]:
    """Return the frames in which an actor is not cut by the edge, and not touched or expected to be fully visible."""
    track = scene.actors[i]
    cut = track.at_edge & (np.nan_to_num(track.areas) < UNCUT * scene.truth.whole[:, i])
    return track.found & ~cut & (~track.touched.any(axis=1) | (scene.truth.visible[:, i] >= VISIBLE))


def fit_orbit(scene: TrackedScene) -> OrbitFit | None:
    """Estimate the camera's path from the parallax of resting solids; None if none is visible in enough frames."""
    spec, needed = scene.spec, max(MIN_FRAMES, scene.num_frames // 4)
    resting = [i for i in range(len(spec.actors)) if scene.truth.rests[i] and fully_visible(scene, i).sum() >= needed]
    if scene.num_frames < MIN_FRAMES or not resting:
        return None
    total = float(angles(spec)[-1])
    if total:
        low, high = ROUND_RANGE if spec.camera.kind == "round" else ORBIT_RANGE
        asked_degrees = np.linspace(low, high, 13) * total
    else:
        asked_degrees = np.linspace(-STILL_RANGE, STILL_RANGE, 5)
    reach = max(abs(total), MIN_SEARCH) * SEARCH_FACTOR
    all_degrees = np.concatenate([asked_degrees, np.linspace(-reach, reach, 41)])
    errors = np.array([_errors(scene, resting, degrees) for degrees in all_degrees])
    asked_errors = errors[: len(asked_degrees)]
    nearest = int((asked_errors**2).mean(axis=1).argmin())
    best = int((errors**2).mean(axis=1).argmin())
    if (asked_errors[nearest] <= MAX_ERROR).all():
        path = _path(spec, float(asked_degrees[nearest]) if total else total)
    else:
        path = _path(spec, float(all_degrees[best]))
    fits = asked_errors <= MAX_ERROR
    return OrbitFit(
        resting=tuple(resting),
        asked=asked_errors[nearest],
        best=errors[best],
        without_one=any(np.delete(fits, k, axis=1).all(axis=1).any() for k in range(len(resting))),
        path=path,
    )


@functools.lru_cache(maxsize=4096)
def _path(spec: TableSpec, total: float) -> tuple[View, ...]:
    return tuple(orbit_views(spec, np.linspace(0.0, total, spec.num_frames)))


def _errors(scene: TrackedScene, resting: list[int], degrees: float) -> Float[np.ndarray, " r"]:
    """Return the error of each resting solid if the camera moves by this angle in equal steps."""
    path, errors = _path(scene.spec, float(degrees)), []
    for i in resting:
        times = np.flatnonzero(fully_visible(scene, i))
        height = anchor_height(scene.spec, scene.spec.actors[i])
        _, distances = triangulate([path[t] for t in times], scene.actors[i].centres[times], height)
        errors.append(np.sqrt(np.mean(np.minimum(distances / scene.short, ERROR_CAP) ** 2)))
    return np.array(errors)


def follows_path(scene: TrackedScene, orbit: OrbitFit) -> Outcome:
    """Check that the camera moves in the asked direction by about the asked angle, or does not move."""
    # With a still camera, a single solid that moves has moved by itself.
    single = len(orbit.resting) == 1 and scene.spec.camera.kind == "still"
    if orbit.as_asked or single or _one_moves(orbit):
        return None
    return "CAM-DIR", scene.num_frames - 1


def is_rigid(scene: TrackedScene, orbit: OrbitFit) -> Outcome:
    """Check that all resting solids fit one camera."""
    return ("GEO-INC", scene.num_frames - 1) if not orbit.as_asked and _one_moves(orbit) else None


def _one_moves(orbit: OrbitFit) -> bool:
    """Tell whether all resting solids but one fit the asked camera, and no other camera explains all of them."""
    return len(orbit.resting) > 1 and orbit.without_one and not bool((orbit.best <= MAX_ERROR).all())


def closes_loop(scene: TrackedScene, orbit: OrbitFit) -> Outcome:
    """Check that after once round the last position is one step before the first."""
    for i in orbit.resting:
        visible, centres = fully_visible(scene, i), scene.actors[i].centres
        if visible[0] and visible[-1]:
            steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)[visible[1:] & visible[:-1]]
            if not len(steps):
                continue
            allowed = LOOP_STEPS * np.median(steps) + LOOP_MARGIN * scene.short
            if np.linalg.norm(centres[-1] - centres[0]) > allowed:
                return "GEO-LOOP", scene.num_frames - 1
    return None
