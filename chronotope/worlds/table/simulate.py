"""What happens on a table: MuJoCo plays the events of a spec, and everything is written down."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from chronotope.worlds.events import EventRecord
from chronotope.worlds.table.mujoco_model import TICK, build, engine, time_steps
from chronotope.worlds.table.spec import DIRECTIONS, EVENTS, Actor, Event, TableSpec, extent

__all__ = ["GRAVITY", "Contact", "Motion", "play", "simulate"]

GRAVITY = 9.81
_REST = 0.03  # m/s: slower than this is standing still
_APART = 0.03  # seconds without a touch, after which the next one is a new contact
_TAP = 0.08  # m/s: a touch slower than this is not worth telling


@dataclasses.dataclass(frozen=True)
class Contact:
    """Two solids, or a solid and the table, meet: when, and how fast they came together in metres a second."""

    actor: str
    target: str
    seconds: float
    speed: float


@dataclasses.dataclass(frozen=True)
class Motion:
    """Arrays over [frame, actor]: centre and velocity in metres, turn as a quaternion (w, x, y, z); contacts and events in order."""

    position: np.ndarray
    orientation: np.ndarray
    velocity: np.ndarray
    contacts: tuple[Contact, ...]
    events: tuple[EventRecord, ...]

    def rotation(self, t: int, i: int) -> np.ndarray:
        """The actor's turn at a frame as a matrix."""
        w, x, y, z = self.orientation[t, i]
        return np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip


@functools.lru_cache(maxsize=64)
def simulate(spec: TableSpec) -> Motion:
    """Play the whole clip; the same spec gives the same numbers."""
    return play(spec, build(spec, looks=False))


def play(spec: TableSpec, model: Any, fixed: Collection[str] = ()) -> Motion:
    """Play the whole clip on a model that is built already; those `fixed` stay where they are, whatever meets them."""
    return _Play(spec, model, fixed).run()


