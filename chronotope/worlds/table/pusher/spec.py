"""The spec of a pusher clip: a stick, the solids on the table, who moves the stick, and what it is to push."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from chronotope.actions import ActionSchema
from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import ints_to_floats
from chronotope.worlds.table.spec import DIRECTIONS, STICK, Actor, Camera, TableSpec

__all__ = ["AREA", "CAMERA", "MAX_SPEED", "POLICIES", "SCHEMA", "Push", "PusherSpec", "scene_of"]

POLICIES = ("pusher", "random")
MAX_SPEED = 0.8  # of the stick along each axis, in m/s
AREA = (0.85, 0.8)  # metres from the middle, to the sides and in depth, within which the stick stays
CAMERA = Camera(elevation=62.0, distance=3.4)
# The velocity of the stick in m/s: to the right, and away from the camera.
SCHEMA = ActionSchema("continuous", ("right", "away"), low=(-MAX_SPEED,) * 2, high=(MAX_SPEED,) * 2, neutral=(0.0, 0.0))
MAX_SOLIDS = 8


@dataclass(frozen=True)
class Push:
    """What the policy intends: to push a solid in a direction by `distance` metres."""

    actor: str
    direction: Literal["left", "right", "away", "closer"]
    distance: float = 0.4

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclass(frozen=True)
class PusherSpec:
    """A clip in which a stick acts on the table, one velocity a frame; the camera is still.

    The `policy` moves the stick: `pusher` does the pushes of `events` in their order, `random` does any. Where there
    are `actions`, m/s to the right and away from the camera, one for each frame after the first, they are done
    instead. The same spec shows the same events at any size.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    seed: int  # of the policy
    appearance: int  # seed of the direction of the light and of the table's texture
    table: str
    stick: Actor
    actors: tuple[Actor, ...]  # the solids
    events: tuple[Push, ...] = ()
    policy: str = "pusher"
    actions: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        ints_to_floats(self)
        if self.stick.noun != STICK or self.stick.lift:
            raise UsageError(f"the stick is a lifted or other thing ({self.stick.noun}): expected a stick on the table")
        if not (abs(self.stick.x) <= AREA[0] and abs(self.stick.y) <= AREA[1]):
            raise UsageError(
                f"the stick is at ({self.stick.x:g}, {self.stick.y:g}): expected at most {AREA[0]:g} m to a side and "
                f"{AREA[1]:g} m in depth from the middle"
            )
        if not 1 <= len(self.actors) <= MAX_SOLIDS:
            raise UsageError(f"{len(self.actors)} solids beside the stick: expected 1 to {MAX_SOLIDS}")
        if lifted := [actor.id for actor in self.actors if actor.lift or actor.noun == STICK]:
            raise UsageError(f"{lifted[0]}: expected a solid that stands on the table")
        if self.policy not in POLICIES:
            raise UsageError(f"unknown policy '{self.policy}'. {suggest(self.policy, POLICIES)}")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"seed = {self.seed}: expected 0 to {2**31 - 1}")
        self._check_pushes()
        if self.actions:
            if len(self.actions) != self.num_frames - 1:
                raise UsageError(
                    f"{len(self.actions)} actions for {self.num_frames} frames: expected one for each frame after the "
                    f"first, {self.num_frames - 1}"
                )
            SCHEMA.check(np.array(self.actions))
        scene_of(self)

    def progress(self, position: Float[np.ndarray, "t a 3"]) -> Float32[np.ndarray, " t"]:
        """Return by how many metres the solids came in the directions of their pushes since the frame before."""
        ids, moved = [actor.id for actor in self.actors], np.zeros(len(position), np.float32)
        for push in self.events:
            moved[1:] += np.diff(position[:, ids.index(push.actor), :2] @ np.array(DIRECTIONS[push.direction]))
        return moved

    def _check_pushes(self) -> None:
        ids = [actor.id for actor in self.actors]
        for push in self.events:
            if push.actor not in ids:
                raise UsageError(f"push: there is no solid '{push.actor}'. {suggest(push.actor, ids)}")
            if push.direction not in DIRECTIONS:
                raise UsageError(f"push: direction '{push.direction}', expected {', '.join(DIRECTIONS)}")
            if not (math.isfinite(push.distance) and 0 < push.distance <= 2):
                raise UsageError(f"push: distance = {push.distance:g}, expected more than 0 and at most 2 metres")


@functools.lru_cache(maxsize=256)
def scene_of(spec: PusherSpec) -> TableSpec:
    """Return the table with the solids in their order, and the stick after them."""
    return TableSpec(
        spec.width,
        spec.height,
        spec.fps,
        spec.num_frames,
        spec.appearance,
        spec.table,
        CAMERA,
        (*spec.actors, spec.stick),
    )
