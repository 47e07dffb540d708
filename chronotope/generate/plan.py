"""A request and a model's defaults -> a plan: every number resolved, the canvas laid out. No network is used."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.generate.canvas import Canvas
from chronotope.generate.layout import Layout, lay_out_inputs
from chronotope.generate.rollout import Span, Window, goes_forward, guidance_scales, spans
from chronotope.generate.sampler import Sampling
from chronotope.generate.tasks import Frame
from chronotope.geometry import MAX_FRAMES, Geometry
from chronotope.request import Defaults, Request

__all__ = ["Plan", "Shape", "make_plan", "shape_of"]

DRAFT_STEPS = 3  # a draft takes a third of the steps
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """Everything that decides a video except the model and the seed.

    `num_new` is the number of frames that the request asks for, see `Request`. `windows` are generated in this order,
    each with its guidance scale in `scales`, and see earlier ones with noise of level `history`. `notes` say what will
    differ from the request, `policy` what was decided of its texts, `student` whether the model's student samples.
    """

    request: Request
    layout: Layout
    sampling: Sampling
    num_new: int
    windows: tuple[Span, ...]
    history: float
    scales: tuple[float, ...]
    notes: tuple[str, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)
    student: bool = False

    @property
    def canvas(self) -> Canvas:
        return self.layout.canvas

    @property
    def num_frames(self) -> int:
        """Frames of the finished video."""
        return self.layout.num_frames

    @property
    def window_slices(self) -> int:
        """Slices of the largest window."""
        return max((span.stop - span.first for span in self.windows), default=0)

    @property
    def kind(self) -> Hashable:
        """What plans have in common that one pass of the network can sample; None for a plan that is sampled alone."""
        canvas = self.canvas
        if len(self.windows) != 1 or self.window_slices < len(canvas.slices):
            return None
        scaled = replace(self.sampling, guidance=replace(self.sampling.guidance, scale=self.scales[0]))
        return canvas.slices, canvas.height, canvas.width, canvas.fps, canvas.cycle, canvas.order, scaled, self.student

    def settings(self) -> dict[str, Any]:
        """Return the settings that are written into a file's tags; of pictures and masks only their times."""
        inputs, beats = self.request.inputs, [[prompt.seconds, prompt.text] for prompt in self.request.prompts]
        optional: dict[str, Any] = {
            "at": [seconds for seconds, _ in inputs.images],
            # the second of the video from which the times of a story count, where that is not its beginning
            "story_from": (self.layout.story_from / self.canvas.fps or None) if len(beats) > 1 else None,
            "strength": inputs.strength,
            "context": inputs.context,
            "span": None if inputs.span is None else list(inputs.span),
            "masked": inputs.mask is not None or None,
            "draft": self.request.draft or None,
        }
        return {
            "prompt": beats[0][1] if len(beats) == 1 and beats[0][0] == 0 else beats,
            "negative_prompt": self.sampling.negative_prompt,
            "num_steps": self.sampling.num_steps,
            "guidance_scale": self.sampling.guidance.scale,
            "solver": self.sampling.solver,
            "width": self.canvas.width,
            "height": self.canvas.height,
            "fps": self.canvas.fps,
            **{name: value for name, value in optional.items() if value is not None and value != []},
        }


@dataclass(frozen=True)
class Shape:
    """The numbers of a video: those of the request, or the model's; `on_canvas` counts new frames and their context."""

    height: int
    width: int
    num_frames: int
    fps: float
    num_steps: int
    on_canvas: int
    window: Window


