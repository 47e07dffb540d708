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
from chronotope.geometry import Slice

__all__ = ["Window", "excerpt", "num_windows", "rollout"]

Fill = Callable[[Canvas, int], Tensor]


@dataclass(frozen=True)
class Window:
    """How many slices are worked on at once, how many of them are past, and the noise level at which the past is shown."""

    slices: int = 5
    context: int = 2
    history: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.context < self.slices:
            raise UsageError(f"a window of {self.slices} slices remembers at least 1 and at most {self.slices - 1}, got {self.context}")
        if not 0 <= self.history < 1:
            raise UsageError(f"the history's noise level is at least 0 and below 1, got {self.history}")


def rollout(canvas: Canvas, window: Window, fill: Fill) -> Iterator[Float[Tensor, "c h w"]]:
    """The latents of every slice, in order; `fill(part, number)` samples one window and `number` counts the windows.

    A canvas of which only the end is given is made from there backwards, and leaves when its beginning is reached.
    """
    total = len(canvas.slices)
    if total <= window.slices or canvas.cycle:
        yield from fill(canvas, 0)
        return
    given = canvas.given.flatten(1).all(dim=1).tolist()
    if given[-1] and not given[0]:
        yield from reversed(list(_slide(canvas, window, fill, backward=True)))
    else:
        yield from _slide(canvas, window, fill, backward=False)


def _slide(canvas: Canvas, window: Window, fill: Fill, backward: bool) -> Iterator[Tensor]:
    """Slices in the order in which they are made."""
    total, done, past = len(canvas.slices), 0, torch.empty(0)
    for number in range(total):
        first = max(0, done - window.context)
        stop = min(total, first + window.slices)
        start, end = (total - stop, total - first) if backward else (first, stop)
        part = excerpt(canvas, start, end)
        if done:
            part = _remember(part, past.flip(0) if backward else past, window.history, backward)
        filled = fill(part, number)
        filled = filled.flip(0) if backward else filled
        yield from filled[done - first :]
        done, past = stop, filled[-window.context :]
        if done == total:
            return


def num_windows(canvas: Canvas, window: Window) -> int:
    """How often `rollout` samples."""
    beyond = 0 if canvas.cycle else max(0, len(canvas.slices) - window.slices)
    return 1 + -(-beyond // (window.slices - window.context))


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
