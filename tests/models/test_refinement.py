"""Corrections where tokens meet: across the edges of tokens and from slice to slice, never from sample to sample."""

import pytest
import torch
import torch.nn.functional as F

from chronotope.models.patches import patchify, unpatchify
from chronotope.models.refinement import Continuation, Grid, Refinement, slices_before

PATCH = (1, 2, 2)
GRIDS = (Grid(4, 2, 3), Grid(1, 4, 2), Grid(3, 2, 3, cycle=True))


def count(grid):
    return grid.slices * grid.rows * grid.columns


def made(seed=0):
    torch.manual_seed(seed)
    seams = Refinement(16, 4, PATCH, 8)
    total = sum(map(count, GRIDS))
    return seams, torch.randn(total, 16), torch.randn(total, 16)


def test_samples_of_any_order_are_corrected_as_if_alone():
    seams, tokens, noisy = made()
    together = seams(tokens, noisy, GRIDS).split([count(grid) for grid in GRIDS])
    pieces = zip(
        tokens.split([count(grid) for grid in GRIDS]), noisy.split([count(grid) for grid in GRIDS]), GRIDS, strict=True
    )
    for ours, (own, own_noisy, grid) in zip(together, pieces, strict=True):
        torch.testing.assert_close(ours, seams(own, own_noisy, (grid,)), atol=1e-6, rtol=1e-5)


def reached(slices, sample):
    """Return which latents [slices, rows, columns] of a sample change with one latent of `slices[0]`."""
    seams, tokens, noisy = made()
    first = sum(map(count, GRIDS[:sample]))
    place = slice(first, first + count(GRIDS[sample]))
    latents = unpatchify(noisy[place], PATCH, 2, 3)
    latents[slices, :, 1, 1] += 1.0  # the last latent of the first token
    moved = noisy.clone()
    moved[place] = patchify(latents, PATCH)
    change = seams(tokens, moved, GRIDS) - seams(tokens, noisy, GRIDS)
    assert not change[:first].any() and not change[place.stop :].any()
    return unpatchify(change[place], PATCH, 2, 3).abs().amax(dim=1) > 1e-7


def test_a_latent_reaches_two_latents_far_across_token_edges_and_one_slice_to_each_side():
    wanted = torch.zeros(4, 4, 6, dtype=torch.bool)
    wanted[:3, :4, :4] = True
    assert torch.equal(reached([1], 0), wanted)


def test_on_a_cycle_the_ends_are_neighbours():
    assert reached([0], 0).any(dim=(1, 2)).tolist() == [True, True, False, False]
    assert reached([0], 2).any(dim=(1, 2)).tolist() == [True, True, True]


def test_turning_a_cycle_turns_what_is_said():
    seams, tokens, noisy = made(2)
    grid, tokens, noisy = Grid(4, 2, 3, cycle=True), tokens[:24], noisy[:24]
    turned = seams(tokens.roll(6, 0), noisy.roll(6, 0), (grid,))
    torch.testing.assert_close(turned, seams(tokens, noisy, (grid,)).roll(6, 0), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "grid", [Grid(4, 2, 3), Grid(2, 2, 3), Grid(1, 2, 3), Grid(2, 2, 3, True), Grid(1, 2, 3, True)]
)
def test_it_agrees_with_a_convolution_in_space_and_time_written_out(grid):
    seams, tokens, noisy = made(1)
    tokens, noisy, slices = tokens[: count(grid)], noisy[: count(grid)], grid.slices
    # axes: slice, row, column, row and column in the patch, number
    spread, own = seams.spread(tokens).view(slices, 2, 3, 2, 2, 8), noisy.view(slices, 2, 3, 2, 2, 4)
    both = torch.cat([spread, own], dim=-1).permute(5, 0, 1, 3, 2, 4).reshape(1, 12, slices, 4, 6)
    beyond = both if grid.cycle else torch.zeros_like(both)  # what precedes the first slice and follows the last
    both = torch.cat([beyond[:, :, -1:], both, beyond[:, :, :1]], dim=2)
    to_next, to_previous = seams.gather_in_time.weight.chunk(2)
    # over the slice before, this one, the one after
    kernel = torch.stack([to_next, seams.gather.weight, to_previous], dim=2)
    gathered = torch.nn.functional.conv3d(both, kernel, seams.gather.bias, padding=(0, 1, 1))
    wanted = seams.correct(torch.nn.functional.silu(gathered[0].transpose(0, 1)))
    torch.testing.assert_close(unpatchify(seams(tokens, noisy, (grid,)), PATCH, 2, 3), wanted, atol=1e-6, rtol=1e-5)