def shape_of(request: Request, defaults: Defaults, geometry: Geometry) -> Shape:
    """Resolve the numbers of a request, before anything is laid out; raises `UsageError` if they are impossible."""
    height = _resolve(request.height, defaults.height)
    width = _resolve(request.width, defaults.width)
    num_frames = _resolve(request.num_frames, defaults.num_frames)
    fps = _resolve(request.fps, defaults.fps)
    num_steps = _resolve(request.num_steps, defaults.num_steps)
    if request.draft:
        num_steps = max(1, -(-num_steps // DRAFT_STEPS))
        # Outpainting needs a frame larger than its clip, so only its steps are reduced.
        shrink = 1 if request.inputs.task == "outpaint" else defaults.enlargement(height, width)
        height, width = -(-height // shrink), -(-width // shrink)
    window = _window(defaults, geometry)
    on_canvas = request.inputs.canvas_frames(num_frames, fps, window.frames)
    if on_canvas > MAX_FRAMES:
        raise UsageError(f"a video has 1 to {MAX_FRAMES} frames, got {on_canvas}")
    return Shape(height, width, num_frames, fps, num_steps, on_canvas, window)


def make_plan(request: Request, defaults: Defaults, geometry: Geometry, channels: int) -> Plan:
    """Resolve a request and lay it out, for latents of so many `channels`; raises `UsageError` if it is impossible."""
    shape = shape_of(request, defaults, geometry)
    height, width, num_frames, fps, window = shape.height, shape.width, shape.num_frames, shape.fps, shape.window
    guidance = Guidance(_resolve(request.guidance_scale, defaults.guidance_scale))
    if request.negative_prompt and guidance.scale == 1:
        raise UsageError(
            "the negative prompt has no effect at guidance 1, which is no guidance; give more guidance, or leave it out"
        )
    enlargement = defaults.enlargement(height, width)
    sampling = Sampling(shape.num_steps, request.solver, guidance, request.negative_prompt, enlargement)
    # The first prompt holds from the beginning, whatever its time.
    prompts = (replace(request.prompts[0], seconds=0.0), *request.prompts[1:])
    frame = Frame(geometry, channels, height, width, fps, prompts)
    layout = lay_out_inputs(frame, request.inputs, num_frames, window.frames)
    length = request.inputs.video_frames if request.inputs.keeps_length else num_frames
    if late := [prompt.seconds for prompt in prompts if round(prompt.seconds * fps, 6) >= max(1, length)]:
        raise UsageError(
            f"the story goes on at {late[0]:g} s, after the end of {length / fps:g} s; give more frames or less story"
        )
    windows = tuple(spans(layout.canvas, window))
    if window.order == "causal" and goes_forward(layout.canvas):
        layout = replace(layout, canvas=replace(layout.canvas, order="causal"))
    scales = tuple(
        guidance_scales(layout.canvas, windows, guidance.scale, window.guidance, bool(request.negative_prompt))
    )
    notes = (
        *_frame_notes(frame, request),
        *_kept_notes(layout.task, windows),
        *layout.notes,
        *_guidance_notes(scales, guidance.scale, defaults.guidance_scale),
    )
    return Plan(request, layout, sampling, num_frames, windows, window.history, scales, notes)


def _resolve(value: T | None, default: T) -> T:
    return default if value is None else value


def _window(defaults: Defaults, geometry: Geometry) -> Window:
    """Return the window of a model: the length it was trained for, a quarter of it past."""
    length = geometry.stride[0]
    frames = max(2 * length, defaults.num_frames)
    window = Window(frames, context=max(1, frames // length // 4))
    return replace(window, history=0.0, order="causal") if defaults.order == "causal" else window


def _frame_notes(frame: Frame, request: Request) -> list[str]:
    """Say where the size or the beginning of the story is not exactly as requested."""
    notes = []
    covered_height, covered_width = frame.geometry.covered_size(frame.height, frame.width)
    if (covered_height, covered_width) != (frame.height, frame.width):
        cell_height, cell_width = frame.geometry.cell
        notes.append(
            f"generated at {covered_width}x{covered_height} and cut to {frame.width}x{frame.height}, "
            f"because tokens cover {cell_width}x{cell_height} pixels"
        )
    if begin := request.prompts[0].seconds:
        notes.append(f"the story has no prompt before {begin:g} s, so its first prompt holds from the beginning")
    return notes


def _kept_notes(task: str, windows: tuple[Span, ...]) -> list[str]:
    """Say where nothing is generated, and so no word of the prompt can be followed."""
    if windows:
        return []
    return [f"nothing is generated and the prompt has no effect: the task '{task}' keeps all that is given"]


def _guidance_notes(scales: tuple[float, ...], scale: float, default: float) -> list[str]:
    """Say where an explicit guidance scale is reduced, or leaves out the prompt; the default is without a note."""
    reduced = sorted({other for other in scales[1:] if other != scale})
    if scale == default:
        return []
    if scale == 0:
        return ["guidance 0 leaves out the prompt; 1 follows it without guidance"]
    if not reduced:
        return []
    shown = " or ".join(f"{other:g}" for other in reduced)
    return [
        f"windows that continue generated content use guidance {shown} instead of {scale:g}, "
        "because its colour shifts would add up"
    ]
