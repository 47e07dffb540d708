"""What the stick does, from the trajectories of a clip: the solids that it pushes, where to and how far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.worlds.table.pusher.simulate import Episode
from chronotope.worlds.table.pusher.spec import PusherSpec
from chronotope.worlds.table.spec import DIRECTIONS

__all__ = ["Deed", "deeds"]

PAUSE = 2  # frames without touch that end no push
LEAST_PUSH = 0.1  # metres
DOMINANT = 1.6  # times the motion across: a push that has a direction


@dataclass(frozen=True)
class Deed:
    """A solid that was pushed, from the frame before the first touch to the last one; `direction` is empty where it
    went askew.
    """

    actor: str
    direction: str
    start: int
    end: int
    metres: float


def deeds(spec: PusherSpec, episode: Episode) -> tuple[Deed, ...]:
    """Return the pushes of a clip in order of their beginning."""
    found = []
    for i, actor in enumerate(spec.actors):
        frames = np.flatnonzero(episode.touched[:, i])
        for run in np.split(frames, np.flatnonzero(np.diff(frames) > PAUSE + 1) + 1):
            if not len(run):
                continue
            start, end = int(run[0]) - 1, int(run[-1])
            moved = episode.trajectory.position[end, i, :2] - episode.trajectory.position[start, i, :2]
            if np.linalg.norm(moved) >= LEAST_PUSH:
                found.append(Deed(actor.id, _direction(moved), start, end, round(float(np.linalg.norm(moved)), 3)))
    return tuple(sorted(found, key=lambda deed: (deed.start, deed.end)))


def _direction(moved: np.ndarray) -> str:
    along = {name: float(moved @ np.array(step)) for name, step in DIRECTIONS.items()}
    name = max(along, key=lambda each: along[each])
    across = float(np.sqrt(max(0.0, moved @ moved - along[name] ** 2)))
    return name if along[name] >= DOMINANT * across else ""
