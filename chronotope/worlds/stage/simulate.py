"""Play all events of a spec and return the scene: tracks, light, strokes and the log."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.stage.interactions import ENCOUNTERS
from chronotope.worlds.stage.motion import MOTIONS
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.tracks import Scene, at_rest

__all__ = ["choreograph"]

_PLAY = {**MOTIONS, **ENCOUNTERS}


def choreograph(spec: Spec) -> Scene:
    """Events are played in the order in which they start; each leaves its mark on all later frames."""
    times = np.arange(spec.num_frames) / spec.fps
    tracks = {actor.id: at_rest(spec, actor) for actor in spec.actors}
    scene = Scene(spec, times, tracks, np.ones(spec.num_frames), [], [])
    for event in sorted(spec.events, key=lambda e: (e.start, e.end, e.actor, e.kind)):
        _PLAY[event.kind](scene, event)
    scene.log.sort(key=lambda h: (h.start, h.end, h.kind, h.actor))
    return scene
