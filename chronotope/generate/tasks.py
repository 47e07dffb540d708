"""A function a task: each lays out a canvas, and one sampler fills them all."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas, Prompt
from chronotope.geometry import Geometry

__all__ = ["animate_picture", "text_to_picture", "text_to_video"]


def text_to_video(
    geometry: Geometry, channels: int, prompts: tuple[Prompt, ...], num_frames: int, height: int, width: int, fps: float
) -> Canvas:
    """All unknown; one frame is a picture."""
    return Canvas.unknown(geometry, channels, geometry.slices(num_frames), height, width, fps, prompts)


def text_to_picture(geometry: Geometry, channels: int, prompts: tuple[Prompt, ...], height: int, width: int, fps: float) -> Canvas:
    """One unknown still slice."""
    return text_to_video(geometry, channels, prompts, 1, height, width, fps)


def animate_picture(
    geometry: Geometry, picture: Float[Tensor, "1 c h w"], prompts: tuple[Prompt, ...], num_frames: int, height: int, width: int, fps: float
) -> Canvas:
    """A known still at t = 0 and moving slices after it; `num_frames` counts the picture."""
    if num_frames < 2:
        raise UsageError("animating a picture needs at least two frames; give more --seconds")
    slices = geometry.lead_and_slices(1, num_frames)
    canvas = Canvas.unknown(geometry, picture.shape[1], slices, height, width, fps, prompts)
    known, level = canvas.known.clone(), canvas.level.clone()
    known[0], level[0] = picture[0], 0.0
    return replace(canvas, known=known, level=level)
