"""The map of places: how the view moved is found from the slices, and what was seen comes back at its position."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.simulate.map.memory import MapMemory
from chronotope.simulate.map.scrolling import find_scrolling, is_scrolling, rows_of_text

ROWS, COLUMNS, CHANNELS, LAND = 6, 7, 4, 40
# a player in the middle and a row of numbers, which stay where they are
SCROLLING = ["1111111"] * 2 + ["1110111"] + ["1111111"] * 2 + ["0000000"]
WALK = [(0, 1)] * 5 + [(1, 0)] * 4 + [(0, 0)] * 2 + [(0, -1)] * 5 + [(-1, 0)] * 4 + [(1, 1)]
DEVIATION = torch.tensor([0.5, 1.0, 2.0, 4.0])[:, None, None]


@pytest.fixture(scope="module")
def land() -> Tensor:
    return DEVIATION * torch.randn(CHANNELS, LAND, LAND, generator=torch.Generator().manual_seed(0))


def view(land: Tensor, down: int, right: int) -> Tensor:
    """What is seen at a position: the land, and over it what does not scroll, which has values of its own."""
    seen = land[:, down : down + ROWS, right : right + COLUMNS].clone()
    fixed = torch.arange(CHANNELS * ROWS * COLUMNS).view(seen.shape).remainder(5.0) - 2
    return torch.where(is_scrolling(SCROLLING), seen, fixed)[None]


def walked(land: Tensor, start: tuple[int, int] = (12, 12)) -> tuple[list[tuple[int, int]], list[Tensor]]:
    places = [start]
    for down, right in WALK:
        places.append((places[-1][0] + down, places[-1][1] + right))
    return places, [view(land, *place) for place in places]


def empty(side: int = 16) -> MapMemory:
    return MapMemory.empty(is_scrolling(SCROLLING), DEVIATION, side)


def test_a_walk_is_followed_and_the_map_shows_the_land(land: Tensor) -> None:
    places, views = walked(land)
    maps, seen = empty(), set[tuple[int, int]]()
    for (down, right), one in zip(places, views, strict=True):
        maps = maps.after(one)
        assert maps.position == (down - places[0][0], right - places[0][1])
        seen |= {(down + y, right + x) for y, x in is_scrolling(SCROLLING).nonzero().tolist()}
        latents, known = maps.around(1)
        window = [(down + y, right + x) for y in range(-1, ROWS + 1) for x in range(-1, COLUMNS + 1)]
        assert known.flatten().tolist() == [place in seen for place in window]
        truth = torch.stack([land[:, y, x] * ((y, x) in seen) for y, x in window], dim=1)
        assert torch.equal(latents.flatten(1), truth)


def test_a_place_that_was_seen_enters_as_it_was_and_nothing_else_changes(land: Tensor) -> None:
    places, views = walked(land)
    maps, seen = empty().after(views[0]), set[tuple[int, int]]()
    for before, (down, right), one in zip(places, places[1:], views[1:], strict=False):
        scrolls = is_scrolling(SCROLLING).nonzero().tolist()
        stayed = {(before[0] + y, before[1] + x) for y, x in scrolls}
        seen |= stayed
        made = one.clone()
        enters = [(y, x) for y, x in scrolls if (down + y, right + x) not in stayed]
        for y, x in enters:
            made[0, :, y, x] = 7.0  # a model that makes up what enters
        found, shift = maps.recall(made)
        assert shift == (down - before[0], right - before[1])
        wanted = made.clone()
        for y, x in enters:
            if (down + y, right + x) in seen:
                wanted[0, :, y, x] = one[0, :, y, x]
        assert torch.equal(found, wanted)
        maps = maps.after(one, shift)
    assert maps.position == (1, 1)


def test_things_that_move_by_themselves_do_not_decide_and_where_all_shifts_fit_the_view_rests(land: Tensor) -> None:
    after = view(land, 5, 6)
    after[:, :, 1:3, 1:4] = 9.0
    assert empty().after(view(land, 5, 5)).after(after).position == (0, 1)
    plain = torch.ones(1, CHANNELS, ROWS, COLUMNS)
    assert empty().after(plain).after(plain).position == (0, 0)


def test_a_stated_shift_is_taken_and_old_maps_stay(land: Tensor) -> None:
    first = empty().after(view(land, 5, 5))
    before = first.latents.clone()
    moved = first.after(view(land, 5, 6), (-1, 0))
    assert moved.position == (-1, 0) and first.position == (0, 0)
    assert torch.equal(first.latents, before) and not torch.equal(moved.latents, before)


def test_the_map_is_bounded_and_far_places_are_not_confused(land: Tensor) -> None:
    maps = empty(side=10)
    for right in range(25):
        maps = maps.after(view(land, 5, right))
        known = maps.around(1)[1]
        assert maps.position[1] == right and maps.latents.shape == (100, CHANNELS)
        assert not known[1:-1, -1].any()  # nobody was there: what lies a side away does not stand in for it
    assert known[1:-2, 0].all()
    with pytest.raises(UsageError, match="give 9"):
        empty(side=8)


def test_what_scrolls_is_found_and_where_the_view_rests_nothing_does(land: Tensor) -> None:
    clips = [torch.cat(walked(land, start)[1]) / DEVIATION for start in ((2, 2), (9, 20), (20, 5))]
    assert rows_of_text(find_scrolling(clips, 1)) == SCROLLING
    noise = 0.05 * torch.randn(len(clips[0]), CHANNELS, ROWS, COLUMNS)
    assert rows_of_text(find_scrolling([clip + noise for clip in clips], 1)) == SCROLLING
    assert not find_scrolling([clip[:1] + noise for clip in clips], 1).any()
