"""The windows of long canvases, laid out by hand: what each sees, what it generates and how strongly it is guided."""

from dataclasses import replace

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.generate.rollout import Span, Window, excerpt, guidance_scales, rollout, spans
from chronotope.geometry import Geometry, Slice
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
FOX = (Prompt("a fox"),)
WINDOW = Window(16, 1)  # four moving slices of four frames, one of them past


def canvas_of(pattern, lengths=None, prompts=FOX):
    """A canvas of one token a slice: `#` is known, `.` unknown; slices have four frames by default."""
    slices = GEOMETRY.cut(lengths or [4] * len(pattern))
    known = 100 + torch.arange(len(slices))[:, None, None, None].expand(-1, 1, 2, 2).float()
    level = torch.tensor([float(kind == ".") for kind in pattern])[:, None, None]
    return Canvas(slices, 16, 16, 8.0, prompts, known, level)


def numbers(canvas, window=WINDOW):
    """(first, begin, end, stop) of every window, and whether they run backward."""
    found = spans(canvas, window)
    assert {span.backward for span in found} in (set(), {False}, {True})
    return [(span.first, span.begin, span.end, span.stop) for span in found], any(span.backward for span in found)


@pytest.mark.parametrize(
    ("pattern", "wanted", "backward"),
    [
        ("####", [], False),
        ("....", [(0, 0, 4, 4)], False),
        (".....", [(0, 0, 4, 4), (3, 4, 5, 5)], False),
        ("........", [(0, 0, 4, 4), (3, 4, 7, 7), (6, 7, 8, 8)], False),
        # known content in one place counts as past: up to eight slices of it, with room for two new ones
        ("#.......", [(0, 1, 4, 4), (3, 4, 7, 7), (6, 7, 8, 8)], False),
        ("###......", [(0, 3, 5, 5), (4, 5, 8, 8), (7, 8, 9, 9)], False),
        ("##########....", [(2, 10, 12, 12), (11, 12, 14, 14)], False),
        # the same from behind, counted from the end
        (".......#", [(0, 1, 4, 4), (3, 4, 7, 7), (6, 7, 8, 8)], True),
        (".#########", [(1, 9, 10, 10)], True),
        (".....####", [(0, 4, 6, 6), (5, 6, 9, 9)], True),
        # known in two places: one window up to twice the length, a way between two within it, else one after the other
        ("#......#", [(0, 0, 8, 8)], False),
        ("##......##", [(1, 2, 8, 9)], False),
        ("###....###", [(1, 3, 7, 9)], False),
        ("#.......#", [(0, 1, 4, 4), (3, 4, 7, 7), (6, 7, 8, 9)], False),
        ("#..........###", [(0, 1, 4, 4), (3, 4, 7, 7), (6, 7, 10, 10), (9, 10, 11, 13)], False),
        # known in the middle: the beginning sees it at its end, and what follows starts from it
        ("......##....", [(0, 0, 4, 4), (3, 4, 6, 8), (5, 8, 10, 10), (9, 10, 12, 12)], False),
        ("#.#.#.#.#.", [(0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6, 7), (6, 7, 8, 9), (7, 9, 10, 10)], False),
    ],
)
def test_windows_by_hand(pattern, wanted, backward):
    assert numbers(canvas_of(pattern)) == (wanted, backward)


def test_a_cycle_is_one_window_at_any_length():
    assert numbers(replace(canvas_of("." * 20), cycle=True)) == ([(0, 0, 20, 20)], False)
    assert Span(0, 0, 20, 20).backward is False


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("####", []),
        ("....", [(0, 0, 1, 1), (0, 1, 2, 2), (0, 2, 3, 3), (1, 3, 4, 4)]),
        ("###..", [(1, 3, 4, 4), (2, 4, 5, 5)]),
        # what comes later is known, so all slices see each other
        ("#..#", [(0, 0, 4, 4)]),
        ("..#", [(0, 0, 3, 3)]),
    ],
)
def test_windows_of_the_causal_order_hold_one_new_slice(pattern, wanted):
    assert numbers(canvas_of(pattern), Window(12, 1, order="causal"))[0] == wanted


