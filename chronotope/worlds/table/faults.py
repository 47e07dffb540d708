"""Faults planted in true clips of the table, one for every class its checks can raise: the spec played or drawn with one thing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.checks.geometry import truth_of
from chronotope.worlds.table.checks.tracking import CONFUSABLE, OTHER_COLOURS
from chronotope.worlds.table.mujoco_model import build_model
from chronotope.worlds.table.render import render
from chronotope.worlds.table.simulate import GRAVITY, Trajectory, simulate_model
from chronotope.worlds.table.spec import TABLES, Actor, Camera, Event, TableSpec, extent

__all__ = ["CONTROLS", "FAULTS", "inject"]

Injector = Callable[[TableSpec, np.random.Generator], Frames | None]
_OPPOSITE = {"left": "right", "right": "left", "away": "closer", "closer": "away"}
_ANOTHER = "another"
_WEIGHT = 0.33  # times gravity
_LOWER, _DULLER = 0.5, 0.28  # times the height of a bounce; less of its restitution
_DRIFT, _JUMP = 0.6, 1.1  # metres


def inject(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault, or None where its spec cannot have it."""
    return FAULTS[code](case.spec, np.random.default_rng([case.index, 17]))


def _number(spec: TableSpec, name: str) -> int:
    return next(i for i, actor in enumerate(spec.actors) if actor.id == name)


def _pick(choices: Sequence[Actor], rng: np.random.Generator) -> Actor | None:
    return choices[int(rng.integers(len(choices)))] if choices else None


def _bearing(spec: TableSpec) -> set[str]:
    """Those on whom somebody stands."""
    return {below.id for actor in spec.actors if (below := spec.stacked_on(actor)) is not None}


def _steady(spec: TableSpec, least: float = 0.9) -> list[Actor]:
    """Those who rest on the table, in full view through the whole clip, and carry nobody."""
    truth, bearing = truth_of(spec), _bearing(spec)
    fit = (i for i in range(len(spec.actors)) if truth.rests[i] and truth.visible[:, i].min() >= least)
    return [spec.actors[i] for i in fit if spec.actors[i].lift == 0 and spec.actors[i].id not in bearing]


def _spare(spec: TableSpec, least: float = 0.9) -> list[Actor]:
    """Those of them without whom somebody is left."""
    return _steady(spec, least) if len(spec.actors) > 1 else []


def _moment(spec: TableSpec, rng: np.random.Generator) -> int | None:
    """A frame in the middle of the clip, with at least half a second before and after it."""
    least = max(3, round(spec.fps / 2))
    return int(rng.integers(least, spec.num_frames - least + 1)) if spec.num_frames >= 2 * least else None


def _true(spec: TableSpec) -> Frames:
    return render(spec, truth_of(spec).trajectory).frames


def _then(first: Frames, second: Frames, moment: int) -> Frames:
    return np.concatenate([first[:moment], second[moment:]])


def _moved(spec: TableSpec, name: str, shift: np.ndarray) -> Trajectory:
    """The true trajectory with an actor somewhere else: `shift` [t, 3] or [3] in metres."""
    trajectory = truth_of(spec).trajectory
    position = trajectory.position.copy()
    position[:, _number(spec, name)] += shift
    return dataclasses.replace(trajectory, position=position)


def _without(spec: TableSpec, name: str) -> Frames:
    """The true clip without somebody; nothing else is changed."""
    keep = [i for i, actor in enumerate(spec.actors) if actor.id != name]
    trajectory = truth_of(spec).trajectory
    rest = dataclasses.replace(
        trajectory, **{part: getattr(trajectory, part)[:, keep] for part in ("position", "orientation", "velocity")}
    )
    events = tuple(e for e in spec.events if name not in (e.actor, e.target))
    return render(dataclasses.replace(spec, actors=tuple(spec.actors[i] for i in keep), events=events), rest).frames


def _changed(spec: TableSpec, name: str, **changes: object) -> TableSpec:
    actors = (dataclasses.replace(a, **changes) if a.id == name else a for a in spec.actors)  # type: ignore[arg-type]
    return dataclasses.replace(spec, actors=tuple(actors))


