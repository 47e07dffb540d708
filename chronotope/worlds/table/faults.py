"""Inject faults of every class that the table's checks can find: simulate or render a spec with one change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.controls import moment_of, pick, splice
from chronotope.worlds.table.checks.geometry import truth_of
from chronotope.worlds.table.checks.tracking import CONFUSABLE
from chronotope.worlds.table.edits import EXTRA_ID, changed, free_place, moved, other_colour, with_extra, without
from chronotope.worlds.table.mujoco_model import build_model
from chronotope.worlds.table.render import render
from chronotope.worlds.table.simulate import GRAVITY, Trajectory, simulate_model
from chronotope.worlds.table.spec import TABLES, Actor, Camera, Event, TableSpec, extent

__all__ = ["FAULTS", "inject", "moves"]

Injector = Callable[[TableSpec, np.random.Generator], Frames | None]
OPPOSITE = {"left": "right", "right": "left", "away": "closer", "closer": "away"}
GRAVITY_FACTOR = 0.33
DROP_HEIGHT = 0.5  # of the height of a bounce
RESTITUTION_LOSS = 0.28
DRIFT_DISTANCE, MIN_JUMP = 0.6, 1.1  # metres


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](case.spec, np.random.default_rng([case.index, 17]))


def _index(spec: TableSpec, name: str) -> int:
    return next(i for i, actor in enumerate(spec.actors) if actor.id == name)


def _supporting(spec: TableSpec) -> set[str]:
    """Return the actors on which another one stands."""
    return {below.id for actor in spec.actors if (below := spec.stacked_on(actor)) is not None}


def _resting_actors(spec: TableSpec, min_visible: float = 0.9) -> list[Actor]:
    """Return the actors that rest on the table, in full view through the whole clip, and support no other."""
    truth, supporting = truth_of(spec), _supporting(spec)
    fit = (i for i in range(len(spec.actors)) if truth.rests[i] and truth.visible[:, i].min() >= min_visible)
    return [spec.actors[i] for i in fit if spec.actors[i].lift == 0 and spec.actors[i].id not in supporting]


def _removable_actors(spec: TableSpec, min_visible: float = 0.9) -> list[Actor]:
    """Return those of them without which an actor is left."""
    return _resting_actors(spec, min_visible) if len(spec.actors) > 1 else []


def _true_clip(spec: TableSpec) -> Frames:
    return render(spec, truth_of(spec).trajectory).frames


def _simulated(spec: TableSpec, model: Any = None, held: Sequence[str] = ()) -> Frames:
    """Simulate and render a spec, optionally with another model and with some actors fixed in place."""
    return render(spec, simulate_model(spec, model or build_model(spec, drawable=False), held)).frames


def _moved(spec: TableSpec, name: str, shift: np.ndarray) -> Trajectory:
    return moved(spec, truth_of(spec).trajectory, name, shift)


def _without(spec: TableSpec, name: str) -> Frames:
    return without(spec, truth_of(spec).trajectory, name)


def _with(spec: TableSpec, extra: Actor) -> Frames:
    return with_extra(spec, truth_of(spec).trajectory, extra)


def _room(spec: TableSpec, rng: np.random.Generator, gap: float = 0.75) -> tuple[float, float] | None:
    return free_place(spec, truth_of(spec).trajectory, rng, gap)


def _missing(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor = pick(_removable_actors(spec, 0.5), rng)
    return _without(spec, actor.id) if actor else None


def _extra(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    place = _room(spec, rng)
    return _with(spec, Actor(EXTRA_ID, "cube", other_colour(spec, rng), *place, size=0.45)) if place else None


def _recoloured(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor = pick(_resting_actors(spec), rng)
    if actor is None:
        return None
    return render(changed(spec, actor.id, colour=other_colour(spec, rng)), truth_of(spec).trajectory).frames


def _drifted_colour(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    moment, other = moment_of(spec, rng), _recoloured(spec, rng)
    return splice(_true_clip(spec), other, moment) if moment and other is not None else None


def _vanished(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(_removable_actors(spec), rng), moment_of(spec, rng)
    return splice(_true_clip(spec), _without(spec, actor.id), moment) if actor and moment else None


def _appeared(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(_removable_actors(spec), rng), moment_of(spec, rng)
    return splice(_without(spec, actor.id), _true_clip(spec), moment) if actor and moment else None


def _doubled(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment, place = pick(spec.actors, rng), moment_of(spec, rng), _room(spec, rng)
    if actor is None or moment is None or place is None:
        return None
    other = dataclasses.replace(actor, id=EXTRA_ID, x=place[0], y=place[1], lift=0.0)
    return splice(_true_clip(spec), _with(spec, other), moment)


def _resized(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = pick(_resting_actors(spec, 0.98), rng), moment_of(spec, rng)
    if actor is None or moment is None:
        return None
    small = dataclasses.replace(actor, size=0.6 * actor.size)
    down = np.array([0.0, 0.0, (extent(small)[2] - extent(actor)[2]) / 2])
    other = render(changed(spec, actor.id, size=small.size), _moved(spec, actor.id, down)).frames
    return splice(_true_clip(spec), other, moment)


def _no_motion(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Fix all actors in place."""
    if not spec.events:
        return None
    return _simulated(spec, held=[actor.id for actor in spec.actors])