def test_a_partly_known_slice_is_not_reached_one_by_one():
    canvas = canvas_of("#...")
    level = canvas.level.expand(4, 1, 2).clone()
    level[2, 0, 1] = 0.5
    canvas = replace(canvas, width=32, level=level, known=canvas.known.repeat(1, 1, 1, 2))
    assert len(spans(canvas, Window(16, 1, order="causal"))) == 1


def test_windows_count_frames_and_not_slices():
    """Stills are short: 16 frames hold three of them and three moving slices."""
    assert numbers(canvas_of(".......", [1, 1, 1, 4, 4, 4, 4])) == ([(0, 0, 6, 6), (5, 6, 7, 7)], False)
    assert numbers(canvas_of("......", [4] * 6), Window(17, 2)) == ([(0, 0, 4, 4), (2, 4, 6, 6)], False)
    # of a known past the nearest 32 frames are seen: eight moving slices, no stills
    lengths = [1, 1, 1, *[4] * 9, *[4] * 4]
    assert numbers(canvas_of("#" * 12 + "....", lengths)) == ([(4, 12, 14, 14), (13, 14, 16, 16)], False)
    # backward the short ones come last
    assert numbers(canvas_of("......#", [1, 1, 1, 4, 4, 4, 4])) == ([(0, 1, 4, 4), (3, 4, 7, 7)], True)
    # a window smaller than its context and one slice still generates one
    assert numbers(canvas_of("....", [4] * 4), Window(3, 2)) == (
        [(0, 0, 1, 1), (0, 1, 2, 2), (0, 2, 3, 3), (1, 3, 4, 4)],
        False,
    )


def test_a_token_that_is_unknown_makes_a_slice_unknown():
    canvas = canvas_of("####")
    level = canvas.level.expand(4, 1, 2).clone()
    level[2, 0, 1] = 1.0
    known = canvas.known.repeat(1, 1, 1, 2)
    assert numbers(replace(canvas, width=32, level=level, known=known)) == ([(0, 0, 4, 4)], False)


def test_a_window_backward_is_counted_from_the_end():
    assert Span(1, 2, 4, 5).place(8) == (1, 5) and Span(1, 2, 4, 5, backward=True).place(8) == (3, 7)


@pytest.mark.parametrize("wrong", [dict(context=0), dict(frames=4, context=4), dict(history=-0.1), dict(history=1.0)])
def test_impossible_windows_are_refused(wrong):
    with pytest.raises(UsageError, match=r"context|noise level"):
        Window(**wrong)


def filled(canvas, window=WINDOW):
    """The slices of a rollout, and the parts that were filled; a new slice is numbered by window and by place in it."""
    parts = []

    def fill(part, number):
        assert number == len(parts)
        parts.append(part)
        latents = part.known.clone()
        for i in range(len(latents)):
            if not part.fixed[i].all():
                latents[i] = 10 * number + i
        return latents

    made = rollout(canvas, spans(canvas, window), window.history, fill)
    return [int(latents[0, 0, 0]) for latents in made], parts


def test_slices_of_a_rollout_by_hand():
    assert filled(canvas_of("......"))[0] == [0, 1, 2, 3, 11, 12]
    assert filled(canvas_of("##########.."))[0] == [*range(100, 110), 8, 9]
    assert filled(canvas_of("......#"))[0] == [10, 11, 12, 0, 1, 2, 106]
    assert filled(canvas_of("###"))[0] == [100, 101, 102]
    assert filled(canvas_of("#....###....#"))[0] == [100, 1, 2, 3, 4, 105, 106, 107, 12, 13, 14, 15, 112]


@pytest.mark.parametrize(("pattern", "past", "values"), [("......", 0, [3.0]), ("......#", -1, [0.0])])
def test_a_window_sees_what_was_generated_as_history(pattern, past, values):
    """With its noise level as level and as rest, next to what is known, which has none, and what is unknown."""
    canvas = canvas_of(pattern)
    _, (first, second) = filled(canvas, Window(16, 1, 0.25))
    assert first.rest is None and second.rest is not None
    assert second.known[past].flatten().unique().tolist() == values
    assert second.level[past].item() == second.rest[past].item() == 0.25
    others = [i for i in range(len(second.slices)) if i != past % len(second.slices)]
    assert second.level[others].unique().tolist() == [1] and not second.rest[others].any()
    assert bool((canvas.level[canvas.level != 0] == 1).all())  # the canvas itself is as it was


