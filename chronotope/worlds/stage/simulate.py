"""Simulate a spec: its events become the tracks of actors, the light, painted strokes and an event log."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.stage.interactions import INTERACTIONS
from chronotope.worlds.stage.motion import MOTIONS
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.tracks import Scene, resting_track

__all__ = ["simulate"]

_HANDLERS = {**MOTIONS, **INTERACTIONS}


def simulate(spec: Spec) -> Scene:
    """Apply all events in the order in which they start; each changes all later frames."""
    times = np.arange(spec.num_frames) / spec.fps
    tracks = {actor.id: resting_track(spec, actor) for actor in spec.actors}
    scene = Scene(spec, times, tracks, light=np.ones(spec.num_frames), strokes=[], log=[])
    for event in sorted(spec.events, key=lambda e: (e.start, e.end, e.actor, e.kind)):
        _HANDLERS[event.kind](scene, event)
    scene.log.sort(key=lambda record: (record.start, record.end, record.kind, record.actor))
    return scene
