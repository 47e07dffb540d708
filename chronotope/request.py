"""What a user asks for: prompts, pictures, clips, masks and numbers; and how many frames of a clip are context."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from jaxtyping import Bool

from chronotope.arguments import as_flag, as_number, as_pixels, as_seconds, as_text, as_whole, described
from chronotope.config import Range
from chronotope.errors import UsageError, suggest
from chronotope.geometry import MAX_FRAMES, MAX_SIDE, AnyFrames, Picture
from chronotope.prompt import Prompt, check_length, check_prompts, composed

__all__ = ["SOLVERS", "TASKS", "Choices", "Defaults", "InputFile", "Inputs", "Mask", "Request", "Task"]

Task = Literal["extend", "extend_backward", "connect", "loop", "edit", "retake", "outpaint"]
TASKS: tuple[Task, ...] = get_args(Task)
Mask = Bool[np.ndarray, "_ _ _"]
Number = int | float  # the runtime type check in tests does not accept an int as a float
SOLVERS = ("euler", "heun")
NUM_STEPS = (1, 1000)
FPS = (0.01, 240)
GUIDANCE_SCALES = (0, 1000)
MAX_CONSENT = 2000  # characters

# Inputs that only some tasks use.
TASKS_USING = {
    "strength": ("edit", "retake", "connect"),
    "span": ("retake",),
    "mask": ("retake",),
    "into": ("connect",),
    "context": ("extend", "extend_backward", "connect", "loop"),
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What every way of asking for a video chooses beside its words and files; None stands for the model's default.

    `at` are the seconds of pictures. A retake replaces what lies between the seconds `start` and `stop`. `size` is
    (width, height). `seconds` is the length, or what is added to a clip; 0 is a picture. `consent` is what the user
    states of the people in files.
    """

    at: tuple[float, ...] = ()
    strength: float | None = None
    context: float | None = None
    start: float | None = None
    stop: float | None = None
    size: tuple[int, int] | None = None
    seconds: float | None = None
    fps: float | None = None
    steps: int | None = None
    guidance: float | None = None
    solver: Literal["euler", "heun"] = "euler"
    negative: str = ""
    draft: bool = False
    consent: str = ""

    @property
    def choices(self) -> dict[str, Any]:
        """The values of these fields by name, to be handed to another class that has them."""
        return {field.name: getattr(self, field.name) for field in fields(Choices)}


