"""The sampler against closed forms: the exact velocity towards one known video is a straight line."""

from dataclasses import replace

import pytest
import torch

from chronotope.caption.subwords import Tokenizer
from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, prediction_target
from chronotope.flow.timesteps import schedule
from chronotope.generate.noise import starting_noise
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import Frame, loop, text_to_video
from chronotope.geometry import Geometry, Slice
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.patches import patchify
from chronotope.models.refinement import Grid
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
TOKENIZER = Tokenizer(["\u2581", *"abcdefghijklmnopqrstuvwxyz"])
CONFIG = DiTConfig(width=32, depth=1, head_dim=16, text_depth=1, vocabulary_size=TOKENIZER.size, channels=4)
STORY = (Prompt("a fox"), Prompt("a cat runs", 0.5))
FRAME = Frame(GEOMETRY, 4, 32, 48, 8.0, STORY)
FLOWS = [
    FlowConfig(),
    FlowConfig("variance_preserving", "noise", 2.0, (0.5,)),
    FlowConfig(prediction="clean", shift=3.0),
]


class Exact(DiT):
    """Predicts the clean data `target`, or `other` for the negative prompt; keeps its inputs in `batches`."""

    def __init__(self, flow, target, other=None):
        super().__init__(CONFIG)
        self.flow, self.targets, self.batches = flow, (target, target if other is None else other), []

    def forward(self, batch, text=None):
        assert text is not None and len(text) == len(batch.text_tokens)
        self.batches.append(batch)
        visual = batch.order >= len(batch.text_tokens)
        t = batch.level[batch.row[visual]][:, None]
        scales = balance(self.flow, t)
        noisy = batch.noisy / scales.scale_in
        count = len(self.targets[0])
        # the sample with fewer words stands first in the pack
        several = len(noisy) > count
        clean = torch.cat([self.targets[1], self.targets[0]]) if several else self.targets[0]
        if self.flow.path == "rectified":
            noise = (noisy - (1 - t) * clean) / t.clamp(min=1e-6)
        else:
            noise = (noisy - (t * torch.pi / 2).cos() * clean) / (t * torch.pi / 2).sin().clamp(min=1e-6)
        prediction = prediction_target(self.flow.path, self.flow.prediction, clean, noise, t)
        return torch.where(t > 0, (prediction - scales.skip * noisy) / scales.scale_out, 0)


def tokens(latents):
    return patchify(latents, GEOMETRY.patch_size)


def run(model, canvas, seed=0, **settings):
    sampling = Sampling(**{"num_steps": 4, "guidance": Guidance(1.0), **settings})
    return sample(model, TOKENIZER, model.flow, GEOMETRY, canvas, sampling, seed)


@pytest.mark.parametrize("flow", FLOWS)
def test_every_path_and_prediction_leads_to_the_target(flow):
    canvas = text_to_video(FRAME, 9)
    wanted = torch.randn(canvas.known.shape)
    steps = 100 if flow.path == "variance_preserving" else 3  # only straight paths are solved exactly
    torch.testing.assert_close(run(Exact(flow, tokens(wanted)), canvas, num_steps=steps), wanted, atol=3e-2, rtol=1e-2)


def test_what_the_network_is_given_at_every_step():
    """Input of deviation 1, levels of the shared clock; positions, signals and texts of the canvas."""
    flow = FlowConfig(shift=3.0, deviation=(2.0,))
    canvas = text_to_video(FRAME, 9)  # a still and two moving slices of 2 x 3 tokens
    model = Exact(flow, torch.zeros(18, 16))
    run(model, canvas, seed=5)
    noise = tokens(starting_noise((3, 4, 4, 6), 5))
    times = schedule(4, 3.0)
    assert len(model.batches) == 4
    for batch, t in zip(model.batches, times, strict=False):
        assert batch.lengths == (18 + len(batch.text_tokens),)
        visual = batch.order >= len(batch.text_tokens)
        assert batch.level[batch.row[visual]].unique().tolist() == [t.item()]
        assert batch.level[batch.row[~visual]].unique().tolist() == [0.0]
        # towards zero the noisy data are t noise, of variance (1 - t)^2 2^2 + t^2 for data of deviation 2
        scale = ((1 - t) ** 2 * 4 + t**2).rsqrt()
        torch.testing.assert_close(batch.noisy, scale * t * noise, atol=1e-5, rtol=1e-4)
        signals = batch.signals[batch.row[visual]]
        assert signals[:, 0].tolist() == [1.0] * 6 + [0.0] * 12 and not signals[:, 1:3].any()
        positions = GEOMETRY.positions(canvas.slices, 32, 48, 8.0)
        assert torch.equal(batch.positions[visual], torch.from_numpy(positions))
        first, second = (TOKENIZER.encode(prompt.text) for prompt in STORY)
        assert batch.text_tokens.tolist() == [*first, *second]
        assert batch.positions[~visual, 0].tolist() == [0.0] * len(first) + [0.5] * len(second)
        assert batch.grids == (Grid(3, 2, 3, False),)