def _with(spec: TableSpec, extra: Actor) -> Frames:
    """The true clip with somebody more, who rests."""
    trajectory, count = truth_of(spec).trajectory, spec.num_frames
    place = np.array([extra.x, extra.y, extent(extra)[2] / 2])
    more = dataclasses.replace(
        trajectory,
        position=np.concatenate([trajectory.position, np.tile(place, (count, 1, 1))], axis=1),
        orientation=np.concatenate([trajectory.orientation, np.tile([1.0, 0, 0, 0], (count, 1, 1))], axis=1),
        velocity=np.concatenate([trajectory.velocity, np.zeros((count, 1, 3))], axis=1),
    )
    return render(dataclasses.replace(spec, actors=(*spec.actors, extra)), more).frames


def _room(spec: TableSpec, rng: np.random.Generator, gap: float = 0.75) -> tuple[float, float] | None:
    """A place in the picture, beside everybody's way in the world and on the picture."""
    trajectory, path = truth_of(spec).trajectory, views(spec)
    for _ in range(60):
        place = np.array([*rng.uniform(-0.9, 0.9, 2), 0.25])
        apart = np.linalg.norm(trajectory.position[..., :2] - place[:2], axis=2).min() > gap
        for view, others in zip(path, trajectory.position, strict=True):
            if not apart:
                break
            seen = np.vstack([view.project(place[None]), view.project(others)])
            reach = 0.62 * view.focal / seen[:, 2]
            inside = (
                reach[0] / 2 < seen[0, 0] < spec.width - reach[0] / 2
                and reach[0] / 2 < seen[0, 1] < spec.height - reach[0] / 2
            )
            apart = inside and bool((np.linalg.norm(seen[1:, :2] - seen[0, :2], axis=1) > reach[1:] * 1.15 + 3).all())
        if apart:
            return float(place[0]), float(place[1])
    return None


def _other_colour(spec: TableSpec, rng: np.random.Generator) -> str:
    taken = {actor.colour for actor in spec.actors}
    free = [name for name in OTHER_COLOURS if name not in taken and (name, spec.table) not in CONFUSABLE]
    return free[int(rng.integers(len(free)))]


