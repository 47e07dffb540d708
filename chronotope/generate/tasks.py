"""One function a task: each lays out a canvas, and one sampler fills them all.

Known content comes as `Known`: latents and the slices they cover. Everything between is unknown.
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
    "connect",
    "edit",
    "extend",
    "extend_backward",
    "keyframes",
    "loop",
    "retake",
    "start_unknown_from",
    "text_to_video",
]


@dataclass(frozen=True)
class Frame:
    """The size, frame rate and prompts that a task is laid out for; height and width in pixels."""

    geometry: Geometry
    channels: int
    height: int
    width: int
    fps: float
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class Known:
    """Latents of a clip and the slices they cover."""

    slices: tuple[Slice, ...]
    latents: Float[Tensor, "s c h w"]

    def __post_init__(self) -> None:
        if not self.slices or len(self.slices) != len(self.latents):
            raise UsageError(f"{len(self.slices)} slices need as many latents, got {len(self.latents)}")

    @property
    def stop(self) -> int:
        return self.slices[-1].stop

    def starting_at(self, frame: int) -> Known:
        """Return the same latents with the first slice at `frame`."""
        offset = frame - self.slices[0].start
        return replace(self, slices=tuple(Slice(piece.start + offset, piece.num_frames) for piece in self.slices))


def lay_out(frame: Frame, num_frames: int, known: Sequence[Known], whole_slices: bool = False) -> Canvas:
    """Return a canvas of the known slices with unknown ones in the gaps and up to `num_frames`.

    With `whole_slices` the canvas is lengthened so that it ends with a whole moving slice.
    """
    geometry = frame.geometry
    slices: list[Slice] = []
    places: list[tuple[int, Known]] = []  # the index of the first slice of each clip
    end = 0
    for clip in sorted(known, key=lambda clip: clip.slices[0].start):
        first = clip.slices[0].start
        if first < end:
            raise UsageError(f"two inputs share frame {first}, at {first / frame.fps:g} s; give them other times")
        if first > end:
            slices += geometry.slices(first - end, end)
        places.append((len(slices), clip))
        slices += clip.slices
        end = clip.stop
    if end < num_frames:
        gap = geometry.lead_and_slices(0, num_frames - end) if whole_slices else geometry.slices(num_frames - end)
        slices += (Slice(end + piece.start, piece.num_frames) for piece in gap)
    canvas = Canvas.unknown(
        geometry, frame.channels, tuple(slices), frame.height, frame.width, frame.fps, frame.prompts
    )
    if not known:
        return canvas
    latents, level = canvas.known.clone(), canvas.level.clone()
    for index, clip in places:
        latents[index : index + len(clip.slices)] = clip.latents
        level[index : index + len(clip.slices)] = 0.0
    return replace(canvas, known=latents, level=level)


def text_to_video(frame: Frame, num_frames: int) -> Canvas:
    """Unknown slices only; one frame is a picture."""
    return lay_out(frame, num_frames, ())


def keyframes(frame: Frame, pictures: Sequence[tuple[int, Float[Tensor, "1 c h w"]]], num_frames: int) -> Canvas:
    """Known stills at their frames, unknown slices between them and up to the end, which is a whole slice."""
    if num_frames < 2:
        raise UsageError(
            f"a video from a picture needs at least two frames, {2 / frame.fps:g} s, got {num_frames}; "
            "give more --seconds"
        )
    late = [index for index, _ in pictures if not 0 <= index < num_frames]
    if late:
        raise UsageError(
            f"a picture stands at {late[0] / frame.fps:g} s (frame {late[0]}), but the video has "
            f"{num_frames / frame.fps:g} s ({num_frames} frames); give it an earlier time, or more --seconds"
        )
    known = [Known((Slice(index, 1),), picture) for index, picture in pictures]
    return lay_out(frame, num_frames, known, whole_slices=True)


def extend(frame: Frame, past: Known, num_new: int) -> Canvas:
    """The known past, then `num_new` unknown frames, rounded up to whole slices."""
    past = past.starting_at(0)
    return lay_out(frame, past.stop + num_new, [past], whole_slices=True)


def extend_backward(frame: Frame, future: Known, num_new: int) -> Canvas:
    """`num_new` unknown frames, rounded up to whole slices, then the known future."""
    lead = num_frames_of(frame.geometry.lead_and_slices(0, num_new))
    return lay_out(frame, 0, [future.starting_at(lead)])


def connect(frame: Frame, before: Known, after: Known, num_between: int) -> Canvas:
    """The known end of one clip, `num_between` unknown frames in whole slices, the known beginning of another."""
    before = before.starting_at(0)
    between = num_frames_of(frame.geometry.lead_and_slices(0, num_between))
    return lay_out(frame, 0, [before, after.starting_at(before.stop + between)])


def start_unknown_from(canvas: Canvas, latents: Float[Tensor, "u c h w"], strength: float) -> Canvas:
    """Start every unknown slice from one of these latents, in order, with noise of level `strength` on it."""
    _check_strength(strength)
    unknown = canvas.level.flatten(1).amin(dim=1) == 1
    known, level = canvas.known.clone(), canvas.level.clone()
    known[unknown], level[unknown] = latents, strength
    return replace(canvas, known=known, level=level)


def loop(frame: Frame, num_frames: int) -> Canvas:
    """Unknown moving slices on a cycle, so many that they have at least `num_frames`."""
    slices = frame.geometry.lead_and_slices(0, num_frames)
    canvas = Canvas.unknown(frame.geometry, frame.channels, slices, frame.height, frame.width, frame.fps, frame.prompts)
    return replace(canvas, cycle=True)


def edit(frame: Frame, clip: Known, strength: float) -> Canvas:
    """The whole clip again from noise of level `strength` (SDEdit, Meng et al. 2022, arXiv 2108.01073)."""
    _check_strength(strength)
    canvas = lay_out(frame, 0, [clip.starting_at(0)])
    return replace(canvas, level=torch.full_like(canvas.level, strength))


def retake(frame: Frame, clip: Known, replaced: Bool[Tensor, "s rows columns"], strength: float = 1.0) -> Canvas:
    """The clip with the `replaced` tokens generated again: a span of time, a region, or what surrounds it."""
    canvas = edit(frame, clip, strength)
    if replaced.shape != canvas.level.shape:
        raise UsageError(
            f"the mask covers {tuple(replaced.shape)} slices, rows and columns of tokens, "
            f"the clip {tuple(canvas.level.shape)}"
        )
    return replace(canvas, level=canvas.level * replaced)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(f"strength lies between 0 (keep everything) and 1 (keep nothing), got {strength}")
