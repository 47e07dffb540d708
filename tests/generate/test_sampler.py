from dataclasses import replace

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance
from chronotope.generate.canvas import Prompt
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import animate_picture, text_to_picture, text_to_video
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.patches import patchify
from chronotope.models.text import Tokenizer

GEOMETRY = Geometry()
TOKENIZER = Tokenizer(["\u2581", *"abcdefghijklmnopqrstuvwxyz"])
CONFIG = DiTConfig(width=32, depth=1, head_dim=16, text_depth=1, vocabulary_size=TOKENIZER.size, channels=4)
PROMPT = (Prompt("a fox"),)


class Straight(DiT):
    """Not a network but the exact velocity towards one known video, whatever the noise: (noisy - target) / t."""

    def __init__(self, target):
        super().__init__(CONFIG)
        self.target = target

    def forward(self, batch, text=None):
        tokens = batch.order >= len(batch.text_ids)
        t = batch.level[batch.row[tokens]][:, None]
        scales = balance(FlowConfig(), t)  # the sampler adds what is known without a network; this one takes it off again
        noisy = batch.noisy / scales.scale_in
        velocity = (noisy - self.target.repeat(len(noisy) // len(self.target), 1)) / t.clamp(min=1e-6)
        return torch.where(t > 0, (velocity - scales.skip * noisy) / scales.scale_out, 0)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = DiT(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def run(model, canvas, seed=0, **settings):
    return sample(model, TOKENIZER, FlowConfig(), GEOMETRY, canvas, Sampling(**{"num_steps": 4, **settings}), seed)


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_the_exact_velocity_leads_to_the_target(solver, scale):
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 9, 32, 48, 8.0)
    wanted = torch.randn(canvas.known.shape)
    model = Straight(patchify(wanted, GEOMETRY.patch_size))
    reached = run(model, canvas, solver=solver, guidance=Guidance(scale))
    torch.testing.assert_close(reached, wanted, atol=1e-4, rtol=1e-4)


def test_known_tokens_come_back_to_the_bit_and_unknown_ones_change(model):
    picture = torch.randn(1, 4, 4, 6)
    canvas = animate_picture(GEOMETRY, picture, PROMPT, 9, 32, 48, 8.0)
    latents = run(model, canvas)
    assert torch.equal(latents[0], picture[0])
    assert latents.shape == (3, 4, 4, 6) and bool((latents[1:] != 0).all())


def test_a_partly_noised_token_moves_less(model):
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 4, 32, 32, 8.0)
    known = torch.randn(canvas.known.shape)
    kept = []
    for strength in (0.0, 0.2, 0.9):
        partly = replace(canvas, known=known, level=torch.full_like(canvas.level, strength))
        kept.append(float((run(model, partly) - known).norm()))
    assert kept[0] == 0.0 < kept[1] < kept[2]


def test_a_sample_depends_on_its_seed_alone(model):
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 8, 32, 32, 8.0)
    first, again, other = run(model, canvas, 3), run(model, canvas, 3), run(model, canvas, 4)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_words_and_guidance_reach_the_sample(model):
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 4, 32, 32, 8.0)
    other = replace(canvas, prompts=(Prompt("a cat"),))
    assert not torch.equal(run(model, canvas), run(model, other))
    assert not torch.equal(run(model, canvas, guidance=Guidance(1.0)), run(model, canvas, guidance=Guidance(3.0)))
    assert not torch.equal(run(model, canvas, negative_prompt="dull"), run(model, canvas))


def test_guidance_outside_its_interval_is_no_guidance(model):
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 4, 32, 32, 8.0)
    never = run(model, canvas, guidance=Guidance(5.0, start=0.0, stop=0.0))
    plain = run(model, canvas, guidance=Guidance(1.0))
    torch.testing.assert_close(never, plain, atol=1e-5, rtol=1e-5)


def test_reported_steps_are_the_steps_taken(model):
    seen = []
    canvas = text_to_picture(GEOMETRY, 4, PROMPT, 32, 32, 8.0)
    sample(model, TOKENIZER, FlowConfig(), GEOMETRY, canvas, Sampling(num_steps=5), 0, seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_tasks_lay_out_their_canvas():
    video = text_to_video(GEOMETRY, 4, PROMPT, 10, 40, 64, 8.0)
    assert [s.num_frames for s in video.slices] == [1, 1, 4, 4] and bool((video.level == 1).all())
    assert video.level.shape == (4, 3, 4) and video.known.shape == (4, 4, 6, 8)
    picture = text_to_picture(GEOMETRY, 4, PROMPT, 40, 64, 8.0)
    assert [s.still for s in picture.slices] == [True]
    animated = animate_picture(GEOMETRY, torch.ones(1, 4, 6, 8), PROMPT, 10, 40, 64, 8.0)
    assert [s.num_frames for s in animated.slices] == [1, 4, 4, 4]
    assert bool((animated.level[0] == 0).all()) and bool((animated.level[1:] == 1).all()) and bool((animated.known[0] == 1).all())


def test_impossible_canvases_and_settings_are_refused():
    canvas = text_to_video(GEOMETRY, 4, PROMPT, 4, 32, 32, 8.0)
    with pytest.raises(UsageError, match="levels lie between"):
        replace(canvas, level=canvas.level * 2)
    with pytest.raises(UsageError, match="a canvas of"):
        replace(canvas, slices=canvas.slices * 2)
    with pytest.raises(UsageError, match="num_steps"):
        Sampling(num_steps=0)
    with pytest.raises(UsageError, match="at least two frames"):
        animate_picture(GEOMETRY, torch.ones(1, 4, 4, 4), PROMPT, 1, 32, 32, 8.0)
