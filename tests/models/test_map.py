"""The map of places: how the view moved is found from the slices, and what was seen comes back at its position."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from chronotope.errors import UsageError
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.map.memory import MapMemory
from chronotope.models.map.scrolling import find_scrolling, is_scrolling, rows_of_text
from chronotope.models.map.shift import best_shift, shifts
from chronotope.models.packing import pack
from chronotope.models.refinement import Continuation, Grid, maps_before, slices_before
from tests.models.test_causal import COUNT, SIZE, TEXT, network, sample

ROWS, COLUMNS, CHANNELS, LAND = 6, 7, 4, 40
# a player in the middle and a row of numbers, which stay where they are
SCROLLING = ("1111111",) * 2 + ("1110111",) + ("1111111",) * 2 + ("0000000",)
WALK = [(0, 1)] * 5 + [(1, 0)] * 4 + [(0, 0)] * 2 + [(0, -1)] * 5 + [(-1, 0)] * 4 + [(1, 1)]


@pytest.fixture(scope="module")
def land() -> Tensor:
    return torch.randn(CHANNELS, LAND, LAND, generator=torch.Generator().manual_seed(0))


def view(land: Tensor, down: int, right: int) -> Tensor:
    """What is seen at a position: the land, and over it what does not scroll, which has values of its own."""
    seen = land[:, down : down + ROWS, right : right + COLUMNS].clone()
    fixed = torch.arange(CHANNELS * ROWS * COLUMNS).view(seen.shape).remainder(5.0) - 2
    return torch.where(is_scrolling(SCROLLING), seen, fixed)


def walked(land: Tensor, start: tuple[int, int] = (12, 12)) -> tuple[list[tuple[int, int]], Tensor]:
    places = [start]
    for down, right in WALK:
        places.append((places[-1][0] + down, places[-1][1] + right))
    return places, torch.stack([view(land, *place) for place in places])


def empty(count: int = 1, side: int = 16) -> MapMemory:
    return MapMemory.empty(count, side, CHANNELS, is_scrolling(SCROLLING), 1)


def test_a_walk_is_followed_and_the_map_shows_the_land(land: Tensor) -> None:
    places, views = walked(land)
    others, other_views = walked(land.flip(1), (20, 9))
    maps, seen = empty(2), [set[tuple[int, int]](), set[tuple[int, int]]()]
    for number, both in enumerate(zip(views, other_views, strict=True)):
        maps = maps.after(torch.stack(both))
        for video, (walk, ground) in enumerate(((places, land), (others, land.flip(1)))):
            down, right = walk[number]
            assert maps.position[video].tolist() == [down - walk[0][0], right - walk[0][1]]
            seen[video] |= {(down + y, right + x) for y, x in is_scrolling(SCROLLING).nonzero().tolist()}
            around = maps.around()[video]
            window = [(down + y, right + x) for y in range(-1, ROWS + 1) for x in range(-1, COLUMNS + 1)]
            assert around[-1].flatten().tolist() == [float(place in seen[video]) for place in window]
            truth = torch.stack([ground[:, y, x] * ((y, x) in seen[video]) for y, x in window], dim=1)
            assert torch.equal(around[:-1].flatten(1), truth)


def test_a_thing_that_moves_by_itself_does_not_decide_and_rest_is_the_answer_where_all_fit(land: Tensor) -> None:
    start = empty().after(view(land, 5, 5)[None])
    after = view(land, 5, 6)
    after[:, 1:3, 1:4] = 9.0
    assert best_shift(after[None], start.around(), start.scrolling).tolist() == [[0, 1]]
    plain = torch.ones(1, CHANNELS, ROWS, COLUMNS)
    uniform = empty().after(plain)
    assert best_shift(plain, uniform.around(), uniform.scrolling).tolist() == [[0, 0]]
    assert best_shift(plain, empty().around(), uniform.scrolling).tolist() == [[0, 0]]
    assert shifts(1)[4].tolist() == [0, 0]


def test_a_stated_shift_is_taken_and_old_maps_stay(land: Tensor) -> None:
    first = empty().after(view(land, 5, 5)[None])
    before = first.latents.clone()
    moved = first.after(view(land, 5, 6)[None], torch.tensor([[-1, 0]]))
    assert moved.position.tolist() == [[-1, 0]] and first.position.tolist() == [[0, 0]]
    assert torch.equal(first.latents, before)


def test_the_map_is_bounded_and_far_places_are_not_confused(land: Tensor) -> None:
    maps = empty(side=10)
    for right in range(25):
        maps = maps.after(view(land, 5, right)[None])
        known = maps.around()[0, -1]
        assert maps.position[0, 1] == right and maps.latents.shape == (1, 100, CHANNELS)
        assert not known[1:-1, -1].any()  # nobody was there: what lies a side away does not stand in for it
    assert known[1:-2, 0].all()


def test_what_scrolls_is_found_and_where_the_view_rests_nothing_does(land: Tensor) -> None:
    clips = [walked(land, start)[1] for start in ((2, 2), (9, 20), (20, 5))]
    assert rows_of_text(find_scrolling(clips, 1)) == SCROLLING
    noise = 0.05 * torch.randn(3, len(clips[0]), CHANNELS, ROWS, COLUMNS)
    assert rows_of_text(find_scrolling([a + b for a, b in zip(clips, noise, strict=True)], 1)) == SCROLLING
    still = [clip[:1] + noise[0] for clip in clips]
    assert not find_scrolling(still, 1).any()
    alone = is_scrolling(rows_of_text(find_scrolling(still, 1)))
    assert not MapMemory.empty(1, 16, CHANNELS, alone, 1).after(still[0][:1]).around().any()


def test_a_place_that_was_seen_enters_with_a_shift(land: Tensor) -> None:
    """Moved by what a token predicts, the slice before and the map give the next view, with its border."""
    patch, scrolling = (1, 1, 1), is_scrolling(SCROLLING)
    part = Continuation(8, CHANNELS, patch, 1, scrolling).requires_grad_(False)
    part.gains.weight.zero_()
    there, here = view(land, 5, 6), view(land, 5, 5)
    maps = empty().after(here[None]).after(there[None])
    part.places.weight.zero_()
    part.places.weight[3] = 20.0  # the view moves left: each latent comes from the one on its left
    tokens, grids = torch.ones(ROWS * COLUMNS, 8), (Grid(1, ROWS, COLUMNS, order="causal"),)
    moved = -part.outputs(tokens, [there[None]], grids, [maps.around()]).T.view(CHANNELS, ROWS, COLUMNS)
    torch.testing.assert_close(torch.where(scrolling, moved, 0), torch.where(scrolling, here, 0))
    without = -part.outputs(tokens, [there[None]], grids).T.view(CHANNELS, ROWS, COLUMNS)
    assert not without[:, :, 0].any()  # without the map nothing is known beyond the border


def with_map() -> DiT:
    torch.manual_seed(0)
    made = network(2, 1)
    found = DiT(DiTConfig(**{**vars(made.config), "map_side": 8, "scrolling": ("111", "110")}))
    found = found.eval().requires_grad_(False)
    found.load_state_dict({**found.state_dict(), **made.state_dict()})
    nn.init.normal_(found.continuation.recall.weight, std=0.3)
    return found


def slices_of(land: Tensor) -> Tensor:
    """Clean tokens of a walk there and back on a grid of 2 x 3 latents."""
    right = (0, 1, 2, 1, 0)
    return torch.stack([land[:, 4:6, 4 + x : 7 + x] for x in right]).movedim(1, 3).flatten(0, 2)


def test_a_map_that_is_kept_gives_what_is_computed_again(land: Tensor) -> None:
    from chronotope.geometry import Geometry

    model, clean = with_map(), slices_of(land)
    noisy, level, actions = torch.randn(COUNT * SIZE, 4), torch.rand(COUNT), torch.randn(COUNT, 3)
    slices, zero = Geometry(stride=(1, 8, 8), patch_size=(1, 1, 1)).slices(COUNT), torch.zeros(COUNT)
    whole = model(pack([sample(clean, zero, actions, slices, "causal")])[0])
    twice = sample(
        torch.cat([clean, noisy]), torch.cat([zero, level]), actions.repeat(2, 1), slices + slices, "teacher"
    )
    full = sample(clean, level, actions, slices, "full")
    packed, arranged = pack([twice, full, twice])
    pieces = model(packed).split([[len(clean) * 2, len(clean), len(clean) * 2][i] for i in arranged])
    taught, again = pieces[arranged.index(0)], pieces[arranged.index(2)]
    torch.testing.assert_close(again, taught, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taught[: len(clean)], whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pieces[arranged.index(1)], model(pack([full])[0]), atol=1e-5, rtol=1e-5)
    past = None
    for i in range(COUNT):
        here, at, text = slice(i * SIZE, (i + 1) * SIZE), slice(i, i + 1), () if past else TEXT
        known = sample(clean[here], zero[at], actions[at], slices[at], "causal", text)
        unknown = sample(noisy[here], level[at], actions[at], slices[at], "causal", text)
        found = model(pack([unknown, unknown])[0], pasts=(past, past) if past else ())
        torch.testing.assert_close(found.chunk(2)[0], taught[len(clean) :][here], atol=1e-5, rtol=1e-5)
        past = model.remember(pack([known])[0], past)
    assert past is not None and past.map is not None and past.map.position.tolist() == [[0, 0]]


def test_what_is_remembered_changes_the_output_and_later_slices_do_not_leak(land: Tensor) -> None:
    model, clean = with_map(), slices_of(land)
    before = slices_before(clean, (Grid(COUNT, 2, 3, order="causal"),), (1, 1, 1))
    start = MapMemory.empty(1, 8, 4, model.continuation.scrolling, 1)
    (around,) = maps_before(before, (Grid(COUNT, 2, 3, order="causal"),), [start])
    assert not around[0].any() and bool(around[4, -1, 1, 1])
    seen = around[3, -1].sum(), around[4, -1].sum()
    assert seen[1] > around[1, -1].sum()  # beyond the view, too
    for one, two in pairwise(range(1, 4)):
        other = clean.clone()
        other[two * SIZE :] += 1
        changed = maps_before(
            slices_before(other, (Grid(COUNT, 2, 3, order="causal"),), (1, 1, 1)),
            (Grid(COUNT, 2, 3, order="causal"),),
            [start],
        )[0]
        assert torch.equal(changed[: one + 2], around[: one + 2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"map_side": 8}, "reach above 0"),
        ({"map_side": 4, "reach": 1, "scrolling": ("111", "110")}, "give 5"),
        ({"scrolling": ("111", "11")}, "equal length"),
        ({"scrolling": ("12",)}, "1 and 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        DiTConfig(**settings)