def test_history_keeps_the_levels_at_which_other_tokens_rest():
    canvas = canvas_of("......")
    canvas = replace(canvas, rest=torch.full_like(canvas.level, 0.125))
    _, (first, second) = filled(canvas, Window(16, 1, 0.25))
    assert first.rest.flatten().tolist() == [0.125] * 4
    assert second.rest.flatten().tolist() == [0.25, 0.125, 0.125]
    assert second.level.flatten().tolist() == [0.25, 1, 1] and bool((canvas.rest == 0.125).all())


def test_a_hundred_thousand_frames_are_laid_out_at_once():
    """In time that grows with the length alone: with its square they would take minutes."""
    canvas = Canvas.unknown(GEOMETRY, 1, GEOMETRY.slices(100_000), 8192, 8192, 8.0, FOX)
    windows = spans(canvas, Window(32, 2))
    assert len(windows) == 1 + -(-(25_000 - 8) // 6) and windows[-1].stop == 25_000


def test_an_excerpt_counts_from_its_own_beginning():
    prompts = (Prompt("a"), Prompt("b", 1.0), Prompt("c", 2.0))
    canvas = canvas_of("......", prompts=prompts)
    canvas = replace(canvas, rest=canvas.level * 0.5)
    assert excerpt(canvas, 0, 6).prompts == (Prompt("a"), Prompt("b", 1.0), Prompt("c", 2.0))  # to its last slice
    part = excerpt(canvas, 1, 4)  # frames 4 to 16, seconds 0.5 to 2
    assert part.slices == (Slice(0, 4), Slice(4, 4), Slice(8, 4))
    assert part.prompts == (Prompt("a"), Prompt("b", 0.5))
    assert part.known[:, 0, 0, 0].tolist() == [101, 102, 103]
    assert part.level.shape == part.rest.shape == (3, 1, 1) and bool((part.rest == 0.5).all())
    assert excerpt(replace(canvas, rest=None), 1, 4).rest is None
    levels = torch.linspace(0, 1, 6)[:, None, None]
    part = excerpt(replace(canvas, level=levels, rest=levels / 2), 2, 4)
    assert torch.equal(part.level, levels[2:4]) and torch.equal(part.rest, levels[2:4] / 2)


def test_guidance_is_less_where_a_window_continues_what_was_generated():
    """The first window has all of it, a new prompt at most the limit, and what only goes on none; 8 frames are 1 s."""

    def scales(canvas, scale=3.0, limit=2.0, negative=False):
        return guidance_scales(canvas, spans(canvas, WINDOW), scale, limit, negative)

    plain = canvas_of("..........")  # windows generate slices 0-3, 4-6 and 7-9: from 0, 2 and 3.5 s
    assert scales(plain) == [3.0, 1.0, 1.0]
    assert scales(plain, scale=0.5) == [0.5, 0.5, 0.5]
    assert scales(plain, negative=True) == [3.0, 2.0, 2.0]
    story = replace(plain, prompts=(Prompt("a"), Prompt("b", 2.5), Prompt("a", 4.5)))
    assert scales(story) == [3.0, 2.0, 1.0]  # the second sees a and b, the third b and a
    returning = replace(plain, prompts=(Prompt("a"), Prompt("b", 1.5), Prompt("a", 4.5)))
    assert scales(returning) == [3.0, 1.0, 2.0]  # the second sees b alone, so that a is new again
    assert scales(story, scale=1.5) == [1.5, 1.5, 1.0]
    apart = canvas_of("......##....")  # the third window sees the known slices and one that was generated
    assert scales(apart) == [3.0, 1.0, 1.0, 1.0]
    assert scales(canvas_of("....########..")) == [3.0, 1.0]  # eight known slices fit, and one generated before them
    assert scales(canvas_of("....#########..")) == [3.0, 3.0]  # here it sees nothing that was generated
