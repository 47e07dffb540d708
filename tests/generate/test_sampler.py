from dataclasses import replace

import pytest
import torch

from chronotope.caption.subwords import Tokenizer
from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import Frame, keyframes, loop, text_to_video
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.patches import patchify
from chronotope.prompt import Prompt

GEOMETRY = Geometry()
TOKENIZER = Tokenizer(["\u2581", *"abcdefghijklmnopqrstuvwxyz"])
CONFIG = DiTConfig(width=32, depth=1, head_dim=16, text_depth=1, vocabulary_size=TOKENIZER.size, channels=4)
FRAME = Frame(GEOMETRY, 4, 32, 32, 8.0, (Prompt("a fox"),))
WIDE = replace(FRAME, width=48)


class Straight(DiT):
    """The exact velocity towards one target video in place of a network: (noisy - target) / t."""

    def __init__(self, target):
        super().__init__(CONFIG)
        self.target = target

    def forward(self, batch, text=None):
        tokens = batch.order >= len(batch.text_tokens)
        t = batch.level[batch.row[tokens]][:, None]
        scales = balance(
            FlowConfig(), t
        )  # the sampler adds what is known without a network; this one takes it off again
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
    canvas = text_to_video(WIDE, 9)
    wanted = torch.randn(canvas.known.shape)
    model = Straight(patchify(wanted, GEOMETRY.patch_size))
    reached = run(model, canvas, solver=solver, guidance=Guidance(scale))
    torch.testing.assert_close(reached, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_what_is_watched_is_what_a_step_implies_and_changes_nothing(solver, model):
    canvas = text_to_video(WIDE, 9)
    wanted = torch.randn(canvas.known.shape)
    straight = Straight(patchify(wanted, GEOMETRY.patch_size))
    settings = Sampling(num_steps=4, solver=solver, guidance=Guidance(5.0))
    seen = []
    sample(straight, TOKENIZER, FlowConfig(), GEOMETRY, canvas, settings, 0, watch=seen.append)
    assert len(seen) == 4
    for latents in seen:
        torch.testing.assert_close(latents, wanted, atol=1e-4, rtol=1e-4)
    watched = sample(model, TOKENIZER, FlowConfig(), GEOMETRY, canvas, settings, 0, watch=seen.append)
    assert torch.equal(watched, sample(model, TOKENIZER, FlowConfig(), GEOMETRY, canvas, settings, 0))


def test_known_tokens_come_back_to_the_bit_and_unknown_ones_change(model):
    picture = torch.randn(1, 4, 4, 6)
    canvas = keyframes(WIDE, [(0, picture)], 9)
    latents = run(model, canvas)
    assert torch.equal(latents[0], picture[0])
    assert latents.shape == (3, 4, 4, 6) and bool((latents[1:] != 0).all())


def test_a_partly_noised_token_moves_less(model):
    canvas = text_to_video(FRAME, 4)
    known = torch.randn(canvas.known.shape)
    kept = []
    for strength in (0.0, 0.2, 0.9):
        partly = replace(canvas, known=known, level=torch.full_like(canvas.level, strength))
        kept.append(float((run(model, partly) - known).norm()))
    assert kept[0] == 0.0 < kept[1] < kept[2]


def test_a_sample_depends_on_its_seed_alone(model):
    canvas = text_to_video(FRAME, 8)
    first, again, other = run(model, canvas, 3), run(model, canvas, 3), run(model, canvas, 4)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_sample_depends_on_prompt_guidance_and_negative_prompt(model):
    canvas = text_to_video(FRAME, 4)
    other = replace(canvas, prompts=(Prompt("a cat"),))
    assert not torch.equal(run(model, canvas), run(model, other))
    assert not torch.equal(run(model, canvas, guidance=Guidance(1.0)), run(model, canvas, guidance=Guidance(3.0)))
    assert not torch.equal(run(model, canvas, negative_prompt="dull"), run(model, canvas))
    one = {"guidance": Guidance(1.0)}  # no guidance: such a request is refused
    assert torch.equal(run(model, canvas, negative_prompt="dull", **one), run(model, canvas, **one))


def test_guidance_outside_its_interval_is_no_guidance(model):
    canvas = text_to_video(FRAME, 4)
    never = run(model, canvas, guidance=Guidance(5.0, start=0.0, stop=0.0))
    plain = run(model, canvas, guidance=Guidance(1.0))
    torch.testing.assert_close(never, plain, atol=1e-5, rtol=1e-5)


def test_reported_steps_are_the_steps_taken(model):
    seen = []
    canvas = text_to_video(FRAME, 1)
    sample(model, TOKENIZER, FlowConfig(), GEOMETRY, canvas, Sampling(num_steps=5), 0, seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_history_is_seen_with_its_noise_and_comes_back_to_the_bit():
    """A token that rests at its own level does not move, and the network gets that level at every step."""
    canvas = text_to_video(FRAME, 8)
    known, level = torch.randn(canvas.known.shape), canvas.level.clone()
    level[0] = 0.1
    history = replace(canvas, known=known, level=level, rest=torch.where(level < 1, level, 0))
    model, seen = Straight(patchify(known, GEOMETRY.patch_size)), []
    forward = model.forward

    def watch(batch, text=None):
        rows = batch.row[batch.order >= len(batch.text_tokens)]
        seen.append(
            (batch.level[rows][:4].unique().tolist(), batch.noisy[:4].clone(), batch.level[rows][4:].max().item())
        )
        return forward(batch, text)

    model.forward = watch
    reached = run(model, history, guidance=Guidance(1.0))
    assert torch.equal(reached[0], known[0])
    assert all(levels == [pytest.approx(0.1)] and torch.equal(read, seen[0][1]) for levels, read, _ in seen)
    assert [last for _, _, last in seen] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_on_a_cycle_the_positions_rotate_through_all_slices(model):
    """The positions change from step to step, and only on a cycle."""
    for canvas, places in ((loop(FRAME, 16), 4), (text_to_video(FRAME, 16), 1)):
        seen = set()
        forward = model.forward

        def watch(batch, text=None, seen=seen, forward=forward):
            seen.add(float(batch.positions[batch.order >= len(batch.text_tokens)][0, 0]))
            return forward(batch, text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "forward", watch)
            run(model, canvas, num_steps=12)
        assert len(seen) == places


def test_impossible_canvases_and_settings_are_refused():
    canvas = text_to_video(FRAME, 4)
    with pytest.raises(UsageError, match="levels lie between"):
        replace(canvas, level=canvas.level * 2)
    with pytest.raises(UsageError, match="a canvas of"):
        replace(canvas, slices=canvas.slices * 2)
    with pytest.raises(UsageError, match="num_steps"):
        Sampling(num_steps=0)
    with pytest.raises(UsageError, match="denoised to a level"):
        replace(canvas, level=canvas.level * 0.5, rest=canvas.level * 0.6)
    with pytest.raises(UsageError, match="of one kind"):
        replace(text_to_video(FRAME, 9), cycle=True)
