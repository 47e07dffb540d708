"""Corrections where tokens meet: nothing at first, across token edges, within one slice of one sample."""

import torch

from chronotope.models.patches import patchify, unpatchify
from chronotope.models.seams import Seams

PATCH = (1, 2, 2)
GRIDS = ((2, 2, 3), (1, 4, 2), (3, 2, 3))


def count(grid):
    return grid[0] * grid[1] * grid[2]


def made(seed=0):
    torch.manual_seed(seed)
    seams = Seams(16, 4, PATCH, 8)
    total = sum(map(count, GRIDS))
    return seams, torch.randn(total, 16), torch.randn(total, 16)


def test_samples_of_any_order_are_corrected_as_if_alone():
    seams, tokens, noisy = made()
    together = seams(tokens, noisy, GRIDS).split([count(grid) for grid in GRIDS])
    pieces = zip(tokens.split([count(grid) for grid in GRIDS]), noisy.split([count(grid) for grid in GRIDS]), GRIDS, strict=True)
    for ours, (own, own_noisy, grid) in zip(together, pieces, strict=True):
        torch.testing.assert_close(ours, seams(own, own_noisy, (grid,)), atol=1e-6, rtol=1e-5)


def test_a_latent_reaches_two_latents_far_across_token_edges_and_no_other_slice():
    seams, tokens, noisy = made()
    latents = unpatchify(noisy[: count(GRIDS[0])], PATCH, 2, 3)
    latents[0, :, 1, 1] += 1.0  # the last latent of the first token of the first slice
    moved = torch.cat([patchify(latents, PATCH), noisy[count(GRIDS[0]) :]])
    change = (seams(tokens, moved, GRIDS) - seams(tokens, noisy, GRIDS))[: count(GRIDS[0])]
    reached = (unpatchify(change, PATCH, 2, 3).abs().amax(dim=1) > 1e-7).tolist()
    wanted = torch.zeros(2, 4, 6, dtype=torch.bool)
    wanted[0, :4, :4] = True
    assert reached == wanted.tolist()


def test_it_agrees_with_a_convolution_written_out():
    seams, tokens, noisy = made(1)
    grid = GRIDS[1]
    place = slice(count(GRIDS[0]), count(GRIDS[0]) + count(grid))
    per_latent = seams.spread(tokens[place]).view(-1, 2, 2, 8)  # token, row and column in the patch
    grids = per_latent.view(4, 2, 2, 2, 8).permute(4, 0, 2, 1, 3).reshape(8, 8, 4)
    own = noisy[place].view(4, 2, 2, 2, 4).permute(4, 0, 2, 1, 3).reshape(4, 8, 4)
    wanted = seams.correct(torch.nn.functional.silu(seams.gather(torch.cat([grids, own])[None])))
    ours = unpatchify(seams(tokens, noisy, GRIDS)[place], PATCH, 4, 2)
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-5)
