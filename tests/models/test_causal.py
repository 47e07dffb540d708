"""The slice-causal mask: what is kept of the past gives what computing it again gives, and nothing looks ahead."""

from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from chronotope.geometry import Geometry, Slice
from chronotope.models.causal import Past, slices_read
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.refinement import Grid, Order

GEOMETRY = Geometry(stride=(1, 8, 8), patch_size=(1, 1, 1))
HEIGHT, WIDTH, SIZE, COUNT = 16, 24, 6, 5
TEXT = ((0.0, (0, 3, 5)),)


def network(memory: int, reach: int = 0) -> DiT:
    config = DiTConfig(
        width=32, depth=2, head_dim=16, vocabulary_size=16, patch_size=(1, 1, 1), channels=4, action_width=3,
        memory=memory, reach=reach,
    )  # fmt: skip
    made = DiT(config).eval().requires_grad_(False)
    for module in (made.modulation, made.final_modulation, made.patch_out, made.seams.correct):
        nn.init.normal_(module.weight, std=0.1)
    nn.init.normal_(made.seams.gather_in_time.weight, std=0.1)
    if reach:
        nn.init.normal_(made.continuation.places.weight, std=0.1)
        nn.init.normal_(made.continuation.gains.weight, std=0.1)
    return made


def sample(
    latents: Tensor, level: Tensor, actions: Tensor, slices: tuple[Slice, ...], order: Order, text: tuple = TEXT
) -> Sample:
    row = torch.arange(len(slices)).repeat_interleave(SIZE)
    positions = torch.from_numpy(GEOMETRY.positions(slices, HEIGHT, WIDTH, 8.0))
    signals = row_signals(GEOMETRY, slices, HEIGHT, WIDTH, 8.0)
    return Sample(latents, positions, row, level, signals, text, Grid(len(slices), 2, 3, False, order), actions)


@pytest.fixture
def video() -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Slice, ...]]:
    """Clean latents, noisy latents, noise levels, actions and slices."""
    tokens = torch.randn(2, COUNT * SIZE, 4)
    return tokens[0], tokens[1], torch.rand(COUNT), torch.randn(COUNT, 3), GEOMETRY.slices(COUNT)


@pytest.mark.parametrize(("memory", "reach"), [(0, 0), (2, 0), (2, 1)])
def test_what_is_kept_gives_what_is_computed_again(memory: int, reach: int, video: tuple) -> None:
    model, (clean, noisy, level, actions, slices) = network(memory, reach), video
    zero = torch.zeros(COUNT)
    whole = model(pack([sample(clean, zero, actions, slices, "causal")])[0])
    twice = sample(
        torch.cat([clean, noisy]), torch.cat([zero, level]), actions.repeat(2, 1), slices + slices, "teacher"
    )
    taught = model(pack([twice])[0])
    torch.testing.assert_close(taught[: len(clean)], whole, atol=1e-5, rtol=1e-5)
    past: Past | None = None
    for i in range(COUNT):
        here, at, text = slice(i * SIZE, (i + 1) * SIZE), slice(i, i + 1), () if past else TEXT
        known = sample(clean[here], zero[at], actions[at], slices[at], "causal", text)
        unknown = sample(noisy[here], level[at], actions[at], slices[at], "causal", text)
        # two samples of one past, as with guidance
        found = model(pack([unknown, unknown])[0], pasts=(past, past) if past else ())
        torch.testing.assert_close(found.chunk(2)[0], taught[len(clean) :][here], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(*found.chunk(2), atol=1e-6, rtol=1e-6)
        past = model.remember(pack([known])[0], past)
    assert past is not None and len(past.slices) == (memory or COUNT)


@pytest.mark.parametrize("reach", [0, 1])
def test_nothing_looks_ahead_and_the_other_mask_does(reach: int, video: tuple) -> None:
    model, (clean, _, level, actions, slices) = network(0, reach), video
    later, first = clean.clone(), slice(0, 3 * SIZE)
    later[-SIZE:] += 1
    for order, same in (("causal", True), ("full", False)):
        before, after = (model(pack([sample(x, level, actions, slices, order)])[0]) for x in (clean, later))
        assert torch.equal(before[first], after[first]) == same


def test_an_action_changes_its_slice_and_those_after_it(video: tuple) -> None:
    model, (clean, _, level, actions, slices) = network(0), video
    other = actions.clone()
    other[2] += 1
    before, after = (model(pack([sample(clean, level, a, slices, "causal")])[0]) for a in (actions, other))
    changed = (before != after).view(COUNT, -1).any(dim=1)
    assert changed.tolist() == [False, False, True, True, True]


def test_a_slice_reads_so_many_before_it() -> None:
    reads = list(slices_read(Grid(4, 1, 1, order="causal"), past=3, memory=2))
    assert [list(chain(*ranges)) for ranges in reads] == [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6]]
    taught = list(slices_read(Grid(6, 1, 1, order="teacher"), past=0, memory=0))
    assert [list(chain(*ranges)) for ranges in taught] == [[0], [0, 1], [0, 1, 2], [3], [0, 4], [0, 1, 5]]


def test_samples_of_both_masks_share_a_pack(video: tuple) -> None:
    model, (clean, _, level, actions, slices) = network(0, reach=1), video
    both = [sample(clean, level, actions, slices, order) for order in ("full", "causal", "full")]
    packed, arranged = pack(both)
    pieces = model(packed).chunk(3)
    for place, index in enumerate(arranged):
        torch.testing.assert_close(pieces[place], model(pack([both[index]])[0]), atol=1e-5, rtol=1e-5)