def test_a_token_moves_from_its_level_to_its_rest_along_one_clock():
    """Rectified, towards zero: from (1 - level) known + level noise to a share of that at rest."""
    canvas = text_to_video(replace(FRAME, width=32), 4)
    known = torch.randn(canvas.known.shape)
    level, rest = torch.tensor([[[0.0, 0.25], [0.5, 1.0]]]), torch.tensor([[[0.0, 0.25], [0.25, 0.0]]])
    canvas = replace(canvas, known=known, level=level, rest=rest)
    model = Exact(FlowConfig(), torch.zeros(4, 16))
    reached = tokens(run(model, canvas, seed=3))
    noise = tokens(starting_noise(tuple(known.shape), 3))
    assert torch.equal(reached[:2], tokens(known)[:2])  # fixed tokens are returned unchanged
    # d x / d t = x / t, so x(rest) = x(level) rest / level
    torch.testing.assert_close(reached[2], (0.5 * tokens(known)[2] + 0.5 * noise[2]) / 2, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(reached[3], torch.zeros(16), atol=1e-5, rtol=1e-4)
    for batch, clock in zip(model.batches, (1.0, 0.75, 0.5, 0.25), strict=True):
        visual = batch.order >= len(batch.text_tokens)
        wanted = [0.0, 0.25, 0.25 + 0.25 * clock, clock]
        assert batch.level[batch.row[visual]].tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 3.5])
def test_guidance_goes_beyond_the_unguided_target(scale):
    """Both velocities are lines from the same noise, so the end is unguided + scale (guided - unguided)."""
    canvas = text_to_video(FRAME, 4)
    guided, unguided = torch.randn(2, *canvas.known.shape)
    model = Exact(FlowConfig(), tokens(guided), tokens(unguided))
    reached = run(model, canvas, num_steps=1, guidance=Guidance(scale), negative_prompt="dull")
    torch.testing.assert_close(reached, unguided + scale * (guided - unguided), atol=1e-4, rtol=1e-4)
    assert len(model.batches[0].lengths) == (1 if scale == 1 else 2)
    if scale != 1:
        dull = TOKENIZER.encode("dull")
        assert model.batches[0].text_tokens.tolist()[: len(dull)] == dull
        assert not model.batches[0].positions[: len(dull), 0].any()  # it speaks from the beginning


def test_guidance_acts_within_its_interval_alone():
    model = Exact(FlowConfig(), torch.zeros(6, 16))
    run(model, text_to_video(FRAME, 4), guidance=Guidance(2.0, start=0.75, stop=0.5))
    assert [len(batch.lengths) for batch in model.batches] == [1, 2, 2, 1]  # at 1, 0.75, 0.5 and 0.25


def test_the_slices_of_a_cycle_are_rotated_by_golden_sections():
    """By 0, 0.618 n, 2 * 0.618 n ... slices, rounded: of five slices by 0, 3, 6, 9, 12 and 15."""
    canvas = loop(replace(FRAME, prompts=STORY[:1]), 20)
    model = Exact(FlowConfig(), torch.zeros(30, 16))
    run(model, canvas, num_steps=6)
    seconds = torch.tensor([piece.seconds(8.0) for piece in canvas.slices])
    for step, batch in enumerate(model.batches):
        visual = batch.order >= len(batch.text_tokens)
        found = batch.positions[visual, 0][::6]
        assert torch.equal(found, seconds.roll(-round(step * 5 * 0.618034)))
        assert batch.grids == (Grid(5, 2, 3, True),)


def test_the_noise_of_a_sample_can_be_enlarged():
    canvas = text_to_video(FRAME, 4)
    model = Exact(FlowConfig(), torch.zeros(6, 16))
    run(model, canvas, seed=4, enlargement=2)
    torch.testing.assert_close(model.batches[0].noisy, tokens(starting_noise((1, 4, 4, 6), 4, 2, (2, 2))))


def test_what_is_known_completely_needs_no_network():
    canvas = replace(text_to_video(FRAME, 4), level=torch.zeros(1, 2, 3), known=torch.randn(1, 4, 4, 6))
    model = Exact(FlowConfig(), torch.zeros(6, 16))
    reached = run(model, canvas)
    assert torch.equal(reached, canvas.known) and reached is not canvas.known and model.batches == []


def test_the_numbers_of_a_sampler():
    assert Sampling(num_steps=1).num_steps == 1 and Sampling(num_steps=1000).num_steps == 1000
    assert Sampling().enlargement == 1 and Sampling().negative_prompt == ""
    for wrong in (0, 1001):
        with pytest.raises(UsageError, match="num_steps"):
            Sampling(num_steps=wrong)


def test_a_picture_and_a_slice_that_starts_late():
    """Signals say which slices are stills wherever they stand."""
    canvas = replace(text_to_video(FRAME, 5), slices=(Slice(0, 4), Slice(4, 1)))
    model = Exact(FlowConfig(), torch.zeros(12, 16))
    run(model, canvas, num_steps=1)
    (batch,) = model.batches
    signals = batch.signals[batch.row[batch.order >= len(batch.text_tokens)]]
    assert signals[:, 0].tolist() == [0.0] * 6 + [1.0] * 6
