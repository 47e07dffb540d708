import pytest
import torch

from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals, unpack
from chronotope.models.patches import patchify, unpatchify
from chronotope.models.refinement import Grid

GEOMETRY = Geometry()
CONFIG = DiTConfig(width=64, depth=2, head_dim=32, text_depth=1, vocabulary_size=50, channels=4)
SHAPES = [
    (1, 32, 32, 2),
    (9, 48, 32, 5),
    (8, 16, 80, 1),
    (5, 33, 47, 7),
    (8, 16, 80, 3),
]  # frames, height, width, words


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = DiT(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)  # zero-initialised gates would hide everything
    return model


def make(frames, height, width, words, seed):
    generator = torch.Generator().manual_seed(seed)
    slices = GEOMETRY.slices(frames)
    latents = torch.randn(len(slices), 4, *GEOMETRY.latent_size(height, width), generator=generator)
    tokens = patchify(latents, GEOMETRY.patch_size)
    row = torch.arange(len(slices)).repeat_interleave(len(tokens) // len(slices))
    level = torch.rand(len(slices), generator=generator)
    positions = torch.from_numpy(GEOMETRY.positions(slices, height, width, 8.0))
    ids = tuple(torch.randint(2, 50, (words,), generator=generator).tolist())
    signals, grid = (
        row_signals(GEOMETRY, slices, height, width, 8.0),
        Grid(len(slices), *GEOMETRY.token_grid(height, width)),
    )
    return Sample(tokens, positions, row, level, signals, ((0.0, ids),), grid)


def test_a_packed_forward_equals_the_separate_forwards(model):
    samples = [make(*shape, seed) for seed, shape in enumerate(SHAPES)]
    batch, arranged = pack(samples)
    together = unpack(model(batch), samples, arranged)
    for sample, ours in zip(samples, together, strict=True):
        alone = model(pack([sample])[0])
        assert ours.shape == sample.noisy.shape
        torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


def test_the_order_of_samples_does_not_matter(model):
    samples = [make(*shape, seed) for seed, shape in enumerate(SHAPES)]
    forward, arranged = pack(samples)
    backward, arranged_back = pack(samples[::-1])
    ours = unpack(model(forward), samples, arranged)
    theirs = unpack(model(backward), samples[::-1], arranged_back)[::-1]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_nothing_is_padded():
    samples = [make(*shape, seed) for seed, shape in enumerate(SHAPES)]
    batch, _ = pack(samples)
    assert sum(batch.lengths) == len(batch.order) == sum(sample.num_tokens for sample in samples)
    assert sorted(batch.order.tolist()) == list(range(len(batch.order)))


def test_every_noise_level_has_its_own_effect(model):
    sample = make(8, 32, 32, 3, 0)
    batch, _ = pack([sample])
    before = model(batch)
    louder = Sample(**{**vars(sample), "level": sample.level + torch.tensor([0.3, 0.0])})
    after = model(pack([louder])[0])
    assert not torch.allclose(before[:4], after[:4])


def test_several_prompts_at_several_times(model):
    sample = make(8, 32, 32, 3, 0)
    story = Sample(**{**vars(sample), "texts": ((0.0, (3, 4)), (0.5, (5, 6, 7)))})
    batch, _ = pack([story])
    assert batch.text_lengths == (2, 3)
    assert batch.positions[:5, 0].tolist() == [0.0, 0.0, 0.5, 0.5, 0.5]
    moved = Sample(**{**vars(sample), "texts": ((0.0, (3, 4)), (0.9, (5, 6, 7)))})
    assert not torch.allclose(model(batch), model(pack([moved])[0]))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 80), (144, 32)])
def test_patchify_inverts(height, width):
    latents = torch.randn(3, 5, *GEOMETRY.latent_size(height, width))
    tokens = patchify(latents, GEOMETRY.patch_size)
    rows, columns = GEOMETRY.token_grid(height, width)
    assert tokens.shape == (3 * rows * columns, 20)
    assert torch.equal(unpatchify(tokens, GEOMETRY.patch_size, rows, columns), latents)


def test_tokens_are_read_slice_after_slice_and_row_after_row():
    latents = torch.arange(2 * 4 * 6).float().reshape(2, 1, 4, 6)
    tokens = patchify(latents, (1, 2, 2))
    assert (
        tokens[0].tolist() == [0, 1, 6, 7]
        and tokens[1].tolist() == [2, 3, 8, 9]
        and tokens[6].tolist() == [24, 25, 30, 31]
    )
