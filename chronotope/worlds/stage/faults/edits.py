"""Edit specs to inject faults: remove or change an actor, or find the actors that can be changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["DEGRADATIONS", "OPPOSITE", "apart", "changed", "degrade", "played", "steady_actors", "without"]

DEGRADATIONS = ("faded", "blurred", "saturated", "noisy")
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


def degrade(frames: Frames, kind: str, strength: float, rng: np.random.Generator) -> Frames:
    """Return a clip that is `faded`, `blurred`, `saturated` or `noisy` increasingly towards its end.

    `strength`, up to 1, is the amount in the last frame.
    """
    short, degraded = min(frames.shape[1:3]), []
    for t, frame in enumerate(frames):
        amount = strength * t / max(1, len(frames) - 1)
        values = frame.astype(np.float32)
        if kind == "faded":
            values = values + amount * (127 - values)
        elif kind == "blurred":
            values = cv2.GaussianBlur(values, (0, 0), 1e-3 + 0.06 * short * amount)
        elif kind == "saturated":
            grey = values.mean(axis=2, keepdims=True)
            values = grey + (1 + 2 * amount) * (values - grey) + 40 * amount * np.array([1, 0, -1], np.float32)
        else:
            values = values + rng.normal(0, 24 * amount, values.shape)
        degraded.append(np.clip(values, 0, 255).round().astype(np.uint8))
    return np.stack(degraded)