def test_pictures_cost_no_convolution_over_their_neighbours():
    seams, tokens, noisy = made()
    calls = []
    seams.gather_in_time.register_forward_hook(lambda *_: calls.append(1))
    seams(tokens[:12], noisy[:12], (Grid(1, 2, 3), Grid(1, 2, 3)))
    assert not calls
    seams(tokens[:12], noisy[:12], (Grid(1, 2, 3), Grid(1, 2, 3, cycle=True)))
    assert calls


def test_a_sample_is_not_a_cycle_unless_said_so():
    assert Grid(2, 3, 4) == (2, 3, 4, False, "full")


def test_patches_of_unequal_sides_by_hand():
    """What the tokens say of a latent stands at row and column of the patch; two 1 x 1 convolutions pass it on."""
    refinement = Refinement(6, 1, (1, 2, 3), 1)
    torch.nn.init.eye_(refinement.spread.weight)
    torch.nn.init.zeros_(refinement.spread.bias)
    for layer, centre in ((refinement.gather, [1.0, 10.0]), (refinement.correct, [1.0])):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layer.weight.data[0, :, 1, 1] = torch.tensor(centre)
    tokens, noisy = torch.randn(2, 6), torch.randn(2, 6)
    wanted = torch.nn.functional.silu(tokens + 10 * noisy)
    torch.testing.assert_close(refinement(tokens, noisy, (Grid(1, 1, 2),)), wanted)


def test_latents_move_from_the_place_that_a_token_predicts() -> None:
    patch_size, channels, grid = (1, 2, 2), 3, Grid(2, 2, 3, order="causal")
    latents = torch.randn(2, channels, 4, 6)
    clean = patchify(latents, patch_size)
    before = slices_before(clean, (grid,), patch_size)
    assert torch.equal(before[0][1], latents[0])
    assert not before[0][0].any()  # the first slice follows on nothing
    part = Continuation(8, channels, patch_size, 1).requires_grad_(False)
    part.gains.weight.zero_()
    for place, (down, right) in enumerate((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)):
        part.places.weight.zero_()
        part.places.weight.view(4, 10, 8)[:, place] = 20.0
        moved = unpatchify(part.outputs(torch.ones(len(clean), 8), before, (grid,)), patch_size, 2, 3)
        padded = F.pad(latents[0], (1, 1, 1, 1))
        expected = -padded[:, 1 + down : 5 + down, 1 + right : 7 + right]
        torch.testing.assert_close(moved[1], expected)
    part.places.weight.view(4, 10, 8)[:, -1] = 60.0  # from no place
    nothing = part.outputs(torch.ones(len(clean), 8), before, (grid,))
    torch.testing.assert_close(nothing, torch.zeros_like(nothing))


def test_a_noisy_slice_follows_a_clean_one_and_no_slice_does_under_full_attention() -> None:
    latents = torch.arange(1.0, 5.0)[:, None].repeat(2, 2)
    grids = (Grid(4, 1, 1, order="teacher"), Grid(4, 1, 1))
    taught, full = slices_before(latents, grids, (1, 1, 1))
    assert taught[:, 0, 0, 0].tolist() == [0, 1, 0, 1]
    assert not full.any()
