"""Edit the true clip of a table: an actor is left out, added, changed or displaced, and the clip drawn again."""

from __future__ import annotations

import dataclasses

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.checks.tracking import CONFUSABLE, OTHER_COLOURS
from chronotope.worlds.table.render import render
from chronotope.worlds.table.simulate import Trajectory
from chronotope.worlds.table.spec import Actor, TableSpec, extent

__all__ = ["EXTRA_ID", "changed", "free_place", "moved", "other_colour", "with_extra", "without"]

EXTRA_ID = "another"


def moved(spec: TableSpec, trajectory: Trajectory, name: str, shift: np.ndarray) -> Trajectory:
    """Return the trajectory with one actor displaced by `shift`, [t, 3] or [3] in metres."""
    position = trajectory.position.copy()
    position[:, [actor.id for actor in spec.actors].index(name)] += shift
    return dataclasses.replace(trajectory, position=position)


def without(spec: TableSpec, trajectory: Trajectory, name: str) -> Frames:
    """Draw the clip without one actor; nothing else changes."""
    keep = [i for i, actor in enumerate(spec.actors) if actor.id != name]
    kept = {part: getattr(trajectory, part)[:, keep] for part in ("position", "orientation", "velocity")}
    events = tuple(e for e in spec.events if name not in (e.actor, e.target))
    rest = dataclasses.replace(spec, actors=tuple(spec.actors[i] for i in keep), events=events)
    return render(rest, dataclasses.replace(trajectory, **kept)).frames


def changed(spec: TableSpec, name: str, **changes: object) -> TableSpec:
    """Return the spec with other attributes of one actor."""
    actors = (dataclasses.replace(a, **changes) if a.id == name else a for a in spec.actors)  # type: ignore[arg-type]
    return dataclasses.replace(spec, actors=tuple(actors))


def with_extra(spec: TableSpec, trajectory: Trajectory, extra: Actor) -> Frames:
    """Draw the clip with an additional resting actor."""
    count = spec.num_frames
    place = np.array([extra.x, extra.y, extent(extra)[2] / 2])
    more = dataclasses.replace(
        trajectory,
        position=np.concatenate([trajectory.position, np.tile(place, (count, 1, 1))], axis=1),
        orientation=np.concatenate([trajectory.orientation, np.tile([1.0, 0, 0, 0], (count, 1, 1))], axis=1),
        velocity=np.concatenate([trajectory.velocity, np.zeros((count, 1, 3))], axis=1),
    )
    return render(dataclasses.replace(spec, actors=(*spec.actors, extra)), more).frames


def free_place(
    spec: TableSpec, trajectory: Trajectory, rng: np.random.Generator, gap: float = 0.75
) -> tuple[float, float] | None:
    """Find a position far from all others, on the table and in the picture."""
    path = views(spec)
    for _ in range(60):
        place = np.array([*rng.uniform(-0.9, 0.9, 2), 0.25])
        apart = np.linalg.norm(trajectory.position[..., :2] - place[:2], axis=2).min() > gap
        for view, others in zip(path, trajectory.position, strict=True):
            if not apart:
                break
            seen = np.vstack([view.project(place[None]), view.project(others)])
            reach = 0.62 * view.focal / seen[:, 2]
            half = reach[0] / 2
            inside = half < seen[0, 0] < spec.width - half and half < seen[0, 1] < spec.height - half
            apart = inside and bool((np.linalg.norm(seen[1:, :2] - seen[0, :2], axis=1) > reach[1:] * 1.15 + 3).all())
        if apart:
            return float(place[0]), float(place[1])
    return None


def other_colour(spec: TableSpec, rng: np.random.Generator) -> str:
    """Return a colour that no actor has and that can be told from the table."""
    taken = {actor.colour for actor in spec.actors}
    free = [name for name in OTHER_COLOURS if name not in taken and (name, spec.table) not in CONFUSABLE]
    return free[int(rng.integers(len(free)))]
