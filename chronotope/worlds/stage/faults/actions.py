"""Inject faults into actions: stopping, bouncing, meeting, hitting, eating.

Each faulty clip shows another spec, or the true frames in another order. A fault that a spec cannot show is None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.controls import splice
from chronotope.worlds.stage.checks.tracking import true_way, truth_of
from chronotope.worlds.stage.faults.edits import played
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["ACTION_FAULTS", "without_stop_or_spin"]

OVERSAMPLING = 8  # rendered frames per frame, among which those at constant speed are found


def _only(spec: Spec, kind: str) -> Event | None:
    """Return the only event of a spec if it is of this kind."""
    return spec.events[0] if [event.kind for event in spec.events] == [kind] else None


def without_stop_or_spin(spec: Spec) -> Frames | None:
    """Leave out stops and spins."""
    kept = tuple(event for event in spec.events if event.kind not in ("stop", "spin"))
    return played(spec, events=kept) if len(kept) < len(spec.events) else None


def _constant_speed_bounce(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Bounce to the same height in the same time, but at constant speed."""
    event = _only(spec, "bounce")
    if event is None:
        return None
    fine = dataclasses.replace(spec, num_frames=spec.num_frames * OVERSAMPLING, fps=spec.fps * OVERSAMPLING)
    clip, index = render(fine), truth_of(spec).actors.index(event.actor)
    y = clip.truth.y[:, index]
    turning_points = [i for i in range(1, len(y) - 1) if (y[i] - y[i - 1]) * (y[i + 1] - y[i]) <= 0]
    keys = [0, *turning_points, len(y) - 1]
    even = np.interp(np.arange(spec.num_frames) * OVERSAMPLING, keys, y[keys])
    return clip.frames[[int(np.abs(y - height).argmin()) for height in even]]


def _rising_bounce(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Play a bounce backwards, so that it rises higher each time."""
    return render(spec).frames[::-1] if _only(spec, "bounce") else None


def _no_impact(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let a struck actor stay, or move together with the striker."""
    event = _only(spec, "hit")
    if event is None:
        return None
    room = _room(spec, event)
    if room < 0.15 or rng.random() < 0.5:
        return played(spec, events=())
    both = (event.actor, event.target or "")
    events = (Event("move", name, event.start, event.end, event.direction, amount=room) for name in both)
    return played(spec, events=tuple(events))


def _room(spec: Spec, event: Event) -> float:
    """Return how far the target can move before it leaves the frame, in widths."""
    target = spec.actor(event.target or "")
    half = aspect(target.noun, target.colour)[0] * target.size * min(spec.width, spec.height) / spec.width / 2
    return (1 - target.x if event.direction == "right" else target.x) - half


def _pass_through(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let two actors exchange places without contact."""
    event = _only(spec, "meet") or _only(spec, "hit")
    if event is None or event.direction is None:
        return None
    apart = abs(spec.actor(event.target or "").x - spec.actor(event.actor).x)
    back = "left" if event.direction == "right" else "right"
    onward = Event("walk", event.actor, 0.0, event.end, event.direction, amount=apart)
    counter = Event("walk", event.target or "", 0.0, event.end, back, amount=apart)  # type: ignore[arg-type]
    return played(spec, events=(onward, counter))


def _not_eaten(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Keep the eaten actor visible, always or again after the meal."""
    event = _only(spec, "eat")
    if event is None:
        return None
    kept = played(spec, events=(_walk_to_target(spec, event),))
    after = round(event.end * spec.fps) + 2
    if after > spec.num_frames - 2 or rng.random() < 0.5:
        return kept
    return splice(render(spec).frames, kept, after)


def _walk_to_target(spec: Spec, event: Event) -> Event:
    """Return the eater's walk without the meal, ending before the food so that it stays visible."""
    distance = abs(true_way(spec, event.actor)) * min(spec.width, spec.height) / spec.width
    return Event("walk", event.actor, 0.0, event.end, event.direction, amount=max(0.02, distance - 0.1))


def _vanish_before_contact(spec: Spec, rng: np.random.Generator) -> Frames | None:
    """Let the food vanish while the eater is far away and still waits."""
    event = _only(spec, "eat")
    if event is None or event.direction is None:
        return None
    ids = (event.actor, event.target or "")
    short = min(spec.width, spec.height)
    half_widths = [aspect(a.noun, a.colour)[0] * 0.9 * a.size * short / spec.width / 2 for a in map(spec.actor, ids)]
    if (1 - 2 * sum(half_widths)) * spec.width < 0.2 * short:
        return None
    positions = (
        (half_widths[0], 1 - half_widths[1]) if event.direction == "right" else (1 - half_widths[0], half_widths[1])
    )
    eater, food = (
        dataclasses.replace(actor, x=x, size=0.9 * actor.size)
        for actor, x in zip(map(spec.actor, ids), positions, strict=True)
    )
    vanish_frame = max(3, round(event.end * spec.fps / 2))
    amount = abs(positions[1] - positions[0]) - half_widths[0]
    events = (Event("walk", event.actor, vanish_frame / spec.fps, event.end, event.direction, amount=amount),)
    before, after = played(spec, actors=(eater, food), events=events), played(spec, actors=(eater,), events=events)
    return splice(before, after, vanish_frame)


ACTION_FAULTS: dict[str, Callable[[Spec, np.random.Generator], Frames | None]] = {
    "PHY-GRV": _constant_speed_bounce,
    "PHY-NRG": _rising_bounce,
    "PHY-COL": _no_impact,
    "PHY-PEN": _pass_through,
    "CAU-ORD": _vanish_before_contact,
    "CAU-STA": _not_eaten,
}
