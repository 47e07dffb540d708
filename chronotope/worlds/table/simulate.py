"""Simulate a table spec with MuJoCo: a spec becomes the trajectories of its solids, their contacts and an event log."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from chronotope.worlds.events import EventRecord
from chronotope.worlds.table.mujoco_model import STEPS_PER_TICK, build_model, free_body, import_mujoco, steps_per_frame
from chronotope.worlds.table.spec import DIRECTIONS, EVENTS, Actor, Event, TableSpec, extent

__all__ = ["GRAVITY", "NEW_CONTACT_SECONDS", "Contact", "Trajectory", "simulate", "simulate_model"]

GRAVITY = 9.81  # m/s2
_REST_SPEED = 0.03  # m/s: a slower solid rests
NEW_CONTACT_SECONDS = 0.03  # without touching, after which the next touch is a new contact
_MIN_CONTACT_SPEED = 0.08  # m/s: slower contacts are not recorded
_FALL_STARTS = 0.02  # metres down, from which on a falling solid has begun to fall


@dataclasses.dataclass(frozen=True)
class Contact:
    """Two solids, or a solid and the table, meet; `speed` is their closing speed in m/s."""

    actor: str
    target: str
    seconds: float
    speed: float


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """The result of a simulation: arrays over [frame, actor], contacts and events in order of time."""

    position: np.ndarray  # [frame, actor, 3]: of the centre, in metres
    orientation: np.ndarray  # [frame, actor, 4]: quaternion w, x, y, z
    velocity: np.ndarray  # [frame, actor, 3], m/s
    contacts: tuple[Contact, ...]
    events: tuple[EventRecord, ...]

    def rotation(self, t: int, i: int) -> np.ndarray:
        """Return the orientation of actor `i` at frame `t` as a matrix [3, 3]."""
        w, x, y, z = self.orientation[t, i]
        return np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip


@functools.lru_cache(maxsize=64)
def simulate(spec: TableSpec) -> Trajectory:
    """Simulate the whole clip; the same spec gives the same numbers."""
    return simulate_model(spec, build_model(spec, drawable=False))


def simulate_model(spec: TableSpec, model: Any, fixed: Collection[str] = ()) -> Trajectory:
    """Simulate the whole clip on a model that exists already; the `fixed` actors never move."""
    return _Simulation(spec, model, fixed).run()


class _Simulation:
    """The state of one simulation."""

    def __init__(self, spec: TableSpec, model: Any, fixed: Collection[str]) -> None:
        mujoco = self.mujoco = import_mujoco()
        self.spec, self.model, self.data = spec, model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self.names = [actor.id for actor in spec.actors]
        self.pose: dict[str, slice] = {}
        self.speed: dict[str, slice] = {}
        for name in self.names:
            self.pose[name], self.speed[name] = free_body(model, name)
        geoms = {int(model.geom(name).id): name for name in ("table", "floor", *self.names)}
        self.geom_names = [geoms.get(geom, "") for geom in range(model.ngeom)]
        self.pending = sorted(spec.events, key=lambda event: event.start)
        self.fixed = set(fixed)
        held = {e.actor for e in spec.events if e.kind in ("drop", "bounce")} | self.fixed
        self.held = {name: self.data.qpos[self.pose[name]].copy() for name in sorted(held)}
        self.pushing: list[tuple[Event, np.ndarray]] = []
        self.last_touch: dict[tuple[str, str], float] = {}
        self.contacts: list[Contact] = []
        self.speed_before = self.data.qvel.copy()

    def run(self) -> Trajectory:
        spec, data = self.spec, self.data
        shape = (spec.num_frames, len(self.names))
        position, orientation, velocity = np.zeros((*shape, 3)), np.zeros((*shape, 4)), np.zeros((*shape, 3))
        ticks = steps_per_frame(spec) // STEPS_PER_TICK
        self._start_events(0.0)
        for t in range(spec.num_frames):
            if t > 0:
                for tick in range(ticks):
                    self._advance((t - 1 + tick / ticks) / spec.fps, 1 / ticks / spec.fps)
            for i, name in enumerate(self.names):
                pose = data.qpos[self.pose[name]]
                position[t, i], orientation[t, i], velocity[t, i] = pose[:3], pose[3:], data.qvel[self.speed[name]][:3]
        events = tuple(self._event_log(position, velocity))
        return Trajectory(position, orientation, velocity, tuple(self.contacts), events)

    def _advance(self, now: float, seconds: float) -> None:
        """Advance by one tick: start events, push and hold actors, step the physics, record contacts."""
        self._start_events(now + seconds / 2)
        for event, velocity in self.pushing:
            if event.end is None or now < event.end:
                # A pushed actor goes straight at constant speed; only its vertical speed is free.
                vertical = self.data.qvel[self.speed[event.actor]][2]
                self.data.qvel[self.speed[event.actor]] = [*velocity, vertical, 0, 0, 0]
        self.speed_before = self.data.qvel.copy()
        self.mujoco.mj_step(self.model, self.data, nstep=STEPS_PER_TICK)
        for name, pose in self.held.items():
            self.data.qpos[self.pose[name]], self.data.qvel[self.speed[name]] = pose, 0.0
        self._record_contacts(now + seconds)

    def _start_events(self, now: float) -> None:
        """Start all events that are due."""
        while self.pending and self.pending[0].start <= now:
            self._start_event(self.pending.pop(0))

    def _start_event(self, event: Event) -> None:
        actor, data = self.spec.actor(event.actor), self.data
        speed = EVENTS[event.kind][2] if event.speed is None else event.speed
        step = np.array(DIRECTIONS.get(event.direction or "", (0.0, 0.0)))
        if event.target is not None:
            step = data.qpos[self.pose[event.target]][:2] - data.qpos[self.pose[event.actor]][:2]
            step /= max(float(np.linalg.norm(step)), 1e-9)
        if event.actor in self.fixed:
            return
        self.held.pop(event.actor, None)
        velocity = step * speed
        data.qvel[self.speed[event.actor]] = [*velocity, *data.qvel[self.speed[event.actor]][2:]]
        if event.kind == "push":
            self.pushing.append((event, velocity))
        elif actor.noun == "ball" and event.kind not in ("drop", "bounce"):
            spin = np.array([-velocity[1], velocity[0], 0.0]) / (actor.size / 2)  # rolls without slipping
            rotation = np.zeros(9)
            self.mujoco.mju_quat2Mat(rotation, data.qpos[self.pose[event.actor]][3:])
            # MuJoCo takes angular velocities in the axes of the body.
            data.qvel[self.speed[event.actor]][3:] = rotation.reshape(3, 3).T @ spin

    def _record_contacts(self, now: float) -> None:
        """Record the pairs that touch for the first time, or again."""
        found = self.data.contact.geom.tolist()
        for pair in {tuple(geoms) for geoms in found}:
            one, two = (self.geom_names[geom] for geom in pair)
            if one not in self.pose and two not in self.pose:
                continue
            last = self.last_touch.get((one, two))
            self.last_touch[one, two] = now
            if last is not None and now - last <= NEW_CONTACT_SECONDS:
                continue
            normal = self.data.contact.frame[found.index(list(pair))][:3]  # from the first to the second
            if one not in self.pose:
                one, two, normal = two, one, -normal
            closing = self.speed_before[self.speed[one]][:3]
            if two in self.pose:
                closing = closing - self.speed_before[self.speed[two]][:3]
            speed = float(closing @ normal)
            if speed > _MIN_CONTACT_SPEED:
                self.contacts.append(Contact(one, two, round(now, 4), round(speed, 4)))

    def _event_log(self, position: np.ndarray, velocity: np.ndarray) -> list[EventRecord]:
        """Return the events of the spec with the times at which they ended, the contacts, and the falls."""
        spec, log = self.spec, []
        times = np.arange(spec.num_frames) / spec.fps
        moving = np.linalg.norm(velocity, axis=2) > _REST_SPEED
        for event in spec.events:
            own = moving[:, self.names.index(event.actor)] & (times > event.start)
            end = float(times[own][-1]) + 1 / spec.fps if own.any() else event.start
            end = round(min(end, spec.seconds), 4)
            log.append(EventRecord(event.kind, event.actor, event.start, end, event.target))
        log += [EventRecord("contact", c.actor, c.seconds, c.seconds, c.target) for c in self.contacts]
        for i, actor in enumerate(spec.actors):
            descent = position[0, i, 2] - position[:, i, 2]
            down = descent > _fall_height(spec, actor)
            if down.any():
                start, end = float(times[descent > _FALL_STARTS][0]), float(times[down][0])
                log.append(EventRecord("fall", actor.id, round(start, 4), round(end, 4)))
        return sorted(log, key=lambda record: record.start)


def _fall_height(spec: TableSpec, actor: Actor) -> float:
    """Return how far, in metres, an actor must come down to count as fallen.

    From a stack: half the height of its support. From the table: its own size. A dropped actor does not count.
    """
    support = spec.stacked_on(actor)
    if support is not None:
        return extent(support)[2] / 2
    return math.inf if actor.lift else actor.size
