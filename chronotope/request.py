"""What a user asks for beside words: pictures at their times, clips, masks, and the task that uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool

from chronotope.errors import UsageError, suggest
from chronotope.geometry import AnyFrames, Picture

__all__ = ["TASKS", "Inputs", "Mask", "Task"]

Task = Literal["extend", "extend_backward", "connect", "loop", "edit", "retake", "outpaint"]
TASKS: tuple[Task, ...] = get_args(Task)
Mask = Bool[np.ndarray, "_ _ _"]


@dataclass(frozen=True)
class Inputs:
    """What is given beside words, and what is to be done with it.

    `images` are pictures and their seconds. `video` is a clip at the frame's rate: to extend, edit, retake, outpaint or loop; `into` is
    the clip that `connect` leads to. `context` seconds of a clip are remembered (none: as many as the model is used to); `span` in
    seconds and `mask` (true: make again) say what a retake is about.
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
            raise UsageError(f"a video was given, but not what to do with it; give a task: {', '.join(TASKS)}")
        if self.task not in (None, "loop") and self.video is None:
            raise UsageError(f"'{self.task}' works on a video, and none was given")
        if self.images and self.task not in (None, "loop"):
            raise UsageError(f"pictures start a video or stand at its times; with '{self.task}' give a video only")
        if self.task == "connect" and self.into is None:
            raise UsageError("'connect' leads from one video into another; give both")
        if self.task == "retake" and self.span is None and self.mask is None:
            raise UsageError("say what is to be made again: a stretch of time, or a mask")
        self._check_unused()

    def _check_unused(self) -> None:
        """Refuse what the task would not look at."""
        if self.task == "loop" and (
            len(self.images) > 1 or (self.images and (self.video is not None or self.images[0][0] != 0))
        ):
            raise UsageError("a loop is of words, of one picture at 0 s, or of a video")
        uses = {
            "strength": ("edit", "retake", "connect"),
            "span": ("retake",),
            "mask": ("retake",),
            "into": ("connect",),
        }
        for name, tasks_of in uses.items():
            if getattr(self, name) is not None and self.task not in tasks_of:
                raise UsageError(
                    f"'{name}' goes with {' or '.join(tasks_of)}, not with {self.task or 'words and pictures alone'}"
                )

    def context_frames(self, fps: float, at_once: int) -> int:
        """How many frames of a clip are remembered: half of what the model sees at once, a quarter where two ends are given."""
        if self.context is not None:
            return round(self.context * fps)
        return at_once // 4 if self.task in ("connect", "loop") else at_once // 2

    def num_frames_on_canvas(self, num_frames: int, fps: float, at_once: int) -> int:
        """How many frames the canvas has, `num_frames` being those asked for."""
        if self.video is None:
            return num_frames
        if self.task in ("edit", "retake", "outpaint"):
            return len(self.video)
        shares = (
            [self.video]
            if self.into is None and self.task != "loop"
            else [self.video, self.video if self.into is None else self.into]
        )
        return num_frames + sum(min(len(clip), self.context_frames(fps, at_once)) for clip in shares)
