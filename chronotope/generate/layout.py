"""Fit pictures, clips and masks to the frame and lay them out by the task; choose which frames of
a clip are context.
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
from chronotope.generate.memory import available_bytes
from chronotope.generate.tasks import Frame, Known
from chronotope.geometry import AnyFrames, Picture, Slice
from chronotope.media.picture import fit
from chronotope.request import Inputs, Mask

__all__ = ["Encode", "Layout", "dissolve", "lay_out_inputs"]

Encode = Callable[[AnyFrames, Sequence[Slice]], Tensor]
MAX_RESIZED_SIDE = 32_767  # of OpenCV
CONNECT_STRENGTH, EDIT_STRENGTH, RETAKE_STRENGTH = 0.4, 0.9, 1.0  # where the request gives none


@dataclass(frozen=True)
class Layout:
    """A canvas and the pixels around it.

    `sources` are clips and the frame of the canvas at which each begins; their latents are missing until `encoded`.
    `pixels` are frames for the whole canvas, shown wherever tokens are fixed. `before` and `after` are frames of the
    clip outside the canvas. The last `repeated` frames of the canvas equal its first ones and are not shown again. The
    times of a story count from frame `story_from` of the finished video.
    """

    task: str
    canvas: Canvas
    notes: tuple[str, ...] = ()
    sources: tuple[tuple[int, AnyFrames], ...] = ()
    pixels: AnyFrames | None = None
    before: AnyFrames | None = None
    after: AnyFrames | None = None
    repeated: int = 0
    story_from: int = 0

    @property
    def num_frames(self) -> int:
        """Frames of the finished video."""
        around = sum(len(part) for part in (self.before, self.after) if part is not None)
        return self.canvas.num_frames - self.repeated + around

    @property
    def new_frames(self) -> Bool[np.ndarray, " t"]:
        """Which frames of the finished video were not given as they are."""
        lengths = [piece.num_frames for piece in self.canvas.slices]
        new = np.repeat(~self.canvas.fixed.numpy().all(axis=(1, 2)), lengths)
        before, after = (0 if part is None else len(part) for part in (self.before, self.after))
        return np.pad(new[: self.canvas.num_frames - self.repeated], (before, after))

    def encoded(self, encode: Encode) -> Layout:
        """Return the layout with the latents of every source on its canvas."""
        if not self.sources:
            return self
        known = self.canvas.known.clone()
        starts = [piece.start for piece in self.canvas.slices]
        for start, frames in self.sources:
            first = starts.index(start)
            stop = first
            while stop < len(starts) and starts[stop] < start + len(frames):
                stop += 1
            pieces = self.canvas.slices[first:stop]
            known[first:stop] = encode(frames, [Slice(piece.start - start, piece.num_frames) for piece in pieces])
        return replace(self, canvas=replace(self.canvas, known=known))

    def finish(self, decoded: Iterable[AnyFrames], cell: tuple[int, int]) -> Iterator[AnyFrames]:
        """Yield the decoded frames of one slice after another, with fixed pixels and the rest of the clip inserted."""
        if self.before is not None and len(self.before):
            yield self.before
        shown = self.canvas.num_frames - self.repeated
        for piece, fixed, frames in zip(self.canvas.slices, self.canvas.fixed.numpy(), decoded, strict=True):
            if self.pixels is not None:
                kept = fixed.repeat(cell[0], axis=0).repeat(cell[1], axis=1)[: frames.shape[1], : frames.shape[2], None]
                frames = np.where(kept, self.pixels[piece.start : piece.stop], frames)
            if piece.start < shown:
                yield frames[: shown - piece.start]
        if self.after is not None and len(self.after):
            yield self.after


def lay_out_inputs(frame: Frame, inputs: Inputs, num_frames: int, window_frames: int) -> Layout:
    """Lay out a canvas by the task of the inputs.

    `num_frames` counts the new frames where a clip is extended, connected or looped, else all of them. `window_frames`
    is how many frames the model generates at once. Raises `UsageError` for inputs that the task cannot use.
    """
    context = inputs.context_frames(frame.fps, window_frames)
    video, strength = inputs.video, inputs.strength
    match inputs.task:
        case "extend" | "extend_backward" if video is not None:
            return _extension(frame, video, num_frames, context, inputs.task == "extend_backward")
        case "connect" if video is not None and inputs.into is not None:
            strength = CONNECT_STRENGTH if strength is None else strength
            return _connection(frame, video, inputs.into, num_frames, context, strength)
        case "edit" if video is not None:
            return _edit(frame, video, EDIT_STRENGTH if strength is None else strength)
        case "retake" if video is not None:
            strength = RETAKE_STRENGTH if strength is None else strength
            return _retake(frame, video, inputs.span, inputs.mask, strength)
        case "outpaint" if video is not None:
            return _outpainting(frame, video)
        case "loop" if video is not None:
            return _loop_of_clip(frame, video, num_frames, context)
        case "loop" if inputs.images:
            return _loop_of_picture(frame, inputs.images[0][1][None], num_frames)
        case "loop":
            return _loop_of_words(frame, num_frames)
    if inputs.images:
        return _keyframes(frame, inputs.images, num_frames)
    task = "text to picture" if num_frames == 1 else "text to video"
    return Layout(task, tasks.text_to_video(frame, num_frames))


def _keyframes(frame: Frame, images: Sequence[tuple[float, Picture]], num_frames: int) -> Layout:
    """Pictures at their times in seconds; one at 0 is animated."""
    notes: list[str] = []
    sources, known = [], []
    for seconds, picture in images:
        index, pixels = round(seconds * frame.fps), _fit(picture[None], frame, notes)
        sources.append((index, pixels))
        known.append((index, _missing(frame, 1)))
        if abs(index / frame.fps - seconds) > 1e-3:
            notes.append(f"the picture for {seconds:g} s stands at frame {index}, which is at {index / frame.fps:g} s")
    canvas = tasks.keyframes(frame, known, num_frames)
    if canvas.num_frames != num_frames:
        length = frame.geometry.stride[0]
        notes.append(f"{canvas.num_frames} frames instead of {num_frames}, to end with a whole slice of {length}")
    task = "animate a picture" if len(images) == 1 else "keyframes"
    return Layout(task, canvas, tuple(notes), tuple(sources))


def _extension(frame: Frame, clip: AnyFrames, num_new: int, context: int, backward: bool) -> Layout:
    """The clip and what follows it, or what precedes it and the clip; the canvas holds `context` frames of the clip."""
    notes: list[str] = []
    clip = _fit(clip, frame, notes)
    context = _usable_context(frame, len(clip), context, notes)
    if backward:
        near, far = clip[:context], clip[context:]
        canvas = tasks.extend_backward(frame, _known(frame, near), num_new)
    else:
        near, far = clip[len(clip) - context :], clip[: len(clip) - context]
        canvas = tasks.extend(_delay_prompts(frame, context), _known(frame, near), num_new)
    new = canvas.num_frames - context
    notes += _rounding_note(frame, new, num_new)
    sources = ((new if backward else 0, near),)
    return Layout(
        "extend backward" if backward else "extend",
        canvas,
        tuple(notes),
        sources,
        _pixels_of(canvas, sources),
        before=None if backward else far,
        after=far if backward else None,
        story_from=0 if backward else len(clip),
    )


def _connection(
    frame: Frame, before: AnyFrames, after: AnyFrames, num_between: int, context: int, strength: float
) -> Layout:
    """All of the first clip, `num_between` new frames, all of the second.

    The new frames start from a dissolve between the two clips, with noise of level `strength` on it.
    """
    notes: list[str] = []
    first, second = (_fit(clip, frame, notes) for clip in (before, after))
    for clip, name in ((first, "the first"), (second, "the second")):
        if len(clip) == 1:
            raise UsageError(
                f"{name} of the clips to connect is a picture; "
                "give videos, or pictures as keyframes (--image with --at)"
            )
    tail_length, head_length = (_usable_context(frame, len(clip), context, notes) for clip in (first, second))
    tail, head = first[len(first) - tail_length :], second[:head_length]
    canvas = tasks.connect(_delay_prompts(frame, tail_length), _known(frame, tail), _known(frame, head), num_between)
    new = canvas.num_frames - tail_length - head_length
    notes += _rounding_note(frame, new, num_between)
    between = dissolve(tail[-1], head[0], new)
    canvas = tasks.start_unknown_from(canvas, _missing(frame, len(frame.geometry.slices(new))), strength)
    return Layout(
        "connect",
        canvas,
        tuple(notes),
        ((0, tail), (tail_length, between), (tail_length + new, head)),
        np.concatenate([tail, between, head]),
        before=first[: len(first) - tail_length],
        after=second[head_length:],
        story_from=len(first),
    )


def dissolve(first: Picture, last: Picture, num_frames: int) -> AnyFrames:
    """Return `num_frames` frames that go from one picture to the other in equal steps, both pictures left out."""
    frames = np.empty((num_frames, *first.shape), np.uint8)
    for number in range(num_frames):
        share = np.float32(number + 1) / (num_frames + 1)
        frames[number] = (first * (1 - share) + last * share).round()
    return frames


def _loop_of_words(frame: Frame, num_frames: int) -> Layout:
    """Unknown slices on a cycle."""
    canvas = tasks.loop(frame, num_frames)
    if len(frame.prompts) > 1:
        raise UsageError(
            "a loop has no beginning from which the times of a story could count; give one prompt, or a clip to close"
        )
    return Layout("loop", canvas, tuple(_rounding_note(frame, canvas.num_frames, num_frames)))


def _loop_of_picture(frame: Frame, picture: AnyFrames, num_frames: int) -> Layout:
    """From the picture and back to it; its second appearance begins the next round and is not shown."""
    notes: list[str] = []
    picture = _fit(picture, frame, notes)
    length = frame.geometry.stride[0]
    last = max(1, -(-(num_frames - 1) // length)) * length + 1
    notes += _rounding_note(frame, last, num_frames)
    latents = _missing(frame, 1)
    canvas = tasks.keyframes(frame, [(0, latents), (last, latents)], last + 1)
    return Layout("loop", canvas, tuple(notes), ((0, picture), (last, picture)), repeated=1)


def _loop_of_clip(frame: Frame, clip: AnyFrames, num_frames: int, context: int) -> Layout:
    """The clip, and new frames from its end back to its beginning."""
    if len(clip) == 1:
        return _loop_of_picture(frame, clip, num_frames)
    notes: list[str] = []
    clip = _fit(clip, frame, notes)
    count = _usable_context(frame, len(clip) // 2, context, notes)
    tail, head = clip[len(clip) - count :], clip[:count]
    canvas = tasks.connect(_delay_prompts(frame, count), _known(frame, tail), _known(frame, head), num_frames)
    new = canvas.num_frames - 2 * count
    notes += _rounding_note(frame, new, num_frames)
    sources = ((0, tail), (count + new, head))
    pixels = _pixels_of(canvas, sources)
    before, story_from = clip[: len(clip) - count], len(clip)
    return Layout("loop", canvas, tuple(notes), sources, pixels, before, repeated=count, story_from=story_from)


def _edit(frame: Frame, clip: AnyFrames, strength: float) -> Layout:
    """The whole clip again, from noise of level `strength`."""
    notes: list[str] = []
    clip = _fit(clip, frame, notes)
    return Layout("edit", tasks.edit(frame, _known(frame, clip), strength), tuple(notes), ((0, clip),), clip)


def _retake(
    frame: Frame, clip: AnyFrames, span: tuple[float, float] | None, mask: Mask | None, strength: float
) -> Layout:
    """The clip with a span of time (in seconds), the region of a mask, or their intersection generated again."""
    notes: list[str] = []
    fitted = _fit(clip, frame, notes)
    known = _known(frame, fitted)
    rows, columns = frame.geometry.token_grid(frame.height, frame.width)
    replaced = torch.ones(len(known.slices), rows, columns, dtype=torch.bool)
    if span is not None:
        replaced &= torch.tensor(_slices_in_span(frame, known.slices, span, notes))[:, None, None]
    if mask is not None:
        replaced &= masked_tokens(frame, known.slices, mask, clip.shape[1:3])
        if not replaced.any():
            raise UsageError("the mask covers nothing of what is to be remade; white is remade, black is kept")
    canvas = tasks.retake(frame, known, replaced, strength)
    return Layout("retake" if mask is None else "inpaint", canvas, tuple(notes), ((0, fitted),), fitted)


def _slices_in_span(frame: Frame, slices: Sequence[Slice], span: tuple[float, float], notes: list[str]) -> list[bool]:
    """Return for each slice whether it has frames in a span of seconds; notes where whole slices exceed the span."""
    start, stop = span
    total = slices[-1].stop
    if start >= total / frame.fps:
        raise UsageError(
            f"the clip has {total / frame.fps:g} s, so nothing of it lies after {start:g} s; "
            "begin before its end, or extend it"
        )
    if not 0 <= start < stop:
        raise UsageError(f"a span begins at 0 s or later and ends after it begins, got {start:g} to {stop:g} s")
    inside = [piece.start < stop * frame.fps and piece.stop > start * frame.fps for piece in slices]
    chosen = [piece for piece, is_inside in zip(slices, inside, strict=True) if is_inside]
    begin, end = chosen[0].start, chosen[-1].stop
    if round(stop * frame.fps) > total:
        notes.append(
            f"the clip ends at {total / frame.fps:g} s, before {stop:g} s: remade to its end, and not made longer"
        )
    if (begin, end) != (round(start * frame.fps), min(total, round(stop * frame.fps))):
        notes.append(f"remade from {begin / frame.fps:g} s to {end / frame.fps:g} s: whole slices")
    return inside


def masked_tokens(
    frame: Frame, slices: Sequence[Slice], mask: Mask, size: tuple[int, int]
) -> Bool[Tensor, "s rows columns"]:
    """Return the tokens of which the mask covers any pixel in any frame; a mask of one frame is used for all frames."""
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
    brightness: np.ndarray = fit(as_pixels, frame.height, frame.width)[0][..., 0]
    fitted = np.broadcast_to(np.greater_equal(brightness, 128), (total, frame.height, frame.width))
    (tall, wide), (rows, columns) = frame.geometry.cell, frame.geometry.token_grid(frame.height, frame.width)
    padded = np.pad(fitted, ((0, 0), (0, rows * tall - frame.height), (0, columns * wide - frame.width)))
    cells = torch.from_numpy(padded.reshape(total, rows, tall, columns, wide)).amax(dim=(2, 4))
    return torch.stack([cells[piece.start : piece.stop].any(dim=0) for piece in slices])


def _outpainting(frame: Frame, clip: AnyFrames) -> Layout:
    """The clip in the middle of a larger frame, everything around it new."""
    height, width = clip.shape[1:3]
    if height > frame.height or width > frame.width:
        raise UsageError(
            f"the clip is {width}x{height}, larger than {frame.width}x{frame.height}; "
            "give a larger --size to paint around it"
        )
    if (height, width) == (frame.height, frame.width):
        raise UsageError(
            f"the clip already has {width}x{height}, so nothing lies around it; give a larger --size (height and width "
            "in Python), or say with retake what is made again"
        )
    (tall, wide), (rows, columns) = frame.geometry.cell, frame.geometry.token_grid(frame.height, frame.width)
    top, left = (frame.height - height) // 2 // tall * tall, (frame.width - width) // 2 // wide * wide
    around = ((0, 0), (top, frame.height - height - top), (left, frame.width - width - left), (0, 0))
    pixels = np.pad(clip, around, mode="edge")
    known = _known(frame, pixels)
    replaced = torch.ones(len(known.slices), rows, columns, dtype=torch.bool)
    replaced[:, -(-top // tall) : (top + height) // tall, -(-left // wide) : (left + width) // wide] = False
    if bool(replaced.all()):
        raise UsageError(f"a clip of {width}x{height} covers no whole token of {wide}x{tall}; give a larger clip")
    return Layout("outpaint", tasks.retake(frame, known, replaced), (), ((0, pixels),), pixels)


def _fit(frames: AnyFrames, frame: Frame, notes: list[str]) -> AnyFrames:
    """Return frames scaled and cropped to the size of the video, with a note if anything was done.

    Raises `UsageError` for frames of such another shape that covering the video with them takes too much memory.
    """
    height, width = frames.shape[1:3]
    scale = max(frame.height / height, frame.width / width)
    tall, wide = height * scale, width * scale
    if max(tall, wide) > MAX_RESIZED_SIDE or 3 * len(frames) * tall * wide > available_bytes():
        raise UsageError(
            f"an input of {width}x{height} cannot cover {frame.width}x{frame.height}: it would be scaled to "
            f"{wide:.0f}x{tall:.0f}; cut it to about the shape of the video first"
        )
    fitted, note = fit(frames, frame.height, frame.width)
    if frames.shape[1:3] != (frame.height, frame.width):
        notes.append(note)
    return fitted


def _known(frame: Frame, frames: AnyFrames) -> Known:
    """Return the slices of a clip, its latents missing."""
    slices = frame.geometry.slices(len(frames))
    return Known(slices, _missing(frame, len(slices)))


def _missing(frame: Frame, num_slices: int) -> Tensor:
    """Return zeros in place of latents that are not encoded yet, as one number expanded."""
    return torch.zeros(1, 1, 1, 1).expand(
        num_slices, frame.channels, *frame.geometry.latent_size(frame.height, frame.width)
    )


def _delay_prompts(frame: Frame, num_frames: int) -> Frame:
    """Return a frame whose story counts from after `num_frames`; the first prompt still holds from the beginning."""
    prompts = (
        replace(prompt, seconds=prompt.seconds + num_frames / frame.fps) if prompt.seconds else prompt
        for prompt in frame.prompts
    )
    return replace(frame, prompts=tuple(prompts))


def _rounding_note(frame: Frame, num_frames: int, wanted: int) -> list[str]:
    """Return a note if whole slices make the video longer than wanted."""
    if num_frames == wanted:
        return []
    return [f"{num_frames} frames instead of {wanted}: whole slices of {frame.geometry.stride[0]}"]


def _usable_context(frame: Frame, available: int, wanted: int, notes: list[str]) -> int:
    """Return how many frames of context a clip gives: whole slices where it has any, and no more than it has."""
    if wanted < 1:
        raise UsageError("the model would see nothing of the clip; give more --context")
    length = frame.geometry.stride[0]
    whole = available // length * length or available
    used = min(-(-wanted // length) * length, whole)
    if used < wanted:
        notes.append(f"the clip gives {used} frames of context instead of {wanted}")
    return used


def _pixels_of(canvas: Canvas, sources: Sequence[tuple[int, AnyFrames]]) -> AnyFrames:
    """Return the sources at their frames of the canvas; all other frames are black and never shown."""
    height, width = sources[0][1].shape[1:3]
    pixels = np.zeros((canvas.num_frames, height, width, 3), np.uint8)
    for start, frames in sources:
        pixels[start : start + len(frames)] = frames
    return pixels