def _missing(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor = _pick(_spare(spec, 0.5), rng)
    return _without(spec, actor.id) if actor else None


def _extra(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    place = _room(spec, rng)
    return _with(spec, Actor(_ANOTHER, "cube", _other_colour(spec, rng), *place, size=0.45)) if place else None


def _recoloured(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor = _pick(_steady(spec), rng)
    return (
        render(_changed(spec, actor.id, colour=_other_colour(spec, rng)), truth_of(spec).trajectory).frames
        if actor
        else None
    )


def _drifted_colour(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    moment, other = _moment(spec, rng), _recoloured(spec, rng)
    return _then(_true(spec), other, moment) if moment and other is not None else None


def _vanished(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = _pick(_spare(spec), rng), _moment(spec, rng)
    return _then(_true(spec), _without(spec, actor.id), moment) if actor and moment else None


def _appeared(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = _pick(_spare(spec), rng), _moment(spec, rng)
    return _then(_without(spec, actor.id), _true(spec), moment) if actor and moment else None


def _doubled(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment, place = _pick(spec.actors, rng), _moment(spec, rng), _room(spec, rng)
    if actor is None or moment is None or place is None:
        return None
    return _then(
        _true(spec), _with(spec, dataclasses.replace(actor, id=_ANOTHER, x=place[0], y=place[1], lift=0.0)), moment
    )


def _resized(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment = _pick(_steady(spec, 0.98), rng), _moment(spec, rng)
    if actor is None or moment is None:
        return None
    small = dataclasses.replace(actor, size=0.6 * actor.size)
    down = np.array([0.0, 0.0, (extent(small)[2] - extent(actor)[2]) / 2])
    return _then(
        _true(spec), render(_changed(spec, actor.id, size=small.size), _moved(spec, actor.id, down)).frames, moment
    )


def _held(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Nobody is set going."""
    if not spec.events:
        return None
    return render(
        spec, simulate_model(spec, build_model(spec, drawable=False), [actor.id for actor in spec.actors])
    ).frames


def _turned(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    ways = [event for event in spec.events if event.kind in ("roll", "slide") and event.direction]
    if not ways:
        return None
    back = dataclasses.replace(ways[0], direction=_OPPOSITE[str(ways[0].direction)])  # type: ignore[arg-type]
    other = dataclasses.replace(spec, events=tuple(back if e is ways[0] else e for e in spec.events))
    i, there = _number(spec, back.actor), truth_of(other)
    return (
        render(other, there.trajectory).frames
        if there.visible[:, i].min() >= 0.8 and there.untouched[:, i].all()
        else None
    )


def _jumped(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    actor, moment, place = _pick(_steady(spec, 0.98), rng), _moment(spec, rng), _room(spec, rng, 0.7)
    if actor is None or moment is None or place is None or np.hypot(place[0] - actor.x, place[1] - actor.y) < _JUMP:
        return None
    way = np.array([place[0] - actor.x, place[1] - actor.y, 0.0])
    return _then(_true(spec), render(spec, _moved(spec, actor.id, way)).frames, moment)


def _shaken(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """The frames in another order."""
    going = [e for e in spec.events if e.kind in ("roll", "push") and e.start < 0.3 * spec.seconds]
    return _true(spec)[rng.permutation(spec.num_frames)] if going and spec.camera.kind == "still" else None


def _strokes(spec: TableSpec) -> list[Event]:
    """Those events that make one solid meet the one at which it is sent."""
    contacts = truth_of(spec).trajectory.contacts
    return [e for e in spec.events if e.target and any({c.actor, c.target} == {e.actor, e.target} for c in contacts)]


def _unmoved(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Who is struck stands like a rock."""
    strokes = [event for event in _strokes(spec) if event.kind != "topple"]
    truth = truth_of(spec)
    far = [
        e
        for e in strokes
        if np.linalg.norm(np.ptp(truth.trajectory.position[:, _number(spec, str(e.target)), :2], axis=0)) > 0.3
    ]
    if not far:
        return None
    if far[0].kind != "push":
        return render(spec, simulate_model(spec, build_model(spec, drawable=False), [str(far[0].target)])).frames
    # no hand pushes through a rock: both stand from then on
    contact = next(c for c in truth.trajectory.contacts if {c.actor, c.target} == {far[0].actor, far[0].target})
    stop = np.minimum(np.arange(spec.num_frames), int(contact.seconds * spec.fps))
    trajectory = truth.trajectory
    return render(
        spec,
        dataclasses.replace(trajectory, position=trajectory.position[stop], orientation=trajectory.orientation[stop]),
    ).frames


def _upright(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """The stack does not fall; a ball that should bounce stays down."""
    toppled = [event for event in spec.events if event.kind == "topple"]
    if toppled:
        return render(
            spec,
            simulate_model(
                spec, build_model(spec, drawable=False), [a.id for a in spec.actors if a.id != toppled[0].actor]
            ),
        ).frames
    dull = [event for event in spec.events if event.kind == "bounce" and _free_fall(spec, event)]
    return (
        render(
            spec, simulate_model(spec, build_model(_changed(spec, dull[0].actor, restitution=0.15), drawable=False))
        ).frames
        if dull
        else None
    )


def _ghost(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """The one goes through the other as if it were not there."""
    for event in _strokes(spec):
        i, j = _number(spec, event.actor), _number(spec, str(event.target))
        if spec.actors[i].noun != "ball" or event.kind == "topple" or len(spec.events) > 1:
            continue
        way = spec.actors[j].x - spec.actors[i].x, spec.actors[j].y - spec.actors[i].y
        if np.hypot(*way) + 0.7 > (spec.seconds - event.start) * float(event.speed or 1.0) * 0.9:
            continue  # the clip ends before it has come through
        truth = truth_of(spec).trajectory
        at = next(
            int(c.seconds * spec.fps) for c in truth.contacts if {c.actor, c.target} == {event.actor, event.target}
        )
        if at < 2:
            continue
        step = truth.position[at, i] - truth.position[at - 1, i]
        position, turn = truth.position.copy(), truth.orientation.copy()
        position[:], turn[:] = position[0], turn[0]
        position[: at + 1, i] = truth.position[: at + 1, i]
        position[at:, i] = truth.position[at, i] + step * np.arange(spec.num_frames - at)[:, None]
        return render(spec, dataclasses.replace(truth, position=position, orientation=turn)).frames
    return None


def _hasty(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Who is struck goes before the other is at it."""
    truth = truth_of(spec).trajectory
    for event in _strokes(spec):
        i, j = _number(spec, event.actor), _number(spec, str(event.target))
        at = next(
            int(c.seconds * spec.fps) for c in truth.contacts if {c.actor, c.target} == {event.actor, event.target}
        )
        gap = np.linalg.norm(truth.position[:, i, :2] - truth.position[:, j, :2], axis=1)
        early = max(1, at - round(0.6 * spec.fps))
        moved = np.linalg.norm(truth.position[:, j] - truth.position[0, j], axis=1)
        if event.kind == "topple" or early + 3 > at or gap[early + 2] < 1.5 * gap[at] + 0.2 or moved.max() < 0.4:
            continue
        ahead = np.minimum(np.arange(spec.num_frames) + at - early, spec.num_frames - 1)
        position, turn = truth.position.copy(), truth.orientation.copy()
        position[:, j], turn[:, j] = position[ahead, j], turn[ahead, j]
        return render(spec, dataclasses.replace(truth, position=position, orientation=turn)).frames
    return None


def _free_fall(spec: TableSpec, event: Event) -> bool:
    """Whether a drop can be measured: seen whole until it lands, on the table."""
    i, truth = _number(spec, event.actor), truth_of(spec)
    mine = [c for c in truth.trajectory.contacts if spec.actors[i].id in (c.actor, c.target)]
    seen = (truth.visible[:, i] >= 0.97).mean() > 0.8 and spec.actors[i].lift >= 0.6
    first = mine and "table" in (mine[0].actor, mine[0].target)
    rolled = event.kind == "drop" and float(np.linalg.norm(np.ptp(truth.trajectory.position[:, i, :2], axis=0))) > 0.12
    return bool(seen and first and not rolled and (event.kind == "drop" or event.direction in (None, "left", "right")))


def _light(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Gravity is a third; or what falls comes down at one speed."""
    falls = [event for event in spec.events if event.kind in ("drop", "bounce") and _free_fall(spec, event)]
    if not falls:
        return None
    if rng.random() < 0.5:
        model = build_model(spec, drawable=False)
        model.opt.gravity[2] *= _WEIGHT
        return render(spec, simulate_model(spec, model)).frames
    event, truth = falls[0], truth_of(spec).trajectory
    i, start = _number(spec, event.actor), round(event.start * spec.fps)
    position = truth.position.copy()
    last = min(spec.num_frames - 1, start + round(0.9 * spec.fps))
    low = position[:, i, 2].min()
    if last - start < 7:
        return None
    position[start:, i] = position[start, i]
    position[start:, i, 2] = np.interp(np.arange(start, spec.num_frames), [start, last], [position[start, i, 2], low])
    return render(spec, dataclasses.replace(truth, position=position)).frames


def _bounces_of(spec: TableSpec) -> list[tuple[Event, int]]:
    """Bounces that can be measured, with the frame of their first contact."""
    found = []
    for event in spec.events:
        if event.kind == "bounce" and event.direction is None and _free_fall(spec, event):
            at = next(c.seconds for c in truth_of(spec).trajectory.contacts if event.actor in (c.actor, c.target))
            if (spec.seconds - at) > 0.9:
                found.append((event, int(np.ceil(at * spec.fps))))
    return found


def _livelier(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Dropped from half the height to which it then bounces."""
    for event, _ in _bounces_of(spec):
        i, truth = _number(spec, event.actor), truth_of(spec).trajectory
        contact = next(c.seconds for c in truth.contacts if event.actor in (c.actor, c.target))
        position, seconds = truth.position.copy(), np.arange(spec.num_frames) / spec.fps
        low, after = position[:, i, 2].min(), seconds > contact
        height = _LOWER * float(position[after, i, 2].max() - low)
        fallen = GRAVITY / 2 * np.maximum(seconds - (contact - np.sqrt(2 * height / GRAVITY)), 0) ** 2
        position[~after, i, 2] = low + height - fallen[~after]
        return render(spec, dataclasses.replace(truth, position=position)).frames
    return None


def _duller(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    for event, _ in _bounces_of(spec):
        actor = spec.actor(event.actor)
        return render(
            spec,
            simulate_model(
                spec, build_model(_changed(spec, actor.id, restitution=actor.restitution - _DULLER), drawable=False)
            ),
        ).frames
    return None


def _drift(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Somebody who rests slides off by itself, steadily, away from all others."""
    truth = truth_of(spec)
    steady = [actor for actor in _steady(spec, 0.98) if truth.visible[:, _number(spec, actor.id)].min() >= 0.98]
    actor = _pick(steady, rng)
    if actor is None or spec.num_frames < 12:
        return None
    for angle in rng.permutation(8) * np.pi / 4:
        way = _DRIFT * np.array([np.cos(angle), np.sin(angle), 0.0])
        places = np.array([actor.x, actor.y, 0.0]) + np.linspace(0, 1, spec.num_frames)[:, None] * way
        others = np.delete(truth.trajectory.position, _number(spec, actor.id), axis=1)
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
    """Whether anything rests in view, away from the middle around which the camera goes."""
    truth = truth_of(spec)
    return any(
        truth.rests[i] and np.hypot(a.x, a.y) > 0.25 and (truth.visible[:, i] >= 0.97).mean() > 0.5
        for i, a in enumerate(spec.actors)
    )


def _filmed(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """The camera goes the other way round, stands where it should go, or goes where it should stand."""
    if spec.num_frames < 12 or not _off_axis(spec):
        return None
    camera = spec.camera
    if camera.kind == "still":
        if truth_of(spec).rests.sum() < 2:
            return None
        other = Camera("orbit", "left", 40.0, camera.elevation, camera.distance)
    elif rng.random() < 0.5:
        other = dataclasses.replace(camera, direction=_OPPOSITE[str(camera.direction)])  # type: ignore[arg-type]
    else:
        other = Camera(elevation=camera.elevation, distance=camera.distance)
    return render(dataclasses.replace(spec, camera=other), truth_of(spec).trajectory).frames


def _open_circle(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    """Seven eighths of a circle."""
    truth, camera = truth_of(spec), spec.camera
    ends = (
        truth.rests
        & (truth.visible[[0, -1]] >= 0.97).all(axis=0)
        & (np.hypot(*truth.trajectory.position[0, :, :2].T) > 0.3)
    )
    if camera.kind != "round" or not ends.any():
        return None
    part = Camera("orbit", camera.direction, 300.0, camera.elevation, camera.distance)
    return render(dataclasses.replace(spec, camera=part), truth.trajectory).frames


def _elsewhere(spec: TableSpec, rng: np.random.Generator) -> Frames | None:
    free = [
        name
        for name in TABLES
        if name != spec.table and all((actor.colour, name) not in CONFUSABLE for actor in spec.actors)
    ]
    return (
        render(dataclasses.replace(spec, table=free[int(rng.integers(len(free)))]), truth_of(spec).trajectory).frames
        if free
        else None
    )


FAULTS: dict[str, Injector] = {
    "TXT-CNT": _missing,
    "TXT-EXT": _extra,
    "TXT-ATT": _recoloured,
    "TXT-ACT": _upright,
    "TXT-PLC": _elsewhere,
    "OBJ-DIS": _vanished,
    "OBJ-APP": _appeared,
    "OBJ-DUP": _doubled,
    "ID-COL": _drifted_colour,
    "ID-SIZ": _resized,
    "MOT-STA": _held,
    "MOT-DIR": _turned,
    "MOT-JMP": _jumped,
    "MOT-SHK": _shaken,
    "PHY-GRV": _light,
    "PHY-NRG": _livelier,
    "PHY-RST": _duller,
    "PHY-COL": _unmoved,
    "PHY-PEN": _ghost,
    "CAU-ORD": _hasty,
    "PHY-SLF": _drift_alone,
    "CAM-DIR": _filmed,
    "GEO-INC": _drift_against,
    "GEO-LOOP": _open_circle,
}


def _happens(spec: TableSpec) -> bool:
    """Something moves, or the camera does, and it can be seen to."""
    return bool(spec.events) or (spec.num_frames > 1 and _off_axis(spec))


def _frozen(spec: TableSpec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return np.repeat(frames[:1], len(frames), axis=0) if _happens(spec) else None


def _shuffled(spec: TableSpec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return frames[rng.permutation(len(frames))] if _happens(spec) and len(frames) > 4 else None


def _backwards(spec: TableSpec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return frames[::-1] if _happens(spec) else None


def _blank(spec: TableSpec, frames: Frames, rng: np.random.Generator) -> Frames | None:
    return np.full_like(frames, 127)


CONTROLS: dict[str, Callable[[TableSpec, Frames, np.random.Generator], Frames | None]] = {
    "frozen first frame": _frozen,
    "shuffled frames": _shuffled,
    "backwards": _backwards,
    "blank": _blank,
}
