"""Move the stick by actions: a spec becomes the trajectories of stick and solids, and what touched what.

The stick moves at the velocity of an action for the time of a frame, whatever it meets, and stops at the border of its
area. MuJoCo moves the solids.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Shaped

from chronotope.worlds.table.mujoco_model import (
    STEPS_PER_TICK,
    build_model,
    free_body,
    import_mujoco,
    steps_per_frame,
)
from chronotope.worlds.table.pusher.policies import State, policy_of
from chronotope.worlds.table.pusher.spec import AREA, SCHEMA, PusherSpec, scene_of
from chronotope.worlds.table.simulate import NEW_CONTACT_SECONDS, Contact, Trajectory
from chronotope.worlds.table.spec import extent

__all__ = ["Episode", "Pushing", "play", "simulate"]

CLEARANCE = 0.01  # metres between stick and table


@dataclass(frozen=True)
class Episode:
    """What happens in a clip; `actions[t]` led to frame t, the first to none.

    Actors are the solids in their order, and then the stick. `touched[t, i]` tells whether the stick touched solid i
    between frames t - 1 and t. `rewards` are the metres by which solids came in the directions of their pushes.
    """

    trajectory: Trajectory
    touched: Bool[np.ndarray, "t i"]
    actions: Float32[np.ndarray, "t 2"]
    rewards: Float32[np.ndarray, " t"]


class Pushing:
    """A stick on a table, in progress."""

    def __init__(self, spec: PusherSpec) -> None:
        mujoco = self._mujoco = import_mujoco()
        scene = scene_of(spec)
        self._fps, self._ticks = spec.fps, steps_per_frame(scene) // STEPS_PER_TICK
        self._model = build_model(scene, drawable=False)
        self._data = mujoco.MjData(self._model)
        self.names = [actor.id for actor in scene.actors]
        self._bodies = [free_body(self._model, name) for name in self.names]
        self._stick = np.array([spec.stick.x, spec.stick.y, extent(spec.stick)[2] / 2 + CLEARANCE])
        self._number = {int(self._model.geom(name).id): i for i, name in enumerate(self.names)}
        self._seconds, self._last_touch = 0.0, dict[tuple[int, int], float]()
        self.contacts: list[Contact] = []
        self.touched = np.zeros(len(spec.actors), bool)
        self._place(np.zeros(2))
        mujoco.mj_forward(self._model, self._data)

    @property
    def position(self) -> Float[np.ndarray, "a 3"]:
        """Return the centres, in metres."""
        return np.array([self._data.qpos[pose][:3] for pose, _ in self._bodies])

    @property
    def orientation(self) -> Float[np.ndarray, "a 4"]:
        """Return the quaternions."""
        return np.array([self._data.qpos[pose][3:] for pose, _ in self._bodies])

    @property
    def velocity(self) -> Float[np.ndarray, "a 3"]:
        """Return the velocities in m/s."""
        return np.array([self._data.qvel[speed][:3] for _, speed in self._bodies])

    def act(self, action: Shaped[np.ndarray, " 2"]) -> None:
        """Move the stick at this velocity for the time of a frame; raise UsageError for one out of bounds."""
        wanted = SCHEMA.check(np.asarray(action)[None])[0].astype(float)
        tick = 1 / self._fps / self._ticks
        self.touched = np.zeros_like(self.touched)
        for _ in range(self._ticks):
            ahead = np.clip(self._stick[:2] + wanted * tick, -np.array(AREA), AREA)
            moved = (ahead - self._stick[:2]) / tick
            self._place(moved)
            self._mujoco.mj_step(self._model, self._data, nstep=STEPS_PER_TICK)
            self._stick[:2], self._seconds = ahead, self._seconds + tick
            self._place(moved)
            self._note_contacts()

    def _place(self, velocity: Float[np.ndarray, " 2"]) -> None:
        """Set the stick upright in its place, with this velocity."""
        pose, speed = self._bodies[-1]
        self._data.qpos[pose] = [*self._stick, 1.0, 0.0, 0.0, 0.0]
        self._data.qvel[speed] = [*velocity, 0.0, 0.0, 0.0, 0.0]

    def _note_contacts(self) -> None:
        """Note which solids the stick touches, and the pairs of actors that touch for the first time or again."""
        found = {
            tuple(sorted(self._number.get(geom, -1) for geom in pair)) for pair in self._data.contact.geom.tolist()
        }
        for i, j in sorted((i, j) for i, j in found if i >= 0):  # others touch the table
            if j == len(self.names) - 1:
                self.touched[i] = True
            if self._seconds - self._last_touch.get((i, j), -1.0) > NEW_CONTACT_SECONDS:
                position, velocity = self.position, self.velocity
                way = position[i] - position[j]
                closing = float((velocity[j] - velocity[i]) @ way / max(float(np.linalg.norm(way)), 1e-9))
                self.contacts.append(
                    Contact(self.names[j], self.names[i], round(self._seconds, 4), round(max(closing, 0.0), 4))
                )
            self._last_touch[i, j] = self._seconds


@functools.lru_cache(maxsize=64)
def simulate(spec: PusherSpec) -> Episode:
    """Move the stick as the spec says; the same spec gives the same numbers."""
    return play(spec, np.array(spec.actions, np.float32) if spec.actions else None)


def play(spec: PusherSpec, actions: Float32[np.ndarray, "n 2"] | None = None) -> Episode:
    """Do these actions, one for each frame after the first, or those that the policy chooses."""
    game, choose = Pushing(spec), policy_of(spec)
    states = [(game.position, game.orientation, game.velocity, game.touched)]
    done = [np.zeros(2, np.float32)]
    for t in range(1, spec.num_frames):
        state = State(game.position[-1, :2], game.position[:-1, :2])
        action = choose(state) if actions is None else actions[t - 1]
        done.append(SCHEMA.check(np.asarray(action)[None])[0])
        game.act(done[-1])
        states.append((game.position, game.orientation, game.velocity, game.touched))
    position, orientation, velocity, touched = (np.stack(part) for part in zip(*states, strict=True))
    trajectory = Trajectory(position, orientation, velocity, tuple(game.contacts), ())
    return Episode(trajectory, touched, np.stack(done), spec.progress(position))
