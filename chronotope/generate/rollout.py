"""A long canvas -> latents, window by window: a window slides over the canvas, and finished slices leave at once.

The past is shown slightly noised, as in training, so that the network does not rely on small errors and they do not add
up (Valevski et al. 2024, arXiv 2408.14837, section 3.2.1). The cost of a window does not depend on the length of the
canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from operator import itemgetter

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.geometry import Slice
from chronotope.models.refinement import Order
from chronotope.prompt import Prompt, prompts_between

__all__ = ["Span", "Window", "excerpt", "goes_forward", "guidance_scales", "rollout", "spans"]

Fill = Callable[[Canvas, int], Tensor]


@dataclass(frozen=True)
class Window:
    """How many frames are generated at once, how many slices of them are past, and the noise level of that past.

    `guidance` is the largest guidance scale of windows that continue generated content with a new prompt. In the order
    "causal" each window generates one slice and sees as many before it as fit into `frames` (see `models/causal.py`).
    """

    frames: int = 17
    context: int = 1
    history: float = 0.05
    guidance: float = 2.0
    order: Order = "full"

    def __post_init__(self) -> None:
        if not 0 < self.context < self.frames:
            raise UsageError(
                f"a window of {self.frames} frames has a context of at least 1 slice and less than all, "
                f"got {self.context}"
            )
        if not 0 <= self.history < 1:
            raise UsageError(f"the noise level of the history is at least 0 and below 1, got {self.history}")


@dataclass(frozen=True)
class Span:
    """One window: it sees slices `first` to `stop`, generates `begin` to `end`; counted from the end if `backward`."""

    first: int
    begin: int
    end: int
    stop: int
    backward: bool = False

    def place(self, total: int) -> tuple[int, int]:
        """Return the first slice and the end of what the window sees, in the order of time."""
        return (total - self.stop, total - self.first) if self.backward else (self.first, self.stop)


def spans(canvas: Canvas, window: Window) -> list[Span]:
    """Return the windows that fill a canvas, in the order of generation; fixed slices need none.

    One window is enough for a canvas that fits into it, for a cycle, and for a canvas of up to twice its length with
    known content in several places, since the way between two known places is planned as one. Otherwise each unknown
    stretch has its own windows, which run backward where only the end is known. Under a causal window slices follow one
    by one where that is possible.
    """
    total, fixed = len(canvas.slices), canvas.fixed_slices
    lengths = [piece.num_frames for piece in canvas.slices]
    if all(fixed):
        return []
    if window.order == "causal" and goes_forward(canvas):
        return list(_one_by_one(lengths, sum(fixed), window))
    known_places = sum(here and not before for before, here in zip([False, *fixed], fixed, strict=False))
    limit = window.frames if known_places < 2 else 2 * window.frames
    if canvas.cycle or sum(lengths) <= limit:
        return [Span(0, 0, total, total)]
    backward = fixed[-1] and not fixed[0] and known_places == 1
    if backward:
        lengths, fixed = lengths[::-1], fixed[::-1]
    found: list[Span] = []
    end = 0
    while False in fixed[end:]:
        begin = fixed.index(False, end)
        end = fixed.index(True, begin) if True in fixed[begin:] else total
        found += _stretch(lengths, fixed, begin, end, window)
    return [replace(span, backward=backward) for span in found]


def _one_by_one(lengths: list[int], begin: int, window: Window) -> Iterator[Span]:
    """Yield a window for each slice from `begin` on; it sees at least one slice before it."""
    for i in range(begin, len(lengths)):
        yield Span(i - _count(lengths[:i][-window.frames :][::-1], window.frames - lengths[i]), i, i + 1, i + 1)


def goes_forward(canvas: Canvas) -> bool:
    """Return whether nothing is known after the first unknown slice, so that slices can follow one by one."""
    fixed = canvas.fixed_slices
    num_known = sum(fixed)
    if canvas.cycle or not all(fixed[:num_known]):
        return False
    level = canvas.level
    rest = level[:1, :1, :1] if set(level.stride()) == {0} else level[num_known:]
    return bool((rest == rest[:1, :1, :1]).all())


def _stretch(lengths: list[int], fixed: list[bool], begin: int, end: int, window: Window) -> Iterator[Span]:
    """Yield the windows that generate the unknown slices from `begin` to `end` and see the known ones on both sides."""
    past = _until_unknown(lengths[:begin][::-1], fixed[:begin][::-1])
    future = _until_unknown(lengths[end:], fixed[end:])
    spare = 2 * window.frames - sum(lengths[begin:end])
    if past and future and spare >= past[0] + future[0]:  # the way between the two fits into one window
        yield Span(begin - _count(past, spare // 2), begin, end, end + _count(future, spare // 2))
        return
    # The first window sees a known past of up to twice its length, and has room for half a window of new frames.
    first = begin - _count(past, 2 * window.frames)
    if first == begin - len(past):  # the slices before it are generated: see as many of them as any window does
        first = max(0, first - window.context)
    done, room = begin, max(window.frames, sum(lengths[first:begin]) + window.frames // 2)
    while done < end:
        # of the slices only as many as could fit, so that the time does not grow with the square of the length
        until = min(end, max(done + 1, first + _count(lengths[first : first + room], room)))
        yield Span(first, done, until, until + _count(future, window.frames // 2) if until == end else until)
        done, first, room = until, max(0, until - window.context), window.frames


def _until_unknown(lengths: Sequence[int], fixed: Sequence[bool]) -> list[int]:
    """Return the lengths of the known slices at the beginning."""
    return [length for length, _ in takewhile(itemgetter(1), zip(lengths, fixed, strict=True))]


def _count(lengths: Sequence[int], frames: int) -> int:
    """Return how many of these slices fit into so many frames: at least one, if there are any."""
    return max(min(1, len(lengths)), sum(total <= frames for total in accumulate(lengths)))


def guidance_scales(
    canvas: Canvas, windows: Sequence[Span], scale: float, limit: float, negative_prompt: bool = False
) -> list[float]:
    """Return the guidance scale of each window: `scale`, reduced in windows that continue generated content.

    Guidance shifts colours a little, the next window takes the shift for content and adds its own. So a window that
    continues the same prompt is not guided, and one with a new prompt by `limit` at most. A negative prompt counts as a
    new prompt everywhere, since it has no effect without guidance. Under the slice-causal mask every slice is guided
    equally, since what it shows is decided there.
    """
    if canvas.order == "causal":
        return [scale] * len(windows)
    done = 0  # the end of what earlier windows generated
    previous: set[str] = set()
    scales = []
    for span in windows:
        texts = {prompt.text for prompt in _prompts(canvas, *span.place(len(canvas.slices)))}
        if span.first >= done:
            scales.append(scale)
        elif negative_prompt or not texts <= previous:
            scales.append(min(scale, limit))
        else:
            scales.append(min(scale, 1.0))
        done = span.end
        previous = texts  # only of the last window: a story that returns to an earlier prompt counts as new
    return scales


def rollout(canvas: Canvas, windows: Sequence[Span], history: float, fill: Fill) -> Iterator[Float[Tensor, "c h w"]]:
    """Yield the latents of every slice in order; `fill(part, number)` samples the window of that number.

    `history` is the noise level at which a window sees slices that an earlier one generated. A canvas of which only the
    end is known is generated backward from there, and all of it leaves at the end.
    """
    slices = _slide(canvas, windows, history, fill)
    yield from reversed(list(slices)) if windows and windows[0].backward else slices


def _slide(canvas: Canvas, windows: Sequence[Span], history: float, fill: Fill) -> Iterator[Tensor]:
    """Yield slices in the order of generation, the fixed ones among them unchanged."""
    total, backward = len(canvas.slices), bool(windows) and windows[0].backward
    recent: dict[int, Tensor] = {}
    passed = 0
    for number, span in enumerate(windows):
        yield from (canvas.known[total - 1 - i if backward else i] for i in range(passed, span.begin))
        part = canvas if span.stop - span.first == total else excerpt(canvas, *span.place(total))
        recent = {i: latents for i, latents in recent.items() if i >= span.first}
        past = {span.stop - 1 - i if backward else i - span.first: latents for i, latents in recent.items()}
        filled = fill(_with_history(part, past, history) if past else part, number)
        new = (filled.flip(0) if backward else filled)[span.begin - span.first : span.end - span.first]
        recent |= zip(range(span.begin, span.end), new, strict=True)
        yield from new
        passed = span.end
    yield from canvas.known[passed:]  # backward nothing is left: its known slices came first


def excerpt(canvas: Canvas, first: int, stop: int) -> Canvas:
    """Return some slices as a canvas of their own: times begin at 0, with the prompts of that time."""
    begin = canvas.slices[first].start
    slices = tuple(Slice(piece.start - begin, piece.num_frames) for piece in canvas.slices[first:stop])
    rest = None if canvas.rest is None else canvas.rest[first:stop]
    return replace(
        canvas,
        slices=slices,
        prompts=_prompts(canvas, first, stop),
        known=canvas.known[first:stop],
        level=canvas.level[first:stop],
        rest=rest,
    )


def _prompts(canvas: Canvas, first: int, stop: int) -> tuple[Prompt, ...]:
    """Return the prompts of some slices, with times that count from the first of them."""
    begin, end = canvas.slices[first].start, canvas.slices[stop - 1].stop
    return prompts_between(canvas.prompts, begin / canvas.fps, end / canvas.fps)


def _with_history(part: Canvas, past: dict[int, Tensor], history: float) -> Canvas:
    """Return the window with its generated slices, by index, as history of this noise level."""
    known, level = part.known.clone(), part.level.clone()
    rest = torch.zeros_like(level) if part.rest is None else part.rest.clone()
    for index, latents in past.items():
        known[index], level[index], rest[index] = latents, history, history
    return replace(part, known=known, level=level, rest=rest)
