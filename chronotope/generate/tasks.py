"""A function a task: each lays out a canvas, and one sampler fills them all.

What is given comes as `Known`: latents and the slices they cover, in frames of the video that is to be. What lies between is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.geometry import Geometry, Slice, num_frames_of
from chronotope.prompt import Prompt

__all__ = [
    "Frame",
    "Known",
    "blend",
    "connect",
    "edit",
    "extend",
    "extend_backward",
    "keyframes",
    "loop",
    "retake",
    "text_to_video",
]


@dataclass(frozen=True)
class Frame:
    """The size, rate and words that a task is laid out for; height and width in pixels."""

    geometry: Geometry
    channels: int
    height: int
    width: int
    fps: float
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class Known:
    """Encoded slices and where they stand."""

    slices: tuple[Slice, ...]
    latents: Float[Tensor, "s c h w"]

    def __post_init__(self) -> None:
        if not self.slices or len(self.slices) != len(self.latents):
            raise UsageError(f"{len(self.slices)} slices and {len(self.latents)} latents do not belong together")

    @property
    def stop(self) -> int:
        return self.slices[-1].stop

    def moved(self, frames: int) -> Known:
        """The same, so many frames later."""
        return replace(self, slices=tuple(Slice(piece.start + frames, piece.num_frames) for piece in self.slices))


def lay_out(frame: Frame, num_frames: int, given: Sequence[Known], whole_slices: bool = False) -> Canvas:
    """Unknown slices wherever nothing is given; with `whole_slices` the video may become longer so as to end with a whole slice."""
    geometry = frame.geometry
    slices: list[Slice] = []
    owner: list[tuple[Known, int] | None] = []
    at = 0
    for known in sorted(given, key=lambda known: known.slices[0].start):
        first = known.slices[0].start
        if first < at:
            raise UsageError(f"two given pieces share frame {first}, at {first / frame.fps:g} s; give them other times")
        if first > at:
            gap = geometry.slices(first - at, at)
            slices, owner = [*slices, *gap], [*owner, *[None] * len(gap)]
        slices, owner = [*slices, *known.slices], [*owner, *((known, i) for i in range(len(known.slices)))]
        at = known.stop
    if at < num_frames:
        gap = geometry.lead_and_slices(0, num_frames - at) if whole_slices else geometry.slices(num_frames - at)
        gap = tuple(Slice(at + piece.start, piece.num_frames) for piece in gap)
        slices, owner = [*slices, *gap], [*owner, *[None] * len(gap)]
    canvas = Canvas.unknown(
        geometry, frame.channels, tuple(slices), frame.height, frame.width, frame.fps, frame.prompts
    )
    if not given:
        return canvas
    latents, level = canvas.known.clone(), canvas.level.clone()
    for index, place in enumerate(owner):
        if place is not None:
            latents[index], level[index] = place[0].latents[place[1]], 0.0
    return replace(canvas, known=latents, level=level)


def text_to_video(frame: Frame, num_frames: int) -> Canvas:
    """All unknown; one frame is a picture."""
    return lay_out(frame, num_frames, ())


def keyframes(frame: Frame, pictures: Sequence[tuple[int, Float[Tensor, "1 c h w"]]], num_frames: int) -> Canvas:
    """Known stills at their frames, one of them at 0 when a picture is animated; ends with a whole slice."""
    if num_frames < 2:
        raise UsageError(
            f"animating a picture needs at least two frames, {2 / frame.fps:g} s, and {num_frames} was asked for; give more --seconds"
        )
    late = [index for index, _ in pictures if not 0 <= index < num_frames]
    if late:
        raise UsageError(
            f"a picture stands at {late[0] / frame.fps:g} s (frame {late[0]}), but the video has {num_frames / frame.fps:g} s "
            f"({num_frames} frames); give it an earlier time, or more --seconds"
        )
    return lay_out(
        frame, num_frames, [Known((Slice(index, 1),), picture) for index, picture in pictures], whole_slices=True
    )


def extend(frame: Frame, past: Known, num_new: int) -> Canvas:
    """What was, then `num_new` frames of what comes."""
    past = past.moved(-past.slices[0].start)
    return lay_out(frame, past.stop + num_new, [past], whole_slices=True)


def extend_backward(frame: Frame, future: Known, num_new: int) -> Canvas:
    """`num_new` frames (whole slices) of what came before, then what is. Several seeds give several pasts with one ending."""
    lead = num_frames_of(frame.geometry.lead_and_slices(0, num_new))
    return lay_out(frame, 0, [future.moved(lead - future.slices[0].start)])


def connect(frame: Frame, before: Known, after: Known, num_between: int) -> Canvas:
    """The end of one clip, `num_between` unknown frames (whole slices), the beginning of another."""
    before = before.moved(-before.slices[0].start)
    between = num_frames_of(frame.geometry.lead_and_slices(0, num_between))
    return lay_out(frame, 0, [before, after.moved(before.stop + between - after.slices[0].start)])


def blend(canvas: Canvas, gist: Float[Tensor, "u c h w"], strength: float) -> Canvas:
    """Every unknown slice from noise of level `strength` over a gist of it, in their order; at 1 the gist does not matter."""
    _check_strength(strength)
    unknown = canvas.level.flatten(1).amin(dim=1) == 1
    known, level = canvas.known.clone(), canvas.level.clone()
    known[unknown], level[unknown] = gist, strength
    return replace(canvas, known=known, level=level)


def loop(frame: Frame, num_frames: int) -> Canvas:
    """All unknown, on a circle; whole slices only."""
    slices = frame.geometry.lead_and_slices(0, num_frames)
    canvas = Canvas.unknown(frame.geometry, frame.channels, slices, frame.height, frame.width, frame.fps, frame.prompts)
    return replace(canvas, cycle=True)


def edit(frame: Frame, clip: Known, strength: float) -> Canvas:
    """Everything known, and everything from noise of level `strength` again (SDEdit, Meng et al. 2022, arXiv 2108.01073)."""
    _check_strength(strength)
    canvas = lay_out(frame, 0, [clip.moved(-clip.slices[0].start)])
    return replace(canvas, level=torch.full_like(canvas.level, strength))


def retake(frame: Frame, clip: Known, again: Bool[Tensor, "s rows columns"], strength: float = 1.0) -> Canvas:
    """The clip with some tokens made again: a stretch of time, a region, or what lies around it."""
    canvas = edit(frame, clip, strength)
    if again.shape != canvas.level.shape:
        raise UsageError(
            f"the mask covers {tuple(again.shape)} slices, rows and columns of tokens, the clip {tuple(canvas.level.shape)}"
        )
    return replace(canvas, level=canvas.level * again)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(f"strength lies between 0 (keep everything) and 1 (keep nothing), got {strength}")
