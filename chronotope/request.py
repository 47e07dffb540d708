"""What a user asks for: prompts, pictures, clips, masks and numbers; and how many frames of a clip are context."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

from chronotope.errors import UsageError, suggest
from chronotope.geometry import AnyFrames, Picture
from chronotope.prompt import Prompt

__all__ = ["TASKS", "Defaults", "Inputs", "Mask", "Request", "Task"]

Task = Literal["extend", "extend_backward", "connect", "loop", "edit", "retake", "outpaint"]
TASKS: tuple[Task, ...] = get_args(Task)
Mask = Bool[np.ndarray, "_ _ _"]

# Inputs that only some tasks use.
TASKS_USING = {
    "strength": ("edit", "retake", "connect"),
    "span": ("retake",),
    "mask": ("retake",),
    "into": ("connect",),
}


@dataclass(frozen=True)
class Inputs:
    """The pictures and clips of a request, and the task that uses them.

    `images` are pictures and their times in seconds. `video` is the clip that the task works on, at the frame rate of
    the request; `into` is the second clip of `connect`. `context` is how many seconds of a clip the model sees (None:
    see `context_frames`). A retake replaces the frames of `span` (start and stop in seconds), the pixels where `mask`
    is true, or their intersection. Raises `UsageError` for inputs that do not go together.
    """

    task: Task | None = None
    images: tuple[tuple[float, Picture], ...] = ()
    video: AnyFrames | None = None
    into: AnyFrames | None = None
    strength: float | None = None
    context: float | None = None
    span: tuple[float, float] | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise UsageError(f"unknown task '{self.task}'. {suggest(self.task, TASKS)}")
        if self.task is None and self.video is not None:
            raise UsageError(
                f"there is a video, but no task that says what to do with it; choose from {', '.join(TASKS)}"
            )
        if self.task not in (None, "loop") and self.video is None:
            raise UsageError(f"the task '{self.task}' needs a video")
        if self.images and self.task not in (None, "loop"):
            raise UsageError(f"the task '{self.task}' takes a video only; leave the pictures out")
        if self.task == "connect" and self.into is None:
            raise UsageError("the task 'connect' needs two videos: video and into")
        if self.task == "retake" and self.span is None and self.mask is None:
            raise UsageError("a retake needs a span of time or a mask that says what to replace")
        if self.task == "loop" and not self._one_loop_source():
            raise UsageError("a loop is made from the prompt alone, from one picture at 0 s, or from a video")
        for name, users in TASKS_USING.items():
            if getattr(self, name) is not None and self.task not in users:
                raise UsageError(f"'{name}' goes with {' or '.join(users)}, not with {self.task or 'a plain prompt'}")

    def _one_loop_source(self) -> bool:
        """Whether a loop has at most one source, and a picture stands at its beginning."""
        if self.video is not None:
            return not self.images
        return len(self.images) <= 1 and all(seconds == 0 for seconds, _ in self.images)

    @property
    def keeps_length(self) -> bool:
        """Whether the video has the length of the clip, so that no number of frames is asked for."""
        return self.task in ("edit", "retake", "outpaint")

    def context_frames(self, fps: float, window_frames: int) -> int:
        """Return how many frames of a clip the model sees: half a window, a quarter at each of two known ends."""
        if self.context is not None:
            return round(self.context * fps)
        return window_frames // 4 if self.task in ("connect", "loop") else window_frames // 2

    def canvas_frames(self, num_frames: int, fps: float, window_frames: int) -> int:
        """Return how many frames the canvas has when `num_frames` are asked for."""
        if self.video is None:
            return num_frames
        if self.keeps_length:
            return len(self.video)
        ends = [self.video]
        if self.task in ("connect", "loop"):
            ends.append(self.video if self.into is None else self.into)
        context = self.context_frames(fps, window_frames)
        return num_frames + sum(min(len(clip), context) for clip in ends)


@dataclass(frozen=True)
class Request:
    """One video to generate; None stands for the model's default.

    `num_frames` counts the new frames where a clip is extended, connected or looped, else all of them. Height and width
    are in pixels. A `draft` has about the model's own size and a third of the steps.
    """

    prompts: tuple[Prompt, ...]
    inputs: Inputs = field(default_factory=Inputs)
    height: int | None = None
    width: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    solver: Literal["euler", "heun"] = "euler"
    negative_prompt: str = ""
    draft: bool = False


@dataclass(frozen=True)
class Defaults:
    """What a model generates where the request says nothing; saved with its weights.

    `decoder_noise` is the error of generated latents that the decoder expects, at most that of its training.
    """

    height: int = 64
    width: int = 96
    num_frames: int = 17
    fps: float = 8.0
    num_steps: int = 30
    guidance_scale: float = 3.0
    decoder_noise: float = 0.1

    def enlargement(self, height: int, width: int) -> int:
        """Return how many times a frame is larger than the model's own along each side, rounded; at least 1."""
        return max(1, round(math.sqrt(height * width / (self.height * self.width))))