class _Play:
    """One clip while it is being played."""

    def __init__(self, spec: TableSpec, model: Any, fixed: Collection[str]) -> None:
        mujoco = self.mujoco = engine()
        self.spec, self.model, self.data = spec, model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self.names = [actor.id for actor in spec.actors]
        joints = {name: int(model.body(name).jntadr[0]) for name in self.names}
        # Where each actor's seven numbers of place and turn stand, and its six of speed and spin.
        self.place = {name: slice(start := int(model.jnt_qposadr[joint]), start + 7) for name, joint in joints.items()}
        self.speed = {name: slice(start := int(model.jnt_dofadr[joint]), start + 6) for name, joint in joints.items()}
        geoms = {int(model.geom(name).id): name for name in ("table", "floor", *self.names)}
        self.geom_names = [geoms.get(g, "") for g in range(model.ngeom)]
        self.number = {name: i for i, name in enumerate(self.names)}
        self.waiting = sorted(spec.events, key=lambda event: event.start)
        self.fixed = set(fixed)
        held = {e.actor for e in spec.events if e.kind in ("drop", "bounce")} | self.fixed
        self.held = {name: self.data.qpos[self.place[name]].copy() for name in sorted(held)}
        self.pushing: list[tuple[Event, np.ndarray]] = []
        self.touched: dict[tuple[str, str], float] = {}
        self.contacts: list[Contact] = []
        self.before = self.data.qvel.copy()

    def run(self) -> Motion:
        spec, data = self.spec, self.data
        shape = (spec.num_frames, len(self.names))
        position, orientation, velocity = np.zeros((*shape, 3)), np.zeros((*shape, 4)), np.zeros((*shape, 3))
        ticks = time_steps(spec) // TICK
        self._begin_until(0.0)
        for t in range(spec.num_frames):
            for tick in range(ticks if t else 0):
                self._advance((t - 1 + tick / ticks) / spec.fps, 1 / ticks / spec.fps)
            for i, name in enumerate(self.names):
                body = data.qpos[self.place[name]]
                position[t, i], orientation[t, i], velocity[t, i] = body[:3], body[3:], data.qvel[self.speed[name]][:3]
        return Motion(position, orientation, velocity, tuple(self.contacts), tuple(self._log(position, velocity)))

    def _advance(self, now: float, tick: float) -> None:
        """One tick: events that are due, hands that hold and push, physics, and a look at what touches what."""
        self._begin_until(now + tick / 2)
        for event, way in self.pushing:
            if event.end is None or now < event.end:
                # The hand keeps it going straight, whatever it meets.
                self.data.qvel[self.speed[event.actor]] = [*way, self.data.qvel[self.speed[event.actor]][2], 0, 0, 0]
        self.before = self.data.qvel.copy()
        self.mujoco.mj_step(self.model, self.data, nstep=TICK)
        for name, pose in self.held.items():
            self.data.qpos[self.place[name]], self.data.qvel[self.speed[name]] = pose, 0.0
        self._feel(now + tick)

    def _begin_until(self, now: float) -> None:
        while self.waiting and self.waiting[0].start <= now:
            self._begin(self.waiting.pop(0))

    def _begin(self, event: Event) -> None:
        actor, data = self.spec.actor(event.actor), self.data
        speed = EVENTS[event.kind][2] if event.speed is None else event.speed
        here = data.qpos[self.place[event.actor]][:2]
        step = np.array(DIRECTIONS.get(event.direction or "", (0.0, 0.0)))
        if event.target is not None:
            step = data.qpos[self.place[event.target]][:2] - here
            step /= max(float(np.linalg.norm(step)), 1e-9)
        if event.actor in self.fixed:
            return
        self.held.pop(event.actor, None)
        way = step * speed
        data.qvel[self.speed[event.actor]] = [*way, *data.qvel[self.speed[event.actor]][2:]]
        if event.kind == "push":
            self.pushing.append((event, way))
        elif actor.noun == "ball" and event.kind not in ("drop", "bounce"):
            spin = np.array([-way[1], way[0], 0.0]) / (actor.size / 2)  # rolls without slipping
            turned = np.zeros(9)
            self.mujoco.mju_quat2Mat(turned, data.qpos[self.place[event.actor]][3:])
            data.qvel[self.speed[event.actor]][3:] = (
                turned.reshape(3, 3).T @ spin
            )  # MuJoCo's spins are in the body's own axes

    def _feel(self, now: float) -> None:
        """Write down who touches whom for the first time, or again."""
        found = self.data.contact.geom.tolist()
        for pair in {tuple(geoms) for geoms in found}:
            one, two = (self.geom_names[g] for g in pair)
            if one not in self.number and two not in self.number:
                continue
            last = self.touched.get((one, two))
            self.touched[one, two] = now
            if last is not None and now - last <= _APART:
                continue
            normal = self.data.contact.frame[found.index(list(pair))][:3]  # from the first to the second
            if one not in self.number:
                one, two, normal = two, one, -normal
            toward = self.before[self.speed[one]][:3] - (
                self.before[self.speed[two]][:3] if two in self.number else 0.0
            )
            speed = float(toward @ normal)
            if speed > _TAP:
                self.contacts.append(Contact(one, two, round(now, 4), round(speed, 4)))

    def _log(self, position: np.ndarray, velocity: np.ndarray) -> list[EventRecord]:
        """The events of the spec with the times at which they were over, the contacts, and what fell."""
        spec, log = self.spec, []
        times = np.arange(spec.num_frames) / spec.fps
        moving = np.linalg.norm(velocity, axis=2) > _REST
        for event in spec.events:
            mine = moving[:, self.number[event.actor]] & (times > event.start)
            end = times[mine][-1] + 1 / spec.fps if mine.any() else event.start
            log.append(
                EventRecord(event.kind, event.actor, event.start, round(min(float(end), spec.seconds), 4), event.target)
            )
        log += [EventRecord("contact", c.actor, c.seconds, c.seconds, c.target) for c in self.contacts]
        for i, actor in enumerate(spec.actors):
            down = position[0, i, 2] - position[:, i, 2] > _drop_of(spec, actor)
            if down.any():
                begun = position[0, i, 2] - position[:, i, 2] > 0.02
                log.append(
                    EventRecord("fall", actor.id, round(float(times[begun][0]), 4), round(float(times[down][0]), 4))
                )
        return sorted(log, key=lambda happening: happening.start)


def _drop_of(spec: TableSpec, actor: Actor) -> float:
    """How far an actor comes down in a fall: half of what it stands on; for one on the table, over its edge; a drop is no fall."""
    support = spec.stacked_on(actor)
    if support is not None:
        return extent(support)[2] / 2
    return math.inf if actor.lift else actor.size
