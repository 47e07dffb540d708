"""A long canvas, window by window: a window slides over it, what is finished is its past, and slices leave as soon as they are made.

The past is shown slightly noised, as it was in training, so that small errors are not taken for truth and do not add up
(Valevski et al. 2024, arXiv 2408.14837, section 3.2.1). What a window costs does not depend on the length of the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.geometry import Slice
from chronotope.prompt import prompts_between

__all__ = ["Span", "Window", "excerpt", "rollout", "scales", "spans"]

Fill = Callable[[Canvas, int], Tensor]


@dataclass(frozen=True)
class Window:
    """How many frames are worked on at once, how many slices of them are past, and the noise level at which the past is shown.

    `guidance` is the most that windows get which remember what was made and are told something new (see `scales`).
    """

    frames: int = 17
    context: int = 1
    history: float = 0.05
    guidance: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.context < self.frames:
            raise UsageError(
                f"a window of {self.frames} frames remembers at least 1 slice of them and not all, got {self.context}"
            )
        if not 0 <= self.history < 1:
            raise UsageError(f"the history's noise level is at least 0 and below 1, got {self.history}")


@dataclass(frozen=True)
class Span:
    """One window: it sees the slices from `first` to `stop` and makes those from `done` to `until`; from behind if `backward`."""

    first: int
    done: int
    until: int
    stop: int
    backward: bool = False

    def place(self, total: int) -> tuple[int, int]:
        """First slice and end of what is seen, in the order of time."""
        return (total - self.stop, total - self.first) if self.backward else (self.first, self.stop)


def spans(canvas: Canvas, window: Window) -> list[Span]:
    """The windows that fill a canvas, in the order in which they are made; what is given needs none.

    All at once: what fits into the window, a cycle, and what is given in several places up to twice that length, for the ways between
    them are planned as one. Otherwise each unknown stretch has windows of its own, from behind where only the ending is given.
    """
    total, given = len(canvas.slices), canvas.given.all(dim=2).all(dim=1).tolist()
    lengths = [piece.num_frames for piece in canvas.slices]
    places = sum(known and not before for before, known in zip([False, *given], given, strict=False))
    if all(given):
        return []
    if canvas.cycle or sum(lengths) <= window.frames or (places > 1 and sum(lengths) <= 2 * window.frames):
        return [Span(0, 0, total, total)]
    backward = given[-1] and not given[0] and places == 1
    if backward:
        lengths, given = lengths[::-1], given[::-1]
    found: list[Span] = []
    while False in given[found[-1].until if found else 0 :]:
        begin = given.index(False, found[-1].until if found else 0)
        end = given.index(True, begin) if True in given[begin:] else total
        found += _stretch(lengths, given, begin, end, window)
    return [replace(span, backward=backward) for span in found]


def _stretch(lengths: list[int], given: list[bool], begin: int, end: int, window: Window) -> Iterator[Span]:
    """The windows that make the unknown slices from `begin` to `end`, which see what is given on both sides."""
    before = next((n for n in range(begin) if not given[begin - 1 - n]), begin)
    after = next((n for n in range(len(given) - end) if not given[end + n]), len(given) - end)
    past, future = lengths[begin - before : begin][::-1], lengths[end : end + after]
    spare = 2 * window.frames - sum(lengths[begin:end])
    if past and future and spare >= past[0] + future[0]:  # a way between the two, planned as one
        yield Span(begin - _count(past, spare // 2), begin, end, end + _count(future, spare // 2))
        return
    # a given past, up to twice the window, counts in the first one, which then has room for half a window more
    first = begin - _count(past, 2 * window.frames)
    if first == begin - before:  # and of what was made before that, as much as ever
        first = max(0, first - window.context)
    done, room = begin, max(window.frames, sum(lengths[first:begin]) + window.frames // 2)
    while done < end:
        until = min(end, max(done + 1, first + _count(lengths[first:], room)))
        yield Span(first, done, until, until + _count(future, window.frames // 2) if until == end else until)
        done, first, room = until, max(0, until - window.context), window.frames


def _count(lengths: Sequence[int], frames: int) -> int:
    """How many of these slices fit into so many frames: at least one, if there are any."""
    return max(min(1, len(lengths)), sum(total <= frames for total in accumulate(lengths)))


def scales(canvas: Canvas, window: Window, asked: float, insist: bool = False) -> list[float]:
    """The guidance scale of each window, where one is asked for: as asked, but in those that remember what an earlier one made.

    Guidance adds a little colour each time, which the next window would take for the past and add to. So what only goes on is not
    guided at all, and what is told something new by `window.guidance` at most. `insist`, for a negative prompt, counts as something
    new everywhere, for without guidance it would not be heard.
    """
    made: set[int] = set()
    told: set[str] = set()
    found = []
    for span in spans(canvas, window):
        texts = {prompt.text for prompt in excerpt(canvas, *span.place(len(canvas.slices))).prompts}
        new, fresh = insist or not texts <= told, made.isdisjoint(range(span.first, span.done))
        found.append(asked if fresh else min(asked, window.guidance if new else 1.0))
        made |= set(range(span.done, span.until))
        told = texts  # by the window that this past was made in: a story that comes back to an earlier beat tells something new
    return found


def rollout(canvas: Canvas, window: Window, fill: Fill) -> Iterator[Float[Tensor, "c h w"]]:
    """The latents of every slice, in order; `fill(part, number)` samples one window and `number` counts the windows.

    A canvas of which only the end is given is made from there backwards, and leaves when its beginning is reached.
    """
    steps = spans(canvas, window)
    made = _slide(canvas, steps, window, fill)
    yield from reversed(list(made)) if steps and steps[0].backward else made


def _slide(canvas: Canvas, steps: list[Span], window: Window, fill: Fill) -> Iterator[Tensor]:
    """Slices in the order in which they are made, what is given among them as it is."""
    total, backward = len(canvas.slices), bool(steps) and steps[0].backward
    recent: dict[int, Tensor] = {}
    passed = 0
    for number, span in enumerate(steps):
        yield from (canvas.known[total - 1 - i if backward else i] for i in range(passed, span.done))
        part = canvas if span.stop - span.first == total else excerpt(canvas, *span.place(total))
        recent = {i: latents for i, latents in recent.items() if i >= span.first}
        past = {span.stop - 1 - i if backward else i - span.first: latents for i, latents in recent.items()}
        filled = fill(_remember(part, past, window.history) if past else part, number)
        new = (filled.flip(0) if backward else filled)[span.done - span.first : span.until - span.first]
        recent |= zip(range(span.done, span.until), new, strict=True)
        yield from new
        passed = span.until
    yield from (canvas.known[total - 1 - i if backward else i] for i in range(passed, total))


def excerpt(canvas: Canvas, first: int, stop: int) -> Canvas:
    """Some slices of a canvas as a canvas of their own: times begin at 0, and the prompts are those that speak about them."""
    begin = canvas.slices[first].start
    slices = tuple(Slice(piece.start - begin, piece.num_frames) for piece in canvas.slices[first:stop])
    prompts = prompts_between(canvas.prompts, begin / canvas.fps, (begin + slices[-1].stop) / canvas.fps)
    rest = None if canvas.rest is None else canvas.rest[first:stop]
    return replace(
        canvas,
        slices=slices,
        prompts=prompts,
        known=canvas.known[first:stop],
        level=canvas.level[first:stop],
        rest=rest,
    )


def _remember(part: Canvas, past: dict[int, Tensor], history: float) -> Canvas:
    """What is finished, by its place in the window: given, and shown with a little noise."""
    known, level = part.known.clone(), part.level.clone()
    rest = torch.zeros_like(level) if part.rest is None else part.rest.clone()
    for place, latents in past.items():
        known[place], level[place], rest[place] = latents, history, history
    return replace(part, known=known, level=level, rest=rest)
