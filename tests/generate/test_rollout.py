"""Windows over a long canvas: every slice is generated once, sees its past, and costs the same at any length."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.generate.rollout import Window, excerpt, rollout, spans
from chronotope.generate.tasks import Frame, Known, connect, extend, extend_backward, loop, text_to_video
from chronotope.geometry import Geometry, Slice, num_frames_of
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
FRAME = Frame(GEOMETRY, 4, 32, 32, 8.0, (Prompt("a fox walks in"), Prompt("it eats", 3.0), Prompt("it leaves", 6.0)))


def rolled(canvas, window, fill):
    return rollout(canvas, spans(canvas, window), window.history, fill)


class Counter:
    """Fills a window with numbers that count the generated slices, and records the windows."""

    def __init__(self):
        self.made, self.windows = 0, []

    def __call__(self, part: Canvas, number: int):
        assert number == len(self.windows)
        self.windows.append(part)
        latents = part.known.clone()
        for index in range(len(part.slices)):
            if not bool(part.fixed[index].all()):
                self.made += 1
                latents[index] = self.made
        return latents


def values(latents):
    return [float(grid[0, 0, 0]) for grid in latents]


@pytest.mark.parametrize("num_frames", [4, 18, 20, 24, 61, 480])
@pytest.mark.parametrize("window", [Window(), Window(16, 2, 0.0), Window(30, 6, 0.3), Window(3, 2)])
def test_every_slice_is_generated_once_and_in_order(num_frames, window):
    canvas, fill = text_to_video(FRAME, num_frames), Counter()
    assert values(rolled(canvas, window, fill)) == list(range(1, len(canvas.slices) + 1))
    least = 4 * (window.context + 1)  # a window has at least its context and one new slice
    assert all(
        num_frames_of(part.slices) <= max(window.frames, least) and part.slices[0].start == 0 for part in fill.windows
    )
    assert len(fill.windows) == len(spans(canvas, window))


def test_the_past_is_history_with_its_noise_level():
    fill = Counter()
    list(rolled(text_to_video(FRAME, 48), Window(20, 2, 0.05), fill))
    first, second = fill.windows[:2]
    assert bool((first.level == 1).all())
    assert values(second.known)[:2] == [4.0, 5.0]  # the last two of the first five
    for level in (second.level, second.rest):
        assert bool((level[:2] == 0.05).all())
    assert bool((second.level[2:] == 1).all()) and bool((second.rest[2:] == 0).all())


def test_slices_leave_as_soon_as_they_are_finished():
    fill = Counter()
    stream = rolled(text_to_video(FRAME, 4800), Window(20, 2), fill)
    for _ in range(5):
        next(stream)
    assert len(fill.windows) == 1
    next(stream)
    assert len(fill.windows) == 2


def test_a_known_ending_is_reached_backward():
    ending = Known(GEOMETRY.slices(8), torch.full((2, 4, 4, 4), -1.0))
    fill = Counter()
    latents = values(rolled(extend_backward(FRAME, ending, 40), Window(20, 2, 0.0), fill))
    assert latents[-2:] == [-1.0, -1.0] and sorted(latents[:-2]) == [float(n) for n in range(1, 11)]
    # each window is filled forward, the windows run backward
    assert latents[:-2] == [10.0, 7.0, 8.0, 9.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0]
    assert all(bool(part.fixed[-2:].all()) for part in fill.windows)


def test_the_first_window_sees_a_known_past_of_twice_its_length():
    """Forward and backward; slices further away are passed on unchanged."""
    for count, seen in ((4, 4), (8, 8), (40, 8)):
        past = Known(GEOMETRY.slices(4 * count), torch.arange(-count, 0.0).view(-1, 1, 1, 1).expand(-1, 4, 4, 4))
        for canvas in (extend(FRAME, past, 40), extend_backward(FRAME, past, 40)):
            fill = Counter()
            latents = values(rolled(canvas, Window(17, 1, 0.0), fill))
            kept = latents[:count] if canvas.fixed[0].all() else latents[-count:]
            assert kept == list(range(-count, 0)) and sum(value > 0 for value in latents) == 10
            assert int(fill.windows[0].fixed.flatten(1).all(dim=1).sum()) == seen
            assert len(fill.windows[0].slices) == seen + 2


def test_a_way_between_known_places_is_one_window_if_it_fits():
    before, after = (Known(GEOMETRY.slices(4), torch.zeros(1, 4, 4, 4)) for _ in range(2))
    for between, windows in ((24, 1), (28, 3)):
        canvas, fill = connect(FRAME, before, after, between), Counter()
        list(rolled(canvas, Window(16, 1), fill))
        assert len(fill.windows) == windows


@given(
    pattern=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=6),
    window=st.sampled_from([Window(17, 1), Window(8, 1), Window(97, 6), Window(3, 2)]),
)
def test_every_window_sees_the_known_slices_next_to_it(pattern, window):
    """Known slices come back unchanged, all others are generated once, and every window sees its neighbours."""
    kinds = [known for known, count in pattern for _ in range(count)]
    canvas = replace(
        text_to_video(FRAME, 4 * len(kinds)),
        level=1 - torch.tensor(kinds, dtype=torch.float32)[:, None, None].expand(-1, 2, 2),
        known=-torch.arange(1.0, len(kinds) + 1)[:, None, None, None].expand(-1, 4, 4, 4),
    )
    fill, steps = Counter(), spans(canvas, window)
    latents = values(rolled(canvas, window, fill))
    assert [value < 0 for value in latents] == kinds
    assert all(value == -1 - index for index, value in enumerate(latents) if kinds[index])
    assert sorted(value for value in latents if value > 0) == list(range(1, kinds.count(False) + 1))
    assert len(fill.windows) == len(steps)  # and every window generates something
    if not (steps and steps[0].backward):
        for span in steps:
            assert not all(kinds[span.begin : span.end])
            assert span.first < span.begin or span.begin == 0  # it sees the slice before
            if span.end < len(kinds) and kinds[span.end]:
                assert span.stop > span.end  # and the one after, if it is known
            frames = 4 * (span.stop - span.first)
            assert frames <= max(4 * window.frames, 4 * (window.context + 3))


def test_a_short_canvas_and_a_cycle_are_one_window():
    for canvas in (text_to_video(FRAME, 17), loop(FRAME, 48)):
        fill = Counter()
        list(rolled(canvas, Window(17, 1), fill))
        assert [part is canvas for part in fill.windows] == [True] and len(spans(canvas, Window(17, 1))) == 1


def test_a_window_has_the_prompts_of_its_time():
    canvas = text_to_video(FRAME, 64)
    heard = [
        [(prompt.text, prompt.seconds) for prompt in excerpt(canvas, first, first + 4).prompts]
        for first in (0, 4, 6, 12)
    ]
    assert heard[0] == [("a fox walks in", 0.0)]
    assert heard[1] == [("a fox walks in", 0.0), ("it eats", 1.0)]
    assert heard[2] == [("it eats", 0.0)]
    assert heard[3] == [("it leaves", 0.0)]
    part = excerpt(canvas, 4, 6)
    assert part.slices == (Slice(0, 4), Slice(4, 4))


def test_impossible_windows_are_refused():
    for bad in ((5, 0, 0.1), (5, 5, 0.1)):
        with pytest.raises(UsageError, match="has a context of at least 1"):
            Window(*bad)
    with pytest.raises(UsageError, match="noise level"):
        Window(5, 2, 1.0)
