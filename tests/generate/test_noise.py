"""The noise of a draft is in the noise of the full size, and the full size's noise is white."""

import numpy as np
import pytest
import torch
from scipy import stats

from chronotope.generate.noise import starting_noise
from chronotope.generate.plan import make_plan
from chronotope.geometry import Geometry
from chronotope.prompt import read_prompts
from chronotope.request import Defaults, Request

GEOMETRY = Geometry()


@pytest.mark.parametrize("k", [2, 3, 5])
def test_blocks_of_the_large_noise_have_the_small_noise_as_their_mean(k):
    small = starting_noise((2, 3, 4, 6), 5)
    large = starting_noise((2, 3, 4 * k, 6 * k), 5, k)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(large, k) * k, small, atol=1e-5, rtol=1e-5)


def test_a_patch_is_one_latent_unless_said_otherwise():
    """Latents of 9 x 15 at a third of the size are 3 x 5, and in patches of 2 x 2 they would be 4 x 6."""
    coarse = torch.randn(1, 2, 3, 5, generator=torch.Generator().manual_seed(8))
    noise = starting_noise((1, 2, 9, 15), 8, 3)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(noise, 3) * 3, coarse, atol=1e-5, rtol=1e-5)
    assert torch.equal(starting_noise((1, 2, 9, 15), 8), starting_noise((1, 2, 9, 15), 8, 1))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_enlarged_noise_is_white(k):
    noise = starting_noise((40, 4, 36, 36), 1, k).double()
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 0.001
    for down, right in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 1)):  # neighbours within a block and across its edge
        product = (noise[..., down:, right:] * noise[..., : 36 - down, : 36 - right]).mean(dim=(0, 1)).flatten()
        assert float(product.mean().abs()) < 4 / np.sqrt(noise.numel())
        assert float(product.abs().max()) < 5.5 / np.sqrt(160)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 192), (200, 333), (1080, 1920), (50, 700), (2048, 2048)])
def test_a_draft_of_any_size_has_the_noise_that_the_full_size_enlarges(height, width):
    defaults = Defaults()
    full, draft = (
        make_plan(
            Request(read_prompts("a ball"), height=height, width=width, num_frames=4, draft=draft),
            defaults,
            GEOMETRY,
            4,
        )
        for draft in (False, True)
    )
    k = full.sampling.enlargement
    assert k == defaults.enlargement(height, width)
    assert draft.sampling.enlargement == 1 and draft.sampling.num_steps == 10
    grids = [GEOMETRY.latent_size(plan.canvas.height, plan.canvas.width) for plan in (full, draft)]
    small = starting_noise((1, 1, *grids[1]), 3)
    large = starting_noise((1, 1, *grids[0]), 3, k, GEOMETRY.patch_size[1:])
    whole = [side // k for side in grids[0]]
    pooled = torch.nn.functional.avg_pool2d(large, k) * k
    torch.testing.assert_close(
        pooled[..., : whole[0], : whole[1]], small[..., : whole[0], : whole[1]], atol=1e-5, rtol=1e-5
    )
