"""Edit specs and clips to inject faults: remove or change an actor, choose one, splice two clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["OPPOSITE", "apart", "changed", "moment_of", "pick", "played", "splice", "steady_actors", "without"]

OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def without(spec: Spec, name: str) -> Spec:
    """Remove an actor and all events in which it takes part."""
    actors = tuple(actor for actor in spec.actors if actor.id != name)
    events = tuple(event for event in spec.events if name not in (event.actor, event.target))
    return dataclasses.replace(spec, actors=actors, events=events)


def changed(spec: Spec, name: str, **changes: object) -> Spec:
    """Change properties of one actor."""
    actors = tuple(dataclasses.replace(actor, **changes) if actor.id == name else actor for actor in spec.actors)  # type: ignore[arg-type]
    return dataclasses.replace(spec, actors=actors)


def steady_actors(spec: Spec, *except_events: str) -> list[Actor]:
    """Return the actors in full view through the whole clip, apart from all others and without these events."""
    visible = truth_of(spec).visible_fraction
    busy = {event.actor for event in spec.events if event.kind in except_events}
    fit = (index for index, actor in enumerate(spec.actors) if visible[:, index].min() >= 0.9 and actor.id not in busy)
    return [spec.actors[index] for index in fit if apart(spec, index)]


def played(spec: Spec, **changes: Any) -> Frames:
    """Render a spec with some of its fields changed."""
    return render(dataclasses.replace(spec, **changes)).frames


def apart(spec: Spec, index: int) -> bool:
    """Tell whether no other actor's box ever comes near this one."""
    truth, required = truth_of(spec), 8 * min(spec.width, spec.height) / 64
    axes = ((truth.x, truth.width), (truth.y, truth.height))
    gaps = [np.abs(position - position[:, [index]]) - (size + size[:, [index]]) / 2 for position, size in axes]
    return bool((np.delete(np.maximum(*gaps), index, axis=1) > required).all())


def pick(choices: Sequence[Actor], rng: np.random.Generator) -> Actor | None:
    """Choose one actor at random, or None if there is none."""
    return choices[int(rng.integers(len(choices)))] if choices else None


def moment_of(spec: Spec, rng: np.random.Generator) -> int | None:
    """Choose a frame with at least half a second of the clip before and after it, or None in a shorter clip."""
    margin = max(3, round(spec.fps / 2))
    return int(rng.integers(margin, spec.num_frames - margin + 1)) if spec.num_frames >= 2 * margin else None


def splice(first: Frames, second: Frames, moment: int) -> Frames:
    """Join the first clip up to a frame with the second clip from that frame on."""
    return np.concatenate([first[:moment], second[moment:]])
