"""Several plans in one pass of the network: the values of each alone, to the bit, or a refusal."""

from dataclasses import replace

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import Generator
from chronotope.generate.sampler import Network, RoundingError, Sampling, sample, sample_together
from chronotope.generate.tasks import loop, text_to_video
from chronotope.generate.together import sample_plans
from chronotope.models.dit import DiT
from chronotope.prompt import Prompt, read_prompts
from chronotope.request import Request
from tests.generate.test_sampler import CONFIG, GEOMETRY, TOKENIZER, WIDE

PROMPTS = "a fox", "two red foxes jump", "a"


class Exact(DiT):
    """A network of which every token is computed alone, so that it rounds the same in every pack."""

    step = 0.0  # by how much its output rises with every token more in the pack

    def forward(self, batch, text=None):
        tokens = batch.order >= len(batch.text_tokens)
        visible = torch.arange(len(batch.lengths)).repeat_interleave(len(batch.noisy) // len(batch.lengths))
        texts = torch.tensor(batch.lengths)[visible, None] / 16  # guidance leads away from a shorter text
        return batch.noisy * (texts + batch.level[batch.row[tokens]][:, None]) + self.step * len(batch.noisy)


def network(step=0.0):
    model = Exact(CONFIG)
    model.step = step
    return Network(model, TOKENIZER, FlowConfig(), GEOMETRY)


def canvases(laid_out, *numbers):
    return [laid_out(replace(WIDE, prompts=(Prompt(text),)), *numbers) for text in PROMPTS]


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("laid_out", [text_to_video, loop])
def test_latents_are_those_of_each_canvas_alone(solver, scale, laid_out):
    sampling, seeds = Sampling(num_steps=3, solver=solver, guidance=Guidance(scale)), (3, 1, 2**40)
    found, watched, steps = canvases(laid_out, 8), [], []
    together = sample_together(network(), found, sampling, seeds, steps.append, watched.append)
    model, *rest = vars(network()).values()
    for canvas, seed, latents in zip(found, seeds, together, strict=True):
        assert torch.equal(latents, sample(model, *rest, canvas, sampling, seed))
    assert steps == [0, 1, 2] and [len(seen) for seen in watched] == [3, 3, 3]
    assert len({latents.sum().item() for latents in together}) == 3


def test_known_tokens_differ_from_canvas_to_canvas():
    found = canvases(text_to_video, 8)
    picture = torch.randn(found[0].known[0].shape)
    known = [replace(one, known=one.known + picture * number) for number, one in enumerate(found)]
    level = found[0].level.clone()
    level[0] = 0
    known = [replace(one, level=level if number else one.level) for number, one in enumerate(known)]
    sampling = Sampling(num_steps=2)
    together = sample_together(network(), known, sampling, (0, 1, 2))
    model, *rest = vars(network()).values()
    for number, latents in enumerate(together):
        assert torch.equal(latents, sample(model, *rest, known[number], sampling, number))
        assert torch.equal(latents[0], picture * number) == (number > 0)


def test_a_pass_that_rounds_differently_is_refused():
    with pytest.raises(RoundingError, match="3 videos of this size in one pass round differently"):
        sample_together(network(1e-6), canvases(text_to_video, 8), Sampling(num_steps=2), (0, 1, 2))


def linear_row_by_row(rows, weight, bias=None):
    """A product whose rows do not depend on their number."""
    found = (rows[..., None, :] * weight).sum(-1)
    return found if bias is None else found + bias


@pytest.mark.parametrize("exact", [True, False])
def test_a_transformer_gives_the_values_of_each_alone_or_is_refused(exact, monkeypatch):
    if exact:
        monkeypatch.setattr(torch.nn.functional, "linear", linear_row_by_row)
    torch.manual_seed(0)
    model = DiT(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.1)
    real = Network(model, TOKENIZER, FlowConfig(), GEOMETRY)
    sampling, found = Sampling(num_steps=2), canvases(text_to_video, 8)
    try:
        together = sample_together(real, found, sampling, (0, 1, 2))
    except RoundingError:
        assert not exact, "rows that are computed one by one round alike"
        return  # this processor rounds products of so few rows by their number
    for number, latents in enumerate(together):
        alone = sample(model, TOKENIZER, FlowConfig(), GEOMETRY, found[number], sampling, number)
        assert torch.equal(latents, alone)


def test_plans_have_a_kind_where_one_window_is_enough():
    generator = Generator.load("small")
    plain = Request(read_prompts("a red ball"), num_frames=8, num_steps=1)
    kind = generator.plan(plain, encode=False).kind
    for same in (replace(plain, prompts=read_prompts("a fox")), plain):
        assert kind is not None and generator.plan(same, encode=False).kind == kind
    for field, value in {"num_frames": 12, "width": 64, "num_steps": 2, "guidance_scale": 1.0, "fps": 12.0}.items():
        other = generator.plan(replace(plain, **{field: value}), encode=False)
        assert other.kind not in (None, kind), field
        with pytest.raises(UsageError, match="equal sizes, lengths and settings"):
            sample_plans(generator, [generator.plan(plain, encode=False), other], [0, 1])
    assert generator.plan(replace(plain, num_frames=60), encode=False).kind is None
