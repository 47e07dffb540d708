"""Faults of the deeds that leave a trace - stopping, bouncing, meeting, hitting, eating - planted in true clips.

Each is a clip that the stage can play of another spec, or the true frames in another order; where a spec leaves nothing to plant, none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.tracking import stage_way, truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["ACTION_FAULTS", "left_out"]

FINE = 8  # times the frames, among which those of another course of time are found


def _only(spec: Spec, kind: str) -> Event | None:
    """The event of this kind, where nothing else happens."""
    return spec.events[0] if [event.kind for event in spec.events] == [kind] else None


def left_out(spec: Spec) -> Frames | None:
    """It goes on instead of stopping, or does not turn."""
    kept = tuple(event for event in spec.events if event.kind not in ("stop", "spin"))
    return render(dataclasses.replace(spec, events=kept)).frames if len(kept) < len(spec.events) else None


def _evenly(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Up and down at the same height and in the same time, but always at one speed."""
    event = _only(spec, "bounce")
    if event is None:
        return None
    fine = dataclasses.replace(spec, num_frames=spec.num_frames * FINE, fps=spec.fps * FINE)
    clip, place = render(fine), truth_of(spec).actors.index(event.actor)
    down = clip.truth.y[:, place]
    turns = [i for i in range(1, len(down) - 1) if (down[i] - down[i - 1]) * (down[i + 1] - down[i]) <= 0]
    keys = [0, *turns, len(down) - 1]
    even = np.interp(np.arange(spec.num_frames) * FINE, keys, down[keys])
    return clip.frames[[int(np.abs(down - y).argmin()) for y in even]]


def _gaining(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Backwards it comes higher each time."""
    return render(spec).frames[::-1] if _only(spec, "bounce") else None


def _dull(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Who is struck stays where it is, or both go on as one."""
    event = _only(spec, "hit")
    if event is None:
        return None
    room = _room(spec, event)
    if room < 0.15 or rng.random() < 0.5:
        return render(dataclasses.replace(spec, events=())).frames
    both = (event.actor, event.target or "")
    return _played(spec, *(Event("move", name, event.start, event.end, event.direction, amount=room) for name in both))


def _room(spec: Spec, event: Event) -> float:
    """How far the target can go before it leaves the frame, in widths."""
    target = spec.actor(event.target or "")
    half = aspect(target.noun, target.colour)[0] * target.size * min(spec.width, spec.height) / spec.width / 2
    return (1 - target.x if event.direction == "right" else target.x) - half


def _played(spec: Spec, *events: Event) -> Frames:
    """The same actors doing something else."""
    return render(dataclasses.replace(spec, events=events)).frames


def _through(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """They change places as if neither were there."""
    event = _only(spec, "meet") or _only(spec, "hit")
    if event is None or event.direction is None:
        return None
    apart = abs(spec.actor(event.target or "").x - spec.actor(event.actor).x)
    back = "left" if event.direction == "right" else "right"
    there = Event("walk", event.actor, 0.0, event.end, event.direction, amount=apart)
    return _played(spec, there, Event("walk", event.target or "", 0.0, event.end, back, amount=apart))  # type: ignore[arg-type]


def _uneaten(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """What was eaten stands there all the same: always, or again."""
    event = _only(spec, "eat")
    if event is None:
        return None
    kept = _played(spec, _course(spec, event))
    after = round(event.end * spec.fps) + 2
    return (
        kept
        if after > spec.num_frames - 2 or rng.random() < 0.5
        else np.concatenate([render(spec).frames[:after], kept[after:]])
    )


def _course(spec: Spec, event: Event, start: float = 0.0) -> Event:
    """The eater's way without the meal; it ends a little before its food, which could not be seen behind it."""
    way = abs(stage_way(spec, event.actor)) * min(spec.width, spec.height) / spec.width
    return Event("walk", event.actor, start, event.end, event.direction, amount=max(0.02, way - 0.1))


def _too_early(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """What is eaten is gone before anybody comes near it: the two stand as far apart as the frame allows, and the eater waits."""
    event = _only(spec, "eat")
    if event is None or event.direction is None:
        return None
    ids = (event.actor, event.target or "")
    halves = [
        aspect(a.noun, a.colour)[0] * 0.9 * a.size * min(spec.width, spec.height) / spec.width / 2
        for a in map(spec.actor, ids)
    ]
    if (1 - 2 * sum(halves)) * spec.width < 0.2 * min(spec.width, spec.height):
        return None
    ends = (halves[0], 1 - halves[1]) if event.direction == "right" else (1 - halves[0], halves[1])
    moved = {
        name: dataclasses.replace(spec.actor(name), x=x, size=0.9 * spec.actor(name).size)
        for name, x in zip(ids, ends, strict=True)
    }
    gone = max(3, round(event.end * spec.fps / 2))
    course = Event(
        "walk", event.actor, gone / spec.fps, event.end, event.direction, amount=abs(ends[1] - ends[0]) - halves[0]
    )

    def played(*actors: Actor) -> Frames:
        return render(dataclasses.replace(spec, actors=actors, events=(course,))).frames

    return np.concatenate([played(*moved.values())[:gone], played(moved[event.actor])[gone:]])


ACTION_FAULTS: dict[str, Callable[[Spec, np.random.Generator], Frames | None]] = {
    "PHY-GRV": _evenly,
    "PHY-NRG": _gaining,
    "PHY-COL": _dull,
    "PHY-PEN": _through,
    "CAU-ORD": _too_early,
    "CAU-STA": _uneaten,
}
