"""What is given beside words - pictures, clips, masks - becomes a canvas: fitted to the frame, encoded, laid out by its task.

`encode(frames, slices)` gives latents. What comes back is a `Plan`: the canvas, what was done to the inputs in words, and the
pixels that are already known, so that a clip comes back as it was wherever nothing was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate import tasks
from chronotope.generate.canvas import Canvas
from chronotope.generate.tasks import Frame, Known
from chronotope.geometry import AnyFrames, Picture, Slice
from chronotope.media.picture import fit
from chronotope.request import Inputs, Mask

__all__ = ["Encode", "Plan", "plan"]

Encode = Callable[[AnyFrames, Sequence[Slice]], Tensor]


@dataclass(frozen=True)
class Plan:
    """A canvas and what surrounds it.

    `pixels` are frames for the whole canvas, put back wherever tokens are given; `before` and `after` are frames of the clip that
    lie outside the canvas; `repeated` frames at the canvas's end are those at its beginning and not shown again.
    """

    task: str
    canvas: Canvas
    notes: tuple[str, ...] = ()
    pixels: AnyFrames | None = None
    before: AnyFrames | None = None
    after: AnyFrames | None = None
    repeated: int = 0

    @property
    def num_frames(self) -> int:
        """Frames of the finished video."""
        around = sum(len(part) for part in (self.before, self.after) if part is not None)
        return self.canvas.slices[-1].stop - self.repeated + around

    def finish(self, decoded: Iterable[AnyFrames], cell: tuple[int, int]) -> Iterator[AnyFrames]:
        """The decoded frames of one slice after another, with the given ones in their place and around them."""
        if self.before is not None and len(self.before):
            yield self.before
        shown = self.canvas.slices[-1].stop - self.repeated
        for piece, given, frames in zip(self.canvas.slices, self.canvas.given.numpy(), decoded, strict=True):
            if self.pixels is not None:
                kept = given.repeat(cell[0], axis=0).repeat(cell[1], axis=1)[: frames.shape[1], : frames.shape[2], None]
                frames = np.where(kept, self.pixels[piece.start : piece.stop], frames)
            if piece.start < shown:
                yield frames[: shown - piece.start]
        if self.after is not None and len(self.after):
            yield self.after


def plan(encode: Encode, frame: Frame, given: Inputs, num_frames: int, at_once: int) -> Plan:
    """The canvas of a request; `num_frames` counts new frames where a clip goes on, connects or loops, else all of them.

    `at_once` is how many frames the model is used to see.
    """
    context = given.context_frames(frame.fps, at_once)
    video = given.video
    match given.task:
        case "extend" | "extend_backward" if video is not None:
            return extension(encode, frame, video, num_frames, context, given.task == "extend_backward")
        case "connect" if video is not None and given.into is not None:
            return connection(
                encode, frame, video, given.into, num_frames, context, 0.4 if given.strength is None else given.strength
            )
        case "edit" if video is not None:
            return edited(encode, frame, video, 0.6 if given.strength is None else given.strength)
        case "retake" if video is not None:
            return remade(
                encode, frame, video, given.span, given.mask, 1.0 if given.strength is None else given.strength
            )
        case "outpaint" if video is not None:
            return outpainted(encode, frame, video)
        case "loop":
            picture = given.images[0][1][None] if given.images else None
            return looped(encode, frame, picture if video is None else video, num_frames, context)
    return pictures(encode, frame, given.images, num_frames) if given.images else words(frame, num_frames)


def words(frame: Frame, num_frames: int) -> Plan:
    """Nothing but words."""
    return Plan("text to picture" if num_frames == 1 else "text to video", tasks.text_to_video(frame, num_frames))


def pictures(encode: Encode, frame: Frame, given: Sequence[tuple[float, Picture]], num_frames: int) -> Plan:
    """Pictures at their seconds; one at 0 is animated."""
    notes: list[str] = []
    known = []
    for seconds, picture in given:
        pixels = _fitted(picture[None], frame, notes)
        known.append((round(seconds * frame.fps), encode(pixels, [Slice(0, 1)])))
    canvas = tasks.keyframes(frame, known, num_frames)
    total = canvas.slices[-1].stop
    if total != num_frames:
        notes.append(
            f"{total} frames instead of {num_frames}, so as to end with a whole slice of {frame.geometry.stride[0]}"
        )
    return Plan("animate a picture" if len(given) == 1 else "keyframes", canvas, tuple(notes))


def extension(encode: Encode, frame: Frame, clip: AnyFrames, num_new: int, context: int, backward: bool) -> Plan:
    """The clip and what comes next; or, backward, what came before and the clip. `context` frames of it are remembered."""
    notes: list[str] = []
    clip = _fitted(clip, frame, notes)
    context = _context(frame, len(clip), context, notes)
    near, far = (
        (clip[:context], clip[context:]) if backward else (clip[len(clip) - context :], clip[: len(clip) - context])
    )
    known = _known(encode, frame, near)
    canvas = (
        tasks.extend_backward(frame, known, num_new)
        if backward
        else tasks.extend(_later(frame, context), known, num_new)
    )
    made = canvas.slices[-1].stop - context
    notes += _rounded(frame, made, num_new)
    pixels = _around(canvas, [near], [made if backward else 0])
    task = "extend backward" if backward else "extend"
    return Plan(task, canvas, tuple(notes), pixels, None if backward else far, far if backward else None)


def connection(
    encode: Encode, frame: Frame, before: AnyFrames, after: AnyFrames, num_between: int, context: int, strength: float
) -> Plan:
    """From one clip into another: all of the first, `num_between` new frames, all of the second.

    The way is made from noise of level `strength` over a dissolve from the last frame of the one to the first of the other.
    """
    notes: list[str] = []
    first, second = (_fitted(clip, frame, notes) for clip in (before, after))
    for clip, which in ((first, "the first"), (second, "the second")):
        if len(clip) == 1:
            raise UsageError(
                f"{which} of the clips to connect is a picture; give videos, or pictures as keyframes (--image with --at)"
            )
    count, other = (_context(frame, len(clip), context, notes) for clip in (first, second))
    tail, head = first[len(first) - count :], second[:other]
    canvas = tasks.connect(_later(frame, count), _known(encode, frame, tail), _known(encode, frame, head), num_between)
    made = canvas.slices[-1].stop - count - other
    notes += _rounded(frame, made, num_between)
    way = dissolve(tail[-1], head[0], made)
    canvas = tasks.blend(canvas, encode(way, frame.geometry.slices(made)), strength)
    pixels = np.concatenate([tail, way, head])
    return Plan("connect", canvas, tuple(notes), pixels, first[: len(first) - count], second[other:])


def dissolve(first: Picture, last: Picture, num_frames: int) -> AnyFrames:
    """From one picture to another in equal steps, both left out."""
    way = np.empty((num_frames, *first.shape), np.uint8)
    for number in range(num_frames):
        share = np.float32(number + 1) / (num_frames + 1)
        way[number] = (first * (1 - share) + last * share).round()
    return way


def looped(encode: Encode, frame: Frame, clip: AnyFrames | None, num_frames: int, context: int) -> Plan:
    """From words: a circle. From a clip: the clip, and a way from its end back to its beginning. From a picture: there and back to it."""
    if clip is None:
        canvas = tasks.loop(frame, num_frames)
        if len(frame.prompts) > 1:
            raise UsageError(
                "a loop has no beginning from which a story could count; give one prompt, or a clip to close"
            )
        return Plan("loop", canvas, tuple(_rounded(frame, canvas.slices[-1].stop, num_frames)))
    notes: list[str] = []
    clip = _fitted(clip, frame, notes)
    if len(clip) == 1:
        encoded = encode(clip, [Slice(0, 1)])
        length = frame.geometry.stride[0]
        last = max(1, -(-(num_frames - 1) // length)) * length + 1
        notes += _rounded(frame, last, num_frames)
        return Plan("loop", tasks.keyframes(frame, [(0, encoded), (last, encoded)], last + 1), tuple(notes), repeated=1)
    count = _context(frame, len(clip) // 2, context, notes)
    tail, head = clip[len(clip) - count :], clip[:count]
    canvas = tasks.connect(_later(frame, count), _known(encode, frame, tail), _known(encode, frame, head), num_frames)
    made = canvas.slices[-1].stop - 2 * count
    notes += _rounded(frame, made, num_frames)
    pixels = _around(canvas, [tail, head], [0, count + made])
    return Plan("loop", canvas, tuple(notes), pixels, clip[: len(clip) - count], repeated=count)


def edited(encode: Encode, frame: Frame, clip: AnyFrames, strength: float) -> Plan:
    """The clip again, from noise of this level."""
    notes: list[str] = []
    clip = _fitted(clip, frame, notes)
    canvas = tasks.edit(frame, _known(encode, frame, clip), strength)
    return Plan("edit", canvas, tuple(notes), clip)


def remade(
    encode: Encode, frame: Frame, clip: AnyFrames, span: tuple[float, float] | None, mask: Mask | None, strength: float
) -> Plan:
    """The clip with a stretch of time (in seconds) made again, or what a mask covers, or both together."""
    notes: list[str] = []
    fitted = _fitted(clip, frame, notes)
    known = _known(encode, frame, fitted)
    rows, columns = frame.geometry.token_grid(frame.height, frame.width)
    again = torch.ones(len(known.slices), rows, columns, dtype=torch.bool)
    if span is not None:
        start, stop = span
        if start >= len(fitted) / frame.fps:
            raise UsageError(
                f"the clip has {len(fitted) / frame.fps:g} s, so nothing of it lies after {start:g} s; begin before its end, or extend it"
            )
        if not 0 <= start < stop:
            raise UsageError(f"a stretch begins at 0 s or later and ends after it begins, got {start:g} to {stop:g} s")
        inside = [piece.start < stop * frame.fps and piece.stop > start * frame.fps for piece in known.slices]
        again &= torch.tensor(inside)[:, None, None]
        begin, end = (known.slices[i].start for i in (inside.index(True), len(inside) - 1 - inside[::-1].index(True)))
        end += known.slices[len(inside) - 1 - inside[::-1].index(True)].num_frames
        if round(stop * frame.fps) > len(fitted):
            notes.append(
                f"the clip ends at {len(fitted) / frame.fps:g} s, before {stop:g} s: made again to its end, and not made longer"
            )
        if (begin, end) != (round(start * frame.fps), min(len(fitted), round(stop * frame.fps))):
            notes.append(f"made again from {begin / frame.fps:g} s to {end / frame.fps:g} s: whole slices")
    if mask is not None:
        again &= masked_tokens(frame, known.slices, mask, clip.shape[1:3])
        if not again.any():
            raise UsageError("the mask covers nothing of what is to be made again; white is made again, black is kept")
    return Plan(
        "retake" if mask is None else "inpaint", tasks.retake(frame, known, again, strength), tuple(notes), fitted
    )


def masked_tokens(
    frame: Frame, slices: Sequence[Slice], mask: Mask, size: tuple[int, int]
) -> Bool[Tensor, "s rows columns"]:
    """The tokens of which the mask covers any pixel in any frame; one mask frame serves all, otherwise there is one a frame."""
    if mask.shape[1:] != size:
        raise UsageError(
            f"the mask is {mask.shape[2]}x{mask.shape[1]} and the clip {size[1]}x{size[0]}; make it the clip's size"
        )
    total = slices[-1].stop
    if len(mask) not in (1, total):
        raise UsageError(
            f"the mask has {len(mask)} frames and the clip {total}; give one frame, or as many as the clip"
        )
    as_pixels = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=3)
    bright: np.ndarray = fit(as_pixels, frame.height, frame.width)[0][..., 0]
    fitted = np.broadcast_to(np.greater_equal(bright, 128), (total, frame.height, frame.width))
    (tall, wide), (rows, columns) = frame.geometry.cell, frame.geometry.token_grid(frame.height, frame.width)
    whole = np.pad(fitted, ((0, 0), (0, rows * tall - frame.height), (0, columns * wide - frame.width)))
    cells = torch.from_numpy(whole.reshape(total, rows, tall, columns, wide)).amax(dim=(2, 4))
    return torch.stack([cells[piece.start : piece.stop].any(dim=0) for piece in slices])


def outpainted(encode: Encode, frame: Frame, clip: AnyFrames) -> Plan:
    """The clip in the middle of a larger frame; around it everything is new."""
    height, width = clip.shape[1:3]
    if height > frame.height or width > frame.width:
        raise UsageError(
            f"the clip is {width}x{height}, larger than {frame.width}x{frame.height}; give a larger --size to paint around it"
        )
    (tall, wide), (rows, columns) = frame.geometry.cell, frame.geometry.token_grid(frame.height, frame.width)
    top, left = (frame.height - height) // 2 // tall * tall, (frame.width - width) // 2 // wide * wide
    around = ((0, 0), (top, frame.height - height - top), (left, frame.width - width - left), (0, 0))
    pixels = np.pad(clip, around, mode="edge")
    known = _known(encode, frame, pixels)
    again = torch.ones(len(known.slices), rows, columns, dtype=torch.bool)
    again[:, -(-top // tall) : (top + height) // tall, -(-left // wide) : (left + width) // wide] = False
    if bool(again.all()):
        raise UsageError(f"a clip of {width}x{height} covers no whole token of {wide}x{tall}; give a larger clip")
    return Plan("outpaint", tasks.retake(frame, known, again), (), pixels)


def _fitted(frames: AnyFrames, frame: Frame, notes: list[str]) -> AnyFrames:
    fitted, what = fit(frames, frame.height, frame.width)
    if frames.shape[1:3] != (frame.height, frame.width):
        notes.append(what)
    return fitted


def _known(encode: Encode, frame: Frame, frames: AnyFrames) -> Known:
    slices = frame.geometry.slices(len(frames))
    return Known(slices, encode(frames, slices))


def _later(frame: Frame, frames: int) -> Frame:
    """A frame whose stories count from where the new part begins; what is said first holds from the start."""
    later = (
        replace(prompt, seconds=prompt.seconds + frames / frame.fps) if prompt.seconds else prompt
        for prompt in frame.prompts
    )
    return replace(frame, prompts=tuple(later))


def _rounded(frame: Frame, made: int, wanted: int) -> list[str]:
    """What is said where whole slices make it longer."""
    return [] if made == wanted else [f"{made} frames instead of {wanted}: whole slices of {frame.geometry.stride[0]}"]


def _context(frame: Frame, have: int, wanted: int, notes: list[str]) -> int:
    """How many frames are remembered: whole slices where there are any, and no more than the clip has."""
    if wanted < 1:
        raise UsageError("nothing of the clip would be remembered; give more --context")
    length = frame.geometry.stride[0]
    used = min(-(-wanted // length) * length, max(1, have // length * length) if have >= length else have)
    if used < wanted:
        notes.append(f"the clip gives {used} frames of context instead of {wanted}")
    return used


def _around(canvas: Canvas, parts: Sequence[np.ndarray], starts: Sequence[int]) -> AnyFrames:
    """The given parts at their frames of the canvas; what is not given is black and never shown."""
    total, (height, width) = canvas.slices[-1].stop, parts[0].shape[1:3]
    pixels = np.zeros((total, height, width, 3), np.uint8)
    for part, start in zip(parts, starts, strict=True):
        pixels[start : start + len(part)] = part
    return pixels
