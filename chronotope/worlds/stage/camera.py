"""The camera's path: where the frame's centre looks, and how closely, at each frame."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.tracks import Track

__all__ = ["camera_path"]


def camera_path(spec: Spec, tracks: dict[str, Track]) -> np.ndarray:
    """Rows of (x, y, zoom): the point of the resting frame in the middle of the picture, and the magnification."""
    camera, frames = spec.camera, spec.num_frames
    path = np.tile([spec.width / 2, spec.height / 2, 1.0], (frames, 1))
    progress = np.arange(frames) / max(frames - 1, 1)
    if camera.kind == "pan":
        amount = 0.35 if camera.amount is None else camera.amount
        sx, sy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[camera.direction or "right"]
        path[:, 0] += sx * amount * spec.width * (progress - 0.5)
        path[:, 1] += sy * amount * spec.height * (progress - 0.5)
    elif camera.kind == "zoom":
        factor = 1.7 if camera.amount is None else camera.amount
        path[:, 2] = factor**progress if camera.direction == "in" else factor ** (1 - progress)
        if camera.actor and factor != 1:
            close = (path[:, 2] - 1) / (
                factor - 1
            )  # 0 at rest, 1 when nearest: the closer, the more it looks at the actor
            track = tracks[camera.actor]
            path[:, 0] += close * (track.x - path[:, 0])
            path[:, 1] += close * (track.y + track.lift - path[:, 1])
    elif camera.kind == "follow":
        track = tracks[camera.actor or ""]
        path[:, 0] = track.x
        ground = track.y + track.lift  # the small ups and downs of the gait are not the camera's
        path[:, 1] += ground - ground[0]
    return path
