"""Does the camera go around the table as asked, and does everything that rests fit one camera?

What rests is triangulated: for a path of the camera, each solid has one place on the table whose pictures come nearest to those that
were measured. A video may put its solids where it likes; what it may not do is move them against each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View, angles
from chronotope.worlds.table.checks.geometry import anchor_height, orbit_of, triangulate
from chronotope.worlds.table.checks.tracking import TableScene
from chronotope.worlds.table.spec import TableSpec

__all__ = ["Orbit", "clear", "fit_orbit", "follows_its_path", "is_rigid", "returns"]

FITS = 0.015  # short sides, root mean square: what one camera leaves unexplained of a solid's picture
CAP = 0.15  # short sides: farther off does not count for more
AMOUNT = 0.75, 1.3  # times the asked angle
STANDS = 4.0  # degrees
CIRCLE = 0.85, 1.15  # times once round
SHOWN, WHOLE = 0.97, 0.9  # of an actor: all of it can be seen; at the edge of the picture it is not cut
LOOP = 1.8, 0.02  # times its usual step, and short sides, between the last picture and the first


@dataclass(frozen=True)
class Orbit:
    """How far off, in short sides, the pictures of each resting solid are: for the asked camera, and for the best of all that go around."""

    resting: tuple[int, ...]
    asked: Float[np.ndarray, " r"]
    best: Float[np.ndarray, " r"]
    without_one: bool  # leaving one of them out, the others fit the asked camera
    degrees: float  # of the asked path that fits best
    best_degrees: float
    path: tuple[View, ...]

    @property
    def as_asked(self) -> bool:
        return bool((self.asked <= FITS).all())


def clear(scene: TableScene, i: int) -> Bool[np.ndarray, " t"]:
    """The frames in which all of an actor can be seen: nobody is beside it, or those beside it hide nothing in the truth."""
    one = scene.actors[i]
    cut = one.at_edge & (np.nan_to_num(one.areas) < WHOLE * scene.truth.whole[:, i])
    return one.found & ~cut & (~one.touched.any(axis=1) | (scene.truth.visible[:, i] >= SHOWN))


def fit_orbit(scene: TableScene) -> Orbit | None:
    """The camera's path by the parallax of what rests; nothing where no resting solid is seen long enough to tell."""
    spec, least = scene.spec, max(4, scene.num_frames // 4)
    resting = [i for i in range(len(spec.actors)) if scene.truth.rests[i] and clear(scene, i).sum() >= least]
    if scene.num_frames < 4 or not resting:
        return None
    total = float(angles(spec)[-1])
    reach = max(abs(total), 60.0)
    grid = np.linspace(-1.5 * reach, 1.5 * reach, 41)
    low, high = CIRCLE if spec.camera.kind == "round" else AMOUNT
    near = np.linspace(low, high, 13) * total if total else np.linspace(-STANDS, STANDS, 5)
    rows_near = np.array([_off(scene, resting, degrees) for degrees in near])
    rows = np.vstack([rows_near, [_off(scene, resting, degrees) for degrees in grid]])
    every = np.concatenate([near, grid])
    at, best = int((rows_near**2).mean(axis=1).argmin()), int((rows**2).mean(axis=1).argmin())
    asked = rows_near[at]
    good = (asked <= FITS).all()
    path = _path(spec, float(near[at] if good and total else total if good else every[best]))
    without_one = any((np.delete(rows_near, k, axis=1) <= FITS).all(axis=1).any() for k in range(len(resting)))
    return Orbit(tuple(resting), asked, rows[best], without_one, float(near[at]), float(every[best]), path)


@functools.lru_cache(maxsize=4096)
def _path(spec: TableSpec, total: float) -> tuple[View, ...]:
    return tuple(orbit_of(spec, np.linspace(0.0, total, spec.num_frames)))


def _off(scene: TableScene, resting: list[int], degrees: float) -> Float[np.ndarray, " r"]:
    """Of each resting solid, how far its pictures are off if the camera goes so far around in equal steps."""
    path, found = _path(scene.spec, float(degrees)), []
    for i in resting:
        times = np.flatnonzero(clear(scene, i))
        far = triangulate(
            [path[t] for t in times], scene.actors[i].centres[times], anchor_height(scene.spec, scene.spec.actors[i])
        )[1]
        found.append(np.sqrt(np.mean(np.minimum(far / scene.short, CAP) ** 2)))
    return np.array(found)


def follows_its_path(scene: TableScene, orbit: Orbit) -> Outcome:
    """The camera goes the way and about as far as it is asked to, or stands where it is asked to."""
    alone = len(orbit.resting) == 1 and scene.spec.camera.kind == "still"  # one solid that moves does so by itself
    return None if orbit.as_asked or alone or _all_but_one(orbit) else ("CAM-DIR", scene.num_frames - 1)


def is_rigid(scene: TableScene, orbit: Orbit) -> Outcome:
    """What rests fits one camera."""
    return ("GEO-INC", scene.num_frames - 1) if not orbit.as_asked and _all_but_one(orbit) else None


def _all_but_one(orbit: Orbit) -> bool:
    """Whether one solid stands against the others, which fit the asked camera, and no other camera explains all of them."""
    return len(orbit.resting) > 1 and orbit.without_one and not bool((orbit.best <= FITS).all())


def returns(scene: TableScene, orbit: Orbit) -> Outcome:
    """After once round, the last picture is one step before the first."""
    times, least = LOOP
    for i in orbit.resting:
        seen, centres = clear(scene, i), scene.actors[i].centres
        if seen[0] and seen[-1]:
            steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)[seen[1:] & seen[:-1]]
            if len(steps) and np.linalg.norm(centres[-1] - centres[0]) > times * np.median(steps) + least * scene.short:
                return "GEO-LOOP", scene.num_frames - 1
    return None
