"""A student of few steps: its targets against its teacher's own steps, and a training from the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chronotope.caption.subwords import Tokenizer
from chronotope.config import override
from chronotope.data.latents import LatentDataset
from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance
from chronotope.flow.solvers import euler, mean_velocity
from chronotope.flow.timesteps import schedule
from chronotope.models.dit import DiT
from chronotope.models.packing import pack
from chronotope.train.batches import make_batch
from chronotope.train.config import DiTRun
from chronotope.train.loss import Teacher, flow_loss
from chronotope.train.order import BatchPlan
from chronotope.train.samples import make_samples
from chronotope.train.student.teacher import guided_pack
from tests.train.test_parallel import write_latents

SETTINGS = [
    "model.channels=4",
    "model.head_dim=16",
    "model.width=32",
    "model.depth=1",
    "model.text_depth=1",
    "model.vocabulary_size=80",
    "train.precision=fp32",
    "noise_levels.forcing=0",
    "noise_levels.context=0.5",
    "student.steps=4",
    "captions.dropout=0.3",
]
PLACES = [(place, place) for place in range(6)]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A config, a dataset of clips of several sizes, a tokenizer and a teacher with random weights."""
    folder = tmp_path_factory.mktemp("student") / "latents"
    write_latents(folder)
    torch.manual_seed(0)
    config = override(DiTRun(), SETTINGS)
    model = DiT(config.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return config, LatentDataset([folder]), Tokenizer(tuple("clip 012345")), model


def batch_of(config, dataset, tokenizer, step=0):
    sizes = tuple(60 for _ in PLACES)
    return make_batch(config, dataset, tokenizer, BatchPlan(step, 0, tuple(range(6)), sizes))


def test_the_mean_velocity_leads_where_the_steps_lead():
    noisy = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def velocity(x, t):
        return t * x + x.square()

    times = torch.linspace(0.8, 0.2, 7, dtype=torch.float64)
    mean = mean_velocity(velocity, noisy, times[0].expand(5, 1), times[-1].expand(5, 1), 6)
    torch.testing.assert_close(noisy + (times[-1] - times[0]) * mean, euler(velocity, noisy, times))
    still = mean_velocity(velocity, noisy, times[:1], times[:1], 3)  # a known token stays where it is
    torch.testing.assert_close(still, velocity(noisy, times[0]))


def test_noise_levels_are_those_of_the_students_steps(setting):
    config, dataset, tokenizer, _ = setting
    clock = schedule(4)[:-1].tolist()
    found = set()
    for step in range(8):
        (packed,) = batch_of(config, dataset, tokenizer, step).packs
        level = packed.tokens.level[packed.tokens.row[packed.tokens.place]]
        found |= set(level[packed.scale[:, 0] > 0].tolist())
    assert found == set(clock) == {1.0, 0.75, 0.5, 0.25}


def test_a_guided_pack_holds_every_sample_with_and_without_its_text(setting):
    config, dataset, tokenizer, model = setting
    noised = make_samples(config, dataset, tokenizer, PLACES, 0)
    guided = guided_pack(noised.samples, tokenizer)
    no_text = ((0.0, tokenizer.encode("")),)
    with torch.no_grad():
        output = model(guided.tokens)
        for places, samples in (
            (guided.conditional, noised.samples),
            (guided.unconditional, [replace(sample, texts=no_text) for sample in noised.samples]),
        ):
            alone = torch.cat([model(pack([sample])[0]) for sample in samples])
            torch.testing.assert_close(output[places], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_a_teacher_that_goes_in_the_students_steps_has_nothing_to_teach(setting, shift):
    """With one step in one and no guidance the target is the teacher's own output, so its loss is zero."""
    config, dataset, tokenizer, model = setting
    student = replace(config.student, substeps=1, guidance=1.0)
    config = replace(config, student=student, flow=replace(FlowConfig(), deviation=(0.7,), shift=shift))
    batch = batch_of(config, dataset, tokenizer)
    (taught,) = Teacher(model, config).batch(batch).packs
    (packed,) = batch.packs
    with torch.no_grad():
        output = model(packed.tokens)
    count = torch.tensor(batch.num_noised)
    assert float(flow_loss(output, taught, count)) < 1e-10
    assert float(flow_loss(output, packed, count)) > 0.1  # of the clips themselves


def test_targets_are_the_guided_steps_of_the_teacher_on_each_sample(setting):
    """Every sample alone, with the solver and the guidance of sampling, one noise level a sample."""
    config, dataset, tokenizer, model = setting
    flow, guidance = config.flow, Guidance(config.student.guidance)
    noise = replace(config.noise_levels, context=0.0, region=0.0)
    config = replace(config, noise_levels=noise)
    batch = batch_of(config, dataset, tokenizer)
    (taught,) = Teacher(model, config).batch(batch).packs
    noised = make_samples(config, dataset, tokenizer, PLACES, 0)
    clock, no_text, begin = schedule(4), ((0.0, tokenizer.encode("")),), 0
    for sample in noised.samples:
        start = sample.level[0]
        stop = clock[int((clock == start).nonzero()) + 1]

        def velocity(noisy, t, sample=sample):
            scales = balance(flow, t.reshape(1, 1))
            parts = []
            for texts in (sample.texts, no_text):
                level = t.expand(len(sample.level))
                one = replace(sample, noisy=scales.scale_in * noisy, level=level, texts=texts)
                parts.append(scales.skip * noisy + scales.scale_out * model(pack([one])[0]))
            return guidance.combine(*parts)

        scales = balance(flow, start.reshape(1, 1))
        noisy = sample.noisy / scales.scale_in
        times = torch.linspace(float(start), float(stop), config.student.substeps + 1)
        with torch.no_grad():
            target = (euler(velocity, noisy, times) - noisy) / (stop - start)
        ours = taught.residual[begin : begin + len(noisy)] + scales.skip * noisy
        torch.testing.assert_close(ours, target, atol=2e-4, rtol=1e-3)
        begin += len(noisy)


def test_what_a_student_cannot_learn_is_refused(setting):
    with pytest.raises(UsageError, match=r"noise_levels.forcing=0 and noise_levels.causal=0, got 0.1 and 0"):
        override(DiTRun(), ["student.steps=4"])
    with pytest.raises(UsageError, match="this model predicts noise"):
        override(DiTRun(), ["student.steps=4", "noise_levels.forcing=0", 'flow.prediction="noise"'])
    with pytest.raises(UsageError, match="a model with actions is guided by these"):
        override(DiTRun(), ["student.steps=4", "noise_levels.forcing=0", "actions.use=true"])