@dataclass(frozen=True)
class Inputs:
    """The pictures and clips of a request, and the task that uses them.

    `images` are pictures and their times in seconds. `video` is the clip that the task works on, at the frame rate of
    the request; `into` is the second clip of `connect`. `context` is how many seconds of a clip the model sees (None:
    see `context_frames`). A retake replaces the frames of `span` (start and stop in seconds), the pixels where `mask`
    is true, or their intersection. Raises `UsageError` for inputs of other types and shapes, and for those that do not
    go together.
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
        self._check_types()
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

    def _check_types(self) -> None:
        """Convert every field to its type, or raise a `UsageError` that names it."""
        if self.task is not None:
            as_text("task", self.task)
        _set(self, "images", _timed_pictures(self.images))
        for name in ("video", "into"):
            _convert(self, name, lambda name, value: as_pixels(name, value, "frames, height, width"))
        _convert(self, "strength", as_number)
        _convert(self, "context", as_seconds)
        _convert(self, "span", _span)
        _convert(self, "mask", _mask)
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"strength lies between 0 (keep everything) and 1 (keep nothing), got {self.strength:g}")
        if self.context is not None and self.context < 0:
            raise UsageError(f"context is a number of seconds of at least 0, got {self.context:g}")

    def _one_loop_source(self) -> bool:
        """Whether a loop has at most one source, and a picture stands at its beginning."""
        if self.video is not None:
            return not self.images
        return len(self.images) <= 1 and all(seconds == 0 for seconds, _ in self.images)

    @property
    def keeps_length(self) -> bool:
        """Whether the video has the length of the clip, so that no number of frames is asked for."""
        return self.task in ("edit", "retake", "outpaint")

    @property
    def video_frames(self) -> int:
        """How many frames the clip has that the task works on; 0 without one."""
        return 0 if self.video is None else len(self.video)

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


def _set(instance: Any, name: str, value: Any) -> None:
    """Set a field of a frozen dataclass while it is made."""
    object.__setattr__(instance, name, value)


def _convert(instance: Any, name: str, convert: Callable[[str, Any], Any]) -> None:
    """Convert a field that may be None."""
    value = getattr(instance, name)
    if value is not None:
        _set(instance, name, convert(name, value))


def _timed_pictures(images: Any) -> tuple[tuple[float, Picture], ...]:
    if not isinstance(images, list | tuple):
        raise UsageError(f"images must be a list of (seconds, picture) pairs, got {described(images)}")
    for pair in images:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UsageError(f"image must be a picture, or a list of (seconds, picture) pairs, got {described(pair)}")
    return tuple(
        (as_seconds("the seconds of an image", seconds), as_pixels("image", picture, "height, width"))
        for seconds, picture in images
    )


def _span(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise UsageError(f"span must be a pair of seconds (start, stop), got {described(value)}")
    return as_seconds("the start of the span", value[0]), as_seconds("the stop of the span", value[1])


def _mask(name: str, value: Any) -> Mask:
    if not isinstance(value, np.ndarray) or value.dtype != np.bool_ or value.ndim != 3 or 0 in value.shape:
        raise UsageError(
            f"mask must be a numpy array, bool [frames, height, width], got {described(value)}; "
            "one frame for the whole clip is mask[None], and brightness > 127 makes it of a grey picture"
        )
    return np.ascontiguousarray(value)


@dataclass(frozen=True)
class InputFile:
    """A file that an input was read from: a picture, a clip or a mask."""

    kind: Literal["picture", "clip", "mask"]
    path: Path


@dataclass(frozen=True)
class Request:
    """One video to generate; None stands for the model's default.

    `num_frames` counts the new frames where a clip is extended, connected or looped, else all of them. Height and width
    are in pixels. A `draft` has about the model's own size and a third of the steps. `typed` is what a user typed where
    the prompts were written from it: the policy reads both, and `word_notes` say what became of its words. `files` are
    those that the inputs were read from, and `consent` is what the user states of the people in them. Raises
    `UsageError` for values of other types or out of range.
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
    typed: str = ""
    files: tuple[InputFile, ...] = ()
    consent: str = ""
    word_notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_prompts(self.prompts)
        if not isinstance(self.inputs, Inputs):
            raise UsageError(f"inputs must be an Inputs, got {described(self.inputs)}")
        for name in ("height", "width", "num_frames", "num_steps"):
            _convert(self, name, as_whole)
        for name in ("fps", "guidance_scale"):
            _convert(self, name, as_number)
        if self.num_frames is not None and self.inputs.keeps_length and self.num_frames != self.inputs.video_frames:
            raise UsageError(
                f"the task '{self.inputs.task}' keeps the {self.inputs.video_frames} frames of its video, and "
                f"num_frames asks for {self.num_frames}; leave num_frames out"
            )
        for name in ("height", "width"):
            self._check_range(name, (1, MAX_SIDE), "a frame has {} to {} pixels a side")
        self._check_range("num_frames", (1, MAX_FRAMES), "a video has {} to {} frames")
        for name, limits in (("num_steps", NUM_STEPS), ("fps", FPS), ("guidance_scale", GUIDANCE_SCALES)):
            self._check_range(name, limits, f"{name} must be between {{}} and {{}}")
        if as_text("solver", self.solver) not in SOLVERS:
            raise UsageError(f"unknown solver '{self.solver}'. {suggest(self.solver, SOLVERS)}")
        _set(self, "negative_prompt", composed(as_text("negative_prompt", self.negative_prompt)))
        check_length(self.negative_prompt)
        as_text("typed", self.typed)
        for note in self.word_notes:
            as_text("word_notes", note)
        if len(as_text("consent", self.consent)) > MAX_CONSENT:
            raise UsageError(f"consent is a statement of at most {MAX_CONSENT} characters, got {len(self.consent)}")
        if self.consent and not self.consent.strip():
            raise UsageError("consent is a statement in words, got blanks; leave it out, or say what was agreed to")
        if self.consent and self.inputs.video is None and not self.inputs.images:
            raise UsageError("consent is stated of given pictures and clips, and none is given; leave it out")
        _set(self, "draft", as_flag("draft", self.draft))

    def _check_range(self, name: str, limits: tuple[Number, Number], expected: str) -> None:
        value = getattr(self, name)
        if value is not None and not limits[0] <= value <= limits[1]:
            raise UsageError(f"{expected.format(*limits)}, got {value}")


@dataclass(frozen=True)
class Defaults:
    """What a model generates where the request says nothing; saved with its weights.

    `decoder_noise` is the error of generated latents that the decoder expects, at most that of its training. In the
    order "causal" slices are generated one by one, each from those before it, as the model was trained.
    """

    height: Annotated[int, Range(1, MAX_SIDE)] = 64
    width: Annotated[int, Range(1, MAX_SIDE)] = 96
    num_frames: Annotated[int, Range(1, MAX_FRAMES)] = 17
    fps: Annotated[float, Range(*FPS)] = 8.0
    num_steps: Annotated[int, Range(*NUM_STEPS)] = 30
    guidance_scale: Annotated[float, Range(*GUIDANCE_SCALES)] = 3.0
    decoder_noise: Annotated[float, Range(0, 1, open="high")] = 0.1
    order: Literal["full", "causal"] = "full"

    def enlargement(self, height: int, width: int) -> int:
        """Return how many times a frame is larger than the model's own along each side, rounded; at least 1."""
        return max(1, round(math.sqrt(height * width / (self.height * self.width))))
