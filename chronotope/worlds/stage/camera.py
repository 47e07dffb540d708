"""The camera's path: the point at which it looks and its zoom, at each frame."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.tracks import Track, unit_step

__all__ = ["camera_path"]


def camera_path(spec: Spec, tracks: dict[str, Track]) -> np.ndarray:
    """Return rows of (x, y, zoom): the point of the unmoved frame at the picture's centre, and the magnification."""
    camera, frames = spec.camera, spec.num_frames
    path = np.tile([spec.width / 2, spec.height / 2, 1.0], (frames, 1))
    progress = np.arange(frames) / max(frames - 1, 1)
    if camera.kind == "pan":
        amount = 0.35 if camera.amount is None else camera.amount
        sx, sy = unit_step(camera.direction)
        path[:, 0] += sx * amount * spec.width * (progress - 0.5)
        path[:, 1] += sy * amount * spec.height * (progress - 0.5)
    elif camera.kind == "zoom":
        factor = 1.7 if camera.amount is None else camera.amount
        path[:, 2] = factor**progress if camera.direction == "in" else factor ** (1 - progress)
        if camera.actor and factor != 1:
            # From 0 at zoom 1 to 1 at the full zoom, the camera turns towards the actor.
            share = (path[:, 2] - 1) / (factor - 1)
            track = tracks[camera.actor]
            path[:, 0] += share * (track.x - path[:, 0])
            path[:, 1] += share * (track.y + track.lift - path[:, 1])
    elif camera.kind == "follow":
        track = tracks[camera.actor or ""]
        path[:, 0] = track.x
        ground = track.y + track.lift  # the camera does not follow the steps of the gait
        path[:, 1] += ground - ground[0]
    return path
