"""Policies: whoever moves the stick chooses a velocity at every frame, from where stick and solids are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronotope.worlds.table.pusher.spec import AREA, MAX_SPEED, PusherSpec
from chronotope.worlds.table.spec import DIRECTIONS, extent

__all__ = ["State", "policy_of"]

ASIDE = 0.05  # metres from the line of the push within which the stick begins to push
AROUND, BEHIND = 1.3, 1.2  # times the distance of the centres at contact, on the way around a solid and behind it
FLANK = 0.8  # the same: less far behind a solid, the stick is beside it
APPROACH = 4.0  # per second: the velocity on the way to a point is this times the distance
STEER = 3.0  # per second, back to the line of the push
NOISE, MEMORY = 0.1, 0.6  # m/s, and the correlation of the noise from frame to frame
REPEAT, REST = 0.75, 0.15  # of random velocities: probability of going on, and share of rests


@dataclass(frozen=True)
class State:
    """Where the stick and the solids are, in metres."""

    stick: Float[np.ndarray, " 2"]
    solids: Float[np.ndarray, "i 2"]


def policy_of(spec: PusherSpec) -> Callable[[State], Float[np.ndarray, " 2"]]:
    """Return the policy of a spec, with its seed."""
    return Pusher(spec) if spec.policy == "pusher" else Random(spec)


class Random:
    """Uniformly random velocities, each for a geometric number of frames."""

    def __init__(self, spec: PusherSpec) -> None:
        self._rng = np.random.default_rng([spec.seed, 41])
        self._velocity = np.zeros(2)
        self._begun = False

    def __call__(self, state: State) -> Float[np.ndarray, " 2"]:
        """Return the next velocity; the state plays no part."""
        if not self._begun or self._rng.random() >= REPEAT:
            self._begun = True
            rests = self._rng.random() < REST
            self._velocity = np.zeros(2) if rests else self._rng.uniform(-MAX_SPEED, MAX_SPEED, 2)
        return self._velocity


class Pusher:
    """Go behind a solid, push it in the direction of the spec, then the next; with noise."""

    def __init__(self, spec: PusherSpec) -> None:
        self._spec, self._rng = spec, np.random.default_rng([spec.seed, 43])
        self._pushes = list(spec.events)
        self._begin: Float[np.ndarray, " 2"] | None = None  # the place of the solid when its push began
        self._noise = np.zeros(2)

    def __call__(self, state: State) -> Float[np.ndarray, " 2"]:
        """Return the next velocity."""
        self._noise = MEMORY * self._noise + self._rng.normal(0.0, NOISE * np.sqrt(1 - MEMORY**2), 2)
        return np.clip(self._wanted(state) + self._noise, -MAX_SPEED, MAX_SPEED)

    def _wanted(self, state: State) -> Float[np.ndarray, " 2"]:
        if not self._pushes:
            return np.zeros(2)
        push = self._pushes[0]
        number = [actor.id for actor in self._spec.actors].index(push.actor)
        way, solid = np.array(DIRECTIONS[push.direction]), state.solids[number]
        self._begin = solid if self._begin is None else self._begin
        at_border = bool((np.abs(state.stick + 0.05 * way) > AREA).any() and (way @ state.stick) > 0)
        if way @ (solid - self._begin) >= push.distance or at_border:
            self._pushes.pop(0)
            self._begin = None
            return -0.5 * way
        reach = (max(extent(self._spec.actors[number])[:2]) + extent(self._spec.stick)[0]) / 2
        along = float(way @ (state.stick - solid))
        across = state.stick - solid - along * way
        if along <= -FLANK * reach and float(np.linalg.norm(across)) <= ASIDE:
            return way * 0.75 * MAX_SPEED - STEER * across
        return np.clip(
            APPROACH * (self._next_point(solid, way, along, across, reach) - state.stick), -MAX_SPEED, MAX_SPEED
        )

    def _next_point(
        self,
        solid: Float[np.ndarray, " 2"],
        way: Float[np.ndarray, " 2"],
        along: float,
        across: Float[np.ndarray, " 2"],
        reach: float,
    ) -> Float[np.ndarray, " 2"]:
        """Return the next point on the way to the place behind a solid, around it where it is in between."""
        if along <= -FLANK * reach:
            return solid - BEHIND * reach * way
        gap = float(np.linalg.norm(across))
        side = across / gap if gap > 1e-6 else np.array([-way[1], way[0]])
        beside = solid + AROUND * reach * side
        return beside + along * way if gap < reach else beside - AROUND * reach * way