def _reversed_direction(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    directed = [event for event in spec.events if event.kind in ("roll", "slide") and event.direction]
    if not directed:
        return None
    back = dataclasses.replace(directed[0], direction=OPPOSITE[str(directed[0].direction)])  # type: ignore[arg-type]
    other = dataclasses.replace(spec, events=tuple(back if e is directed[0] else e for e in spec.events))
    i, there = _index(spec, back.actor), truth_of(other)
    measurable = there.visible[:, i].min() >= 0.8 and there.untouched[:, i].all()
    return render(other, there.trajectory).frames if measurable else None


def _jumped(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment, place = pick(_resting_actors(spec, 0.98), rng), moment_of(spec, rng), _room(spec, rng, 0.7)
    if actor is None or moment is None or place is None or np.hypot(place[0] - actor.x, place[1] - actor.y) < MIN_JUMP:
        return None
    shift = np.array([place[0] - actor.x, place[1] - actor.y, 0.0])
    return splice(_true_clip(spec), render(spec, _moved(spec, actor.id, shift)).frames, moment)


def _shaken(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Shuffle the frames."""
    going = [e for e in spec.events if e.kind in ("roll", "push") and e.start < 0.3 * spec.seconds]
    return _true_clip(spec)[rng.permutation(spec.num_frames)] if going and spec.camera.kind == "still" else None


def _contact_events(spec: TableSpec) -> list[Event]:
    """Return the events in which one solid touches its target."""
    contacts = truth_of(spec).trajectory.contacts
    return [e for e in spec.events if e.target and any({c.actor, c.target} == {e.actor, e.target} for c in contacts)]


def _contact_frame(spec: TableSpec, event: Event) -> int:
    """Return the frame of the first contact of an event."""
    pair, contacts = {event.actor, event.target}, truth_of(spec).trajectory.contacts
    return next(int(contact.seconds * spec.fps) for contact in contacts if {contact.actor, contact.target} == pair)


def _immovable_target(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Let a struck actor not move."""
    contact_events = [event for event in _contact_events(spec) if event.kind != "topple"]
    truth = truth_of(spec)
    distance = np.linalg.norm(np.ptp(truth.trajectory.position[..., :2], axis=0), axis=1)
    far = [event for event in contact_events if distance[_index(spec, str(event.target))] > 0.3]
    if not far:
        return None
    if far[0].kind != "push":
        return _simulated(spec, held=[str(far[0].target)])
    # Both stand still from the contact on, because no hand can push through an immovable target.
    stop = np.minimum(np.arange(spec.num_frames), _contact_frame(spec, far[0]))
    trajectory = truth.trajectory
    position, orientation = trajectory.position[stop], trajectory.orientation[stop]
    return render(spec, dataclasses.replace(trajectory, position=position, orientation=orientation)).frames


def _missing_fall(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Let the stack not fall, or a ball not bounce."""
    toppled = [event for event in spec.events if event.kind == "topple"]
    if toppled:
        return _simulated(spec, held=[actor.id for actor in spec.actors if actor.id != toppled[0].actor])
    bounces = [event for event in spec.events if event.kind == "bounce" and _free_fall(spec, event)]
    if not bounces:
        return None
    return _simulated(spec, build_model(changed(spec, bounces[0].actor, restitution=0.15), drawable=False))


def _pass_through(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Let one solid pass through the other."""
    for event in _contact_events(spec):
        i, j = _index(spec, event.actor), _index(spec, str(event.target))
        if spec.actors[i].noun != "ball" or event.kind == "topple" or len(spec.events) > 1:
            continue
        shift = spec.actors[j].x - spec.actors[i].x, spec.actors[j].y - spec.actors[i].y
        if np.hypot(*shift) + 0.7 > (spec.seconds - event.start) * float(event.speed or 1.0) * 0.9:
            continue  # the clip ends before it has come through
        truth = truth_of(spec).trajectory
        at = _contact_frame(spec, event)
        if at < 2:
            continue
        step = truth.position[at, i] - truth.position[at - 1, i]
        position, orientation = truth.position.copy(), truth.orientation.copy()
        position[:], orientation[:] = position[0], orientation[0]
        position[: at + 1, i] = truth.position[: at + 1, i]
        position[at:, i] = truth.position[at, i] + step * np.arange(spec.num_frames - at)[:, None]
        return render(spec, dataclasses.replace(truth, position=position, orientation=orientation)).frames
    return None


def _early_effect(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Let the struck actor move before the contact."""
    truth = truth_of(spec).trajectory
    for event in _contact_events(spec):
        i, j = _index(spec, event.actor), _index(spec, str(event.target))
        at = _contact_frame(spec, event)
        gap = np.linalg.norm(truth.position[:, i, :2] - truth.position[:, j, :2], axis=1)
        early = max(1, at - round(0.6 * spec.fps))
        moved = np.linalg.norm(truth.position[:, j] - truth.position[0, j], axis=1)
        if event.kind == "topple" or early + 3 > at or gap[early + 2] < 1.5 * gap[at] + 0.2 or moved.max() < 0.4:
            continue
        ahead = np.minimum(np.arange(spec.num_frames) + at - early, spec.num_frames - 1)
        position, orientation = truth.position.copy(), truth.orientation.copy()
        position[:, j], orientation[:, j] = position[ahead, j], orientation[ahead, j]
        return render(spec, dataclasses.replace(truth, position=position, orientation=orientation)).frames
    return None


def _free_fall(spec: TableSpec, event: Event) -> bool:
    """Tell whether a fall can be measured: in full view until it lands, on the table."""
    i, truth = _index(spec, event.actor), truth_of(spec)
    mine = [c for c in truth.trajectory.contacts if spec.actors[i].id in (c.actor, c.target)]
    seen = (truth.visible[:, i] >= 0.97).mean() > 0.8 and spec.actors[i].lift >= 0.6
    first = mine and "table" in (mine[0].actor, mine[0].target)
    rolled = event.kind == "drop" and float(np.linalg.norm(np.ptp(truth.trajectory.position[:, i, :2], axis=0))) > 0.12
    return bool(seen and first and not rolled and (event.kind == "drop" or event.direction in (None, "left", "right")))


def _weak_gravity(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Reduce gravity to a third, or let an actor fall at constant speed."""
    falls = [event for event in spec.events if event.kind in ("drop", "bounce") and _free_fall(spec, event)]
    if not falls:
        return None
    if rng.random() < 0.5:
        model = build_model(spec, drawable=False)
        model.opt.gravity[2] *= GRAVITY_FACTOR
        return _simulated(spec, model)
    event, truth = falls[0], truth_of(spec).trajectory
    i, start = _index(spec, event.actor), round(event.start * spec.fps)
    position = truth.position.copy()
    last = min(spec.num_frames - 1, start + round(0.9 * spec.fps))
    low = position[:, i, 2].min()
    if last - start < 7:
        return None
    position[start:, i] = position[start, i]
    position[start:, i, 2] = np.interp(np.arange(start, spec.num_frames), [start, last], [position[start, i, 2], low])
    return render(spec, dataclasses.replace(truth, position=position)).frames


def _measurable_bounces(spec: TableSpec) -> list[tuple[Event, int]]:
    """Return the bounces that can be measured, with the frame of their first contact."""
    found = []
    for event in spec.events:
        if event.kind == "bounce" and event.direction is None and _free_fall(spec, event):
            at = next(c.seconds for c in truth_of(spec).trajectory.contacts if event.actor in (c.actor, c.target))
            if (spec.seconds - at) > 0.9:
                found.append((event, int(np.ceil(at * spec.fps))))
    return found


def _higher_bounce(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Drop an actor from half the height to which it then bounces."""
    for event, _ in _measurable_bounces(spec):
        i, truth = _index(spec, event.actor), truth_of(spec).trajectory
        contact = next(c.seconds for c in truth.contacts if event.actor in (c.actor, c.target))
        position, seconds = truth.position.copy(), np.arange(spec.num_frames) / spec.fps
        low, after = position[:, i, 2].min(), seconds > contact
        height = DROP_HEIGHT * float(position[after, i, 2].max() - low)
        fallen = GRAVITY / 2 * np.maximum(seconds - (contact - np.sqrt(2 * height / GRAVITY)), 0) ** 2
        position[~after, i, 2] = low + height - fallen[~after]
        return render(spec, dataclasses.replace(truth, position=position)).frames
    return None


def _lower_bounce(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    for event, _ in _measurable_bounces(spec):
        actor = spec.actor(event.actor)
        other = changed(spec, actor.id, restitution=actor.restitution - RESTITUTION_LOSS)
        return _simulated(spec, build_model(other, drawable=False))
    return None


def _drift(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Let a resting actor slide away by itself, at constant speed, away from all others."""
    truth = truth_of(spec)
    steady = [actor for actor in _resting_actors(spec, 0.98) if truth.visible[:, _index(spec, actor.id)].min() >= 0.98]
    actor = pick(steady, rng)
    if actor is None or spec.num_frames < 12:
        return None
    for angle in rng.permutation(8) * np.pi / 4:
        shift = DRIFT_DISTANCE * np.array([np.cos(angle), np.sin(angle), 0.0])
        places = np.array([actor.x, actor.y, 0.0]) + np.linspace(0, 1, spec.num_frames)[:, None] * shift
        others = np.delete(truth.trajectory.position, _index(spec, actor.id), axis=1)
        near = np.linalg.norm(others[..., :2] - places[:, None, :2], axis=2) if others.size else np.full(1, np.inf)
        if np.hypot(*places[-1, :2]) < 1.0 and near.min() > 0.7:
            return render(spec, _moved(spec, actor.id, places - places[0])).frames
    return None


def _drift_alone(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    return _drift(spec, rng) if spec.camera.kind == "still" else None


def _drift_against(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    truth = truth_of(spec)
    seen = truth.rests & (truth.visible >= 0.97).any(axis=0) & ((truth.visible >= 0.97).mean(axis=0) > 0.4)
    return _drift(spec, rng) if spec.camera.kind != "still" and seen.sum() >= 2 else None


def _off_axis(spec: TableSpec) -> bool:
    """Tell whether a visible actor rests away from the axis of the camera's orbit."""
    truth = truth_of(spec)
    return any(
        truth.rests[i] and np.hypot(a.x, a.y) > 0.25 and (truth.visible[:, i] >= 0.97).mean() > 0.5
        for i, a in enumerate(spec.actors)
    )


def _other_camera(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Reverse the orbit of the camera, stop it, or start one."""
    if spec.num_frames < 12 or not _off_axis(spec):
        return None
    camera = spec.camera
    if camera.kind == "still":
        if truth_of(spec).rests.sum() < 2:
            return None
        other = Camera("orbit", "left", 40.0, camera.elevation, camera.distance)
    elif rng.random() < 0.5:
        other = dataclasses.replace(camera, direction=OPPOSITE[str(camera.direction)])  # type: ignore[arg-type]
    else:
        other = Camera(elevation=camera.elevation, distance=camera.distance)
    return render(dataclasses.replace(spec, camera=other), truth_of(spec).trajectory).frames


def _open_circle(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Orbit by less than a full circle."""
    truth, camera = truth_of(spec), spec.camera
    seen_at_ends = truth.rests & (truth.visible[[0, -1]] >= 0.97).all(axis=0)
    seen_at_ends &= np.hypot(*truth.trajectory.position[0, :, :2].T) > 0.3
    if camera.kind != "round" or not seen_at_ends.any():
        return None
    arc = Camera("orbit", camera.direction, 300.0, camera.elevation, camera.distance)
    return render(dataclasses.replace(spec, camera=arc), truth.trajectory).frames


def _other_table(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    colours = {actor.colour for actor in spec.actors}
    free = [name for name in TABLES if name != spec.table and all((c, name) not in CONFUSABLE for c in colours)]
    table = pick(free, rng)
    return render(dataclasses.replace(spec, table=table), truth_of(spec).trajectory).frames if table else None


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _missing,
    "TXT-EXT": _extra,
    "TXT-ATT": _recoloured,
    "TXT-ACT": _missing_fall,
    "TXT-PLC": _other_table,
    "OBJ-DIS": _vanished,
    "OBJ-APP": _appeared,
    "OBJ-DUP": _doubled,
    "ID-COL": _drifted_colour,
    "ID-SIZ": _resized,
    "MOT-STA": _no_motion,
    "MOT-DIR": _reversed_direction,
    "MOT-JMP": _jumped,
    "MOT-SHK": _shaken,
    "PHY-GRV": _weak_gravity,
    "PHY-NRG": _higher_bounce,
    "PHY-RST": _lower_bounce,
    "PHY-COL": _immovable_target,
    "PHY-PEN": _pass_through,
    "CAU-ORD": _early_effect,
    "PHY-SLF": _drift_alone,
    "CAM-DIR": _other_camera,
    "GEO-INC": _drift_against,
    "GEO-LOOP": _open_circle,
}


def moves(spec: TableSpec) -> bool:
    """Tell whether something happens, or the camera moves beside the middle of the view."""
    return bool(spec.events) or (spec.num_frames > 1 and _off_axis(spec))
