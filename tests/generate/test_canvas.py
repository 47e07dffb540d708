"""What a canvas accepts, which of its tokens are fixed, and the noise it starts from, by hand."""

from dataclasses import replace

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.generate.canvas import Canvas
from chronotope.generate.noise import starting_noise
from chronotope.geometry import Geometry, Slice
from chronotope.prompt import Prompt

GEOMETRY = Geometry(patch_size=(1, 2, 3))
PROMPTS = (Prompt("a fox"),)


@pytest.fixture
def canvas():
    return Canvas.unknown(GEOMETRY, 5, (Slice(0, 1), Slice(1, 4)), 20, 50, 8.0, PROMPTS)


def test_a_canvas_on_which_nothing_is_known(canvas):
    """20 x 50 pixels are 2 x 3 tokens of 16 x 24 pixels, and 4 x 9 latents."""
    assert canvas.known.shape == (2, 5, 4, 9) and not canvas.known.any()
    assert canvas.level.shape == (2, 2, 3) and bool((canvas.level == 1).all())
    assert (canvas.height, canvas.width, canvas.fps, canvas.prompts, canvas.cycle) == (20, 50, 8.0, PROMPTS, False)
    assert canvas.rest is None and canvas.num_frames == 5 and not canvas.fixed.any()
    # one number each, so that an hour of unknown slices takes no memory
    assert canvas.level.untyped_storage().nbytes() == canvas.known.untyped_storage().nbytes() == 4
    assert canvas.fixed.shape == (2, 2, 3) and canvas.fixed.untyped_storage().nbytes() == 1


def test_a_canvas_ends_with_its_last_slice():
    slices = (Slice(0, 1), Slice(1, 4), Slice(5, 4), Slice(9, 4))
    assert Canvas.unknown(GEOMETRY, 1, slices, 16, 24, 8.0, PROMPTS).num_frames == 13


def test_a_slice_is_fixed_where_all_of_its_tokens_are(canvas):
    assert canvas.fixed_slices == [False, False]
    level = torch.ones(2, 2, 3)
    level[1] = 0.0
    assert replace(canvas, level=level).fixed_slices == [False, True]
    level[1, 1, 2] = 0.5
    assert replace(canvas, level=level).fixed_slices == [False, False]
    a_number_a_slice = torch.tensor([[[0.0]], [[1.0]]]).expand(2, 2, 3)
    assert replace(canvas, level=a_number_a_slice).fixed_slices == [True, False]
    for shape in ((2, 1, 3), (2, 2, 1)):  # one number a row, and one a column
        level = torch.zeros(shape)
        level[0].flatten()[-1] = 1.0
        assert replace(canvas, level=level.expand(2, 2, 3)).fixed_slices == [False, True]


def test_fixed_tokens_are_those_that_end_at_the_level_they_start_from(canvas):
    level = torch.tensor([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.25]]]).repeat(2, 1, 1)
    assert torch.equal(replace(canvas, level=level).fixed, level == 0)
    rest = torch.tensor([[[0.0, 0.5, 0.5], [0.0, 0.0, 0.25]]]).repeat(2, 1, 1)
    wanted = torch.tensor([[[True, True, False], [False, True, True]]]).repeat(2, 1, 1)
    assert torch.equal(replace(canvas, level=level, rest=rest).fixed, wanted)
    none, whole = torch.zeros(1, 1, 1).expand(2, 2, 3), torch.full((2, 2, 3), 0.0)
    for known in (none, whole):
        assert torch.equal(replace(canvas, level=known).fixed, torch.ones(2, 2, 3, dtype=torch.bool))
    half = torch.tensor([[[0.0]], [[1.0]]]).expand(2, 2, 3)  # one number a slice
    assert replace(canvas, level=half).fixed[:, 0, 0].tolist() == [True, False]


@pytest.mark.parametrize("wrong", [-0.01, 1.01])
def test_one_level_out_of_range_is_refused(canvas, wrong):
    level = torch.full((2, 2, 3), 0.5)
    level[1, 1, 2] = wrong
    with pytest.raises(UsageError, match="noise levels lie between 0"):
        replace(canvas, level=level)
    with pytest.raises(UsageError, match="noise levels lie between 0"):
        replace(canvas, level=torch.tensor(wrong).expand(2, 2, 3))
    rest = torch.full((2, 2, 3), 0.5)
    rest[1, 1, 2] = wrong
    with pytest.raises(UsageError, match="between 0 and the one it starts from"):
        replace(canvas, level=torch.full((2, 2, 3), 0.5), rest=rest)
    replace(canvas, level=torch.full((2, 2, 3), 0.5), rest=torch.full((2, 2, 3), 0.5))


def test_slices_latents_and_levels_belong_together(canvas):
    for slices, count in ((canvas.slices[:1], 2), (canvas.slices, 1), ((), 0)):
        known, level = canvas.known[:count], canvas.level[:count]
        with pytest.raises(UsageError, match="a canvas of"):
            replace(canvas, slices=slices, known=known, level=level)


def test_the_slices_of_a_cycle_are_of_one_kind(canvas):
    with pytest.raises(UsageError, match="of one kind"):
        replace(canvas, cycle=True)
    assert replace(canvas, slices=(Slice(0, 4), Slice(4, 4)), cycle=True).cycle


def test_noise_without_an_enlargement_is_the_generators():
    wanted = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(5))
    assert torch.equal(starting_noise((2, 3, 4, 6), 5), wanted)
    assert torch.equal(starting_noise((2, 3, 4, 6), 5, 1, (2, 2)), wanted)


def test_the_coarse_noise_covers_whole_patches():
    """Latents of 5 x 14 at a third of the size in patches of 2 x 3 are 2 x 6: one patch high, two wide."""
    coarse = torch.randn(2, 1, 2, 6, generator=torch.Generator().manual_seed(7))
    noise = starting_noise((2, 1, 5, 14), 7, 3, (2, 3))
    assert noise.shape == (2, 1, 5, 14) and noise.is_contiguous()
    blocks = noise[..., :3, :12].reshape(2, 1, 1, 3, 4, 3).mean(dim=(3, 5))  # the blocks that are whole
    torch.testing.assert_close(blocks * 3, coarse[..., :1, :4])
    shape = starting_noise((1, 1, 4, 6), 7, 2, (2, 3)).shape
    assert shape == (1, 1, 4, 6)
    assert not torch.equal(starting_noise((1, 1, 4, 6), 7, 2), starting_noise((1, 1, 4, 6), 8, 2))
