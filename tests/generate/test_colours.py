"""Colours that are held: a cast is taken away exactly, who moves stays where it is, another place is another reference."""

from __future__ import annotations

from dataclasses import replace

import torch

from chronotope.generate.colours import Hold, cast
from chronotope.generate.tasks import Frame, Known, extend, text_to_video
from chronotope.geometry import Geometry
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
FRAME = Frame(GEOMETRY, 4, 64, 96, 8.0, (Prompt("a fox"),))
CANVAS = text_to_video(FRAME, 16)  # four moving slices
PLACE = torch.randn(4, 8, 12, generator=torch.Generator().manual_seed(0))
CAST = torch.tensor([0.3, -0.2, 0.1, 0.0])[:, None, None]


def window(*slices: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(slices))


def with_actor(place: torch.Tensor, column: int) -> torch.Tensor:
    found = place.clone()
    found[:, 3:5, column : column + 2] += 5
    return found


def test_the_first_window_is_as_it_was_made() -> None:
    first = window(*(PLACE + number for number in range(4)))
    hold = Hold(torch.ones(4))
    assert hold(first, CANVAS) is first and hold.reference is not None and torch.equal(hold.reference, first[-1])


def test_a_cast_is_taken_away_and_who_moves_stays() -> None:
    hold = Hold(torch.ones(4))
    hold(window(*[with_actor(PLACE, 1)] * 4), CANVAS)
    wanted = window(*(with_actor(PLACE, column) for column in (3, 5, 7, 9)))
    assert torch.allclose(hold(wanted + CAST, CANVAS), wanted, atol=1e-6)


def test_what_is_given_stays_and_is_what_is_held_to() -> None:
    past = Known(GEOMETRY.slices(8), window(PLACE, PLACE))
    canvas = extend(FRAME, past, 8)
    hold = Hold(torch.ones(4))
    hold(window(PLACE, PLACE, PLACE + CAST, PLACE + CAST), canvas)
    assert hold.reference is not None and torch.equal(hold.reference, PLACE)
    later = hold(window(PLACE + CAST, PLACE + CAST, PLACE + CAST, PLACE + CAST), canvas)
    assert torch.equal(later[:2], window(PLACE + CAST, PLACE + CAST))
    assert torch.allclose(later[2:], window(PLACE, PLACE), atol=1e-6)


def test_where_something_is_given_or_its_gist_nothing_is_changed() -> None:
    hold, made = Hold(torch.ones(4)), window(*[PLACE + CAST] * 4)
    hold(window(*[PLACE] * 4), CANVAS)
    level = torch.ones_like(CANVAS.level)
    level[0, 0, 0], level[1] = 0.0, 0.6  # a corner of the first is given, of the second the gist
    found = hold(made, replace(CANVAS, level=level))
    assert torch.equal(found[:2], made[:2]) and torch.allclose(found[2:], window(PLACE, PLACE), atol=1e-6)


def test_another_place_is_held_from_then_on() -> None:
    hold, other = Hold(torch.ones(4)), PLACE.flip(0) + 3
    hold(window(*[PLACE] * 4), CANVAS)
    made = window(PLACE, other, other + CAST, other + 2 * CAST)
    found = hold(made, CANVAS)
    assert torch.equal(found[1], other) and torch.allclose(found[2:], window(other, other), atol=1e-6)


def test_stills_are_left_alone_and_too_few_cells_say_nothing() -> None:
    hold = Hold(torch.ones(4))
    hold(window(*[PLACE] * 4), CANVAS)
    stills = text_to_video(FRAME, 3)
    made = window(*[PLACE + CAST] * 3)
    assert torch.equal(hold(made, stills), made)
    near = torch.zeros(8, 12, dtype=torch.bool)
    near[0, :5] = True
    assert not cast(PLACE, near).any()


def test_deviations_decide_what_is_near() -> None:
    """Twice as far is as near, where the latents vary twice as much."""
    for scale in (1.0, 2.0):
        hold = Hold(torch.full((4,), scale))
        hold(window(*[PLACE] * 4), CANVAS)
        far = window(*[PLACE + 1.2] * 4)
        assert torch.allclose(hold(far, CANVAS), far if scale == 1.0 else window(*[PLACE] * 4), atol=1e-6)
