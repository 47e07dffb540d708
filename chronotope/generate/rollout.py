"""A long canvas, window by window: a window slides over it, what is finished is its past, and slices leave as soon as they are made.

The past is shown slightly noised, as it was in training, so that small errors are not taken for truth and do not add up
(Valevski et al. 2024, arXiv 2408.14837, section 3.2.1). What a window costs does not depend on the length of the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas, Prompt
from chronotope.geometry import Slice, num_frames_of

__all__ = ["Span", "Window", "excerpt", "rollout", "spans"]

Fill = Callable[[Canvas, int], Tensor]


@dataclass(frozen=True)
class Window:
    """How many frames are worked on at once, how many slices of them are past, and the noise level at which the past is shown."""

    frames: int = 17
    context: int = 1
    history: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.context < self.frames:
            raise UsageError(f"a window of {self.frames} frames remembers at least 1 slice of them and not all, got {self.context}")
        if not 0 <= self.history < 1:
            raise UsageError(f"the history's noise level is at least 0 and below 1, got {self.history}")


@dataclass(frozen=True)
class Span:
    """The slices from `first` to `stop`, of which those before `done` are made: the step of a window, from behind if `backward`."""

    first: int
    done: int
    stop: int
    backward: bool = False

    def place(self, total: int) -> tuple[int, int]:
        """First slice and end in the order of time."""
        return (total - self.stop, total - self.first) if self.backward else (self.first, self.stop)


def spans(canvas: Canvas, window: Window) -> list[Span]:
    """The steps in which a canvas is filled, counted from where it begins to be made.

    All at once: what fits into the window, a cycle, and what is given in several places up to twice that length, for the ways between
    them are planned as one. Otherwise the window slides, from behind where only the ending is given.
    """
    total, given = len(canvas.slices), canvas.given.flatten(1).all(dim=1).tolist()
    frames = num_frames_of(canvas.slices)
    places = sum(known and not before for before, known in zip([False, *given], given, strict=False))
    if canvas.cycle or frames <= window.frames or all(given) or (places > 1 and frames <= 2 * window.frames):
        return [Span(0, 0, total)]
    backward = given[-1] and not given[0]
    lengths = [piece.num_frames for piece in canvas.slices][:: -1 if backward else 1]
    # a past that is given, up to twice the window, counts in the first one, which then has room for half a window more
    known = (given[::-1] if backward else given).index(False)
    first = known
    while first > 0 and sum(lengths[first - 1 : known]) <= 2 * window.frames:
        first -= 1
    room = max(window.frames, sum(lengths[first:known]) + window.frames // 2)
    found = [Span(first, first, _reach(lengths, first, room, known + 1), backward)]
    while found[-1].stop < total:
        done = found[-1].stop
        first = max(0, done - window.context)
        found.append(Span(first, done, _reach(lengths, first, window.frames, done + 1), backward))
    return found


def _reach(lengths: list[int], first: int, room: int, least: int) -> int:
    """The end of the longest run of slices from `first` that has at most `room` frames, but at least up to `least`."""
    stop = first
    while stop < len(lengths) and (stop < least or sum(lengths[first : stop + 1]) <= room):
        stop += 1
    return stop


def rollout(canvas: Canvas, window: Window, fill: Fill) -> Iterator[Float[Tensor, "c h w"]]:
    """The latents of every slice, in order; `fill(part, number)` samples one window and `number` counts the windows.

    A canvas of which only the end is given is made from there backwards, and leaves when its beginning is reached.
    """
    steps = spans(canvas, window)
    made = _slide(canvas, steps, window, fill)
    yield from reversed(list(made)) if steps[0].backward else made


def _slide(canvas: Canvas, steps: list[Span], window: Window, fill: Fill) -> Iterator[Tensor]:
    """Slices in the order in which they are made."""
    past, total = torch.empty(0), len(canvas.slices)
    long_known = steps[0].first
    yield from canvas.known.flip(0)[:long_known] if steps[0].backward else canvas.known[:long_known]
    for number, span in enumerate(steps):
        part = canvas if span.stop - span.first == total else excerpt(canvas, *span.place(total))
        if span.done > long_known:
            part = _remember(part, past.flip(0) if span.backward else past, window.history, span.backward)
        filled = fill(part, number)
        filled = filled.flip(0) if span.backward else filled
        yield from filled[span.done - span.first :]
        past = filled[-window.context :]


def excerpt(canvas: Canvas, first: int, stop: int) -> Canvas:
    """Some slices of a canvas as a canvas of their own: times begin at 0, and the prompts are those that speak about them."""
    begin = canvas.slices[first].start
    slices = tuple(Slice(piece.start - begin, piece.num_frames) for piece in canvas.slices[first:stop])
    seconds = begin / canvas.fps
    spoken = [prompt for prompt in canvas.prompts if prompt.seconds <= seconds][-1:] or list(canvas.prompts[:1])
    coming = [prompt for prompt in canvas.prompts if seconds < prompt.seconds < (begin + slices[-1].stop) / canvas.fps]
    prompts = [Prompt(prompt.text, 0.0) for prompt in spoken]
    prompts += [Prompt(prompt.text, prompt.seconds - seconds) for prompt in coming if prompt not in spoken]
    rest = None if canvas.rest is None else canvas.rest[first:stop]
    return replace(canvas, slices=slices, prompts=tuple(prompts), known=canvas.known[first:stop], level=canvas.level[first:stop], rest=rest)


def _remember(part: Canvas, past: Tensor, history: float, backward: bool) -> Canvas:
    """What is finished stands at one end of the window, given and shown with a little noise."""
    place = slice(len(part.known) - len(past), None) if backward else slice(0, len(past))
    known, level = part.known.clone(), part.level.clone()
    rest = torch.zeros_like(level) if part.rest is None else part.rest.clone()
    known[place], level[place], rest[place] = past, history, history
    return replace(part, known=known, level=level, rest=rest)
