"""Where the stick and the solids are in a video, in metres on the table, from the boxes around their colours.

A solid stays upright and no higher than the stick, so the upper end of the stick is seen wherever the stick is. Of a
solid the box around it is the least changed by a stick in front of it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.tracking import TrackedScene
from chronotope.worlds.table.mujoco_model import outline
from chronotope.worlds.table.spec import STICK, Actor, extent

__all__ = ["positions"]

ROUNDS = 4  # of the search for the place whose outline has the box that was found


def positions(scene: TrackedScene) -> Float[np.ndarray, "t a 2"]:
    """Return x, y of every actor at every frame, in metres; NaN where it is not found."""
    found = np.full((scene.num_frames, len(scene.actors), 2), np.nan)
    for i, (actor, track) in enumerate(zip(scene.spec.actors, scene.actors, strict=True)):
        for t in np.flatnonzero(track.found):
            found[t, i] = _place(actor, track.boxes[t], scene.truth.views[t])
    return found


def _anchor(actor: Actor, box: np.ndarray) -> Float[np.ndarray, " 2"]:
    """Return the point of a box (left, top, right, bottom) that is compared: the middle, of a stick at its top."""
    left, top, right, bottom = box
    return np.array([(left + right) / 2, top if actor.noun == STICK else (top + bottom) / 2])


def _place(actor: Actor, box: np.ndarray, view: View) -> Float[np.ndarray, " 2"]:
    """Return the place of an upright actor whose outline has this box; the way in which it is turned is not known."""
    wanted, middle = _anchor(actor, box), extent(actor)[2] / 2
    place, columns, rows = np.zeros(2), view.axes[0][:2], view.axes[1][:2]
    for _ in range(ROUNDS):
        centre = np.array([*place, middle])
        points = outline(actor, centre, np.eye(3), view)
        if not len(points):
            return np.full(2, np.nan)
        seen = _anchor(actor, np.array([*points.min(axis=0), *points.max(axis=0)]))
        depth = float(view.project(centre[None])[0, 2])
        step = (wanted - seen) * depth / view.focal
        place = place + np.linalg.solve(np.stack([columns, rows]), step)
    return place
