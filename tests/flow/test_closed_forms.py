"""Paths, preconditioning, solvers, times and guidance with numbers worked out by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, interpolate, prediction_target, to_clean, to_velocity
from chronotope.flow.solvers import SOLVERS, euler, heun
from chronotope.flow.timesteps import sample_timesteps, schedule, shift_timesteps


def number(value):
    return torch.tensor([[value]], dtype=torch.float64)


CLEAN, NOISE, THIRD = number(3.0), number(-2.0), number(1 / 3)


def test_paths_at_one_third_of_the_way():
    assert interpolate("rectified", CLEAN, NOISE, THIRD).item() == pytest.approx(2 / 3 * 3 - 1 / 3 * 2)
    assert prediction_target("rectified", "velocity", CLEAN, NOISE, THIRD).item() == -5.0
    cosine, sine = math.sqrt(3) / 2, 1 / 2  # of 30 degrees
    assert interpolate("variance_preserving", CLEAN, NOISE, THIRD).item() == pytest.approx(3 * cosine - 2 * sine)
    slope = prediction_target("variance_preserving", "velocity", CLEAN, NOISE, THIRD).item()
    assert slope == pytest.approx(math.pi / 2 * (-3 * sine - 2 * cosine))
    assert prediction_target("rectified", "clean", CLEAN, NOISE, THIRD) is CLEAN
    assert prediction_target("rectified", "noise", CLEAN, NOISE, THIRD) is NOISE


def test_what_cannot_be_divided_is_divided_by_a_thousandth():
    """At t = 1 nothing of the clean data is left in the noisy ones, and at t = 0 nothing of the noise."""
    one, zero = number(1.0), number(0.0)
    assert to_clean("rectified", "noise", number(2.0), number(5.0), one).item() == pytest.approx(3000)
    assert to_velocity("rectified", "noise", number(2.0), number(5.0), one).item() == pytest.approx(2 - 3000)
    assert to_velocity("rectified", "clean", number(2.0), number(5.0), zero).item() == pytest.approx(3000 - 2)


@pytest.mark.parametrize(
    ("prediction", "skip", "error"),
    # alpha = 0.75, sigma = 0.25, d = 2, so the variance of the noisy data is 1.5^2 + 0.25^2 = 2.3125
    [
        ("velocity", (-0.75 * 4 + 0.25) / 2.3125, 2 * (0.25 + 0.75) / math.sqrt(2.3125)),
        ("clean", 0.75 * 4 / 2.3125, 2 * 0.25 / math.sqrt(2.3125)),
        ("noise", 0.25 / 2.3125, 2 * 0.75 / math.sqrt(2.3125)),
    ],
)
def test_preconditioning_by_hand(prediction, skip, error):
    found = balance(FlowConfig("rectified", prediction, deviation=(2.0,)), number(0.25))
    assert found.scale_in.item() == pytest.approx(1 / math.sqrt(2.3125))
    assert found.skip.item() == pytest.approx(skip) and found.scale_out.item() == pytest.approx(error)


def test_preconditioning_takes_a_deviation_per_value_and_never_gives_zero():
    found = balance(FlowConfig(prediction="clean", deviation=(1.0, 3.0)), torch.tensor([[0.0], [0.5]]))
    assert found.scale_in.shape == found.skip.shape == (2, 2)
    assert found.scale_out[0].tolist() == pytest.approx([1e-6, 1e-6])  # at t = 0 the guess has no error
    assert found.scale_out[1].tolist() == pytest.approx([0.5**0.5, 3 * 0.5 / 2.5**0.5])


def test_preconditioning_has_the_precision_of_its_times():
    """A deviation of 0.1 in double precision is no number of single precision."""
    found = balance(FlowConfig(prediction="clean", deviation=(0.1,)), number(0.5))
    assert found.skip.item() == pytest.approx(0.5 * 0.01 / (0.0025 + 0.25), rel=1e-14)
    assert found.scale_out.item() == pytest.approx(0.1 * 0.5 / math.sqrt(0.0025 + 0.25), rel=1e-14)


def test_a_flow_is_rectified_and_not_shifted_unless_said_otherwise():
    flow = FlowConfig()
    assert (flow.path, flow.prediction, flow.deviation) == ("rectified", "velocity", (1.0,))
    assert torch.equal(schedule(4, flow.shift), torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))


HALVES = torch.tensor([1.0, 0.5, 0.0])


@pytest.mark.parametrize(
    ("solver", "of_itself", "of_time", "calls"),
    # x' = x from 1: euler 1 - 0.5 = 0.5, 0.5 - 0.25 = 0.25; heun 1 - 0.25 (1 + 0.5) = 0.625, then euler 0.3125
    # x' = t from 0: euler -0.5 - 0.25 = -0.75; heun -0.25 (1 + 0.5) - 0.5 * 0.5 = -0.625
    [(euler, 0.25, -0.75, [1.0, 0.5]), (heun, 0.3125, -0.625, [1.0, 0.5, 0.5])],
)
def test_two_steps_by_hand(solver, of_itself, of_time, calls):
    seen, steps = [], []

    def velocity(noisy, t):
        seen.append(float(t))
        return noisy

    assert float(solver(velocity, torch.tensor(1.0), HALVES, steps.append)) == of_itself
    assert seen == calls and steps == [0, 1]
    assert float(solver(lambda noisy, t: t, torch.tensor(0.0), HALVES)) == of_time


def test_solvers_are_known_by_name():
    assert (SOLVERS["euler"], SOLVERS["heun"], len(SOLVERS)) == (euler, heun, 2)


def test_times_are_shifted_towards_noise():
    assert shift_timesteps(torch.tensor([0.0, 0.25, 0.5, 1.0]), 3.0).tolist() == pytest.approx([0, 0.5, 0.75, 1])
    times = schedule(4, 3.0)
    assert times.dtype == torch.float32
    assert times.tolist() == pytest.approx([1, 9 / 10, 3 / 4, 1 / 2, 0])
    assert schedule(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_times_of_sampling_are_the_nearest_numbers_of_single_precision():
    """Exact fractions, rounded once: t' = 5 t / (2 + 3 t) for a shift of 2.5."""
    exact = [Fraction(5 * k, 2 * 30 + 3 * k) for k in range(30, -1, -1)]
    assert schedule(30, 2.5).tolist() == [float(np.float32(float(time))) for time in exact]


def test_training_times_come_from_their_generator_alone():
    """Normal numbers, uniform ones, then a third draw that decides between the two."""
    twin = torch.Generator().manual_seed(4)
    normal, uniform, choice = torch.randn(50, generator=twin), *(torch.rand(50, generator=twin) for _ in range(2))
    wanted = torch.where(choice < 0.3, uniform, 1 / (1 + torch.exp(-0.5 - 2 * normal)))
    found = sample_timesteps(50, torch.Generator().manual_seed(4), mean=0.5, deviation=2.0, uniform=0.3)
    torch.testing.assert_close(found, wanted)
    torch.manual_seed(0)
    first = sample_timesteps(50, torch.Generator().manual_seed(4), uniform=0.5)
    torch.manual_seed(1)
    assert torch.equal(sample_timesteps(50, torch.Generator().manual_seed(4), uniform=0.5), first)


def test_training_times_by_default_are_one_tenth_uniform():
    """Below 0.01 lies next to nothing of a logit-normal, and a hundredth of what is uniform."""
    t = sample_timesteps(400_000, torch.Generator().manual_seed(0))
    assert float((t < 0.01).float().mean()) == pytest.approx(0.1 * 0.01, abs=2e-4)
    # logit-normal of mean 0 and deviation 1: t < 1 / (1 + e) is one deviation below the mean
    one_below = 0.9 * 0.158655 + 0.1 / (1 + math.e)
    assert float((t < 1 / (1 + math.e)).float().mean()) == pytest.approx(one_below, abs=2e-3)
    assert float((t < 0.5).float().mean()) == pytest.approx(0.5, abs=3e-3)


def test_training_times_are_shifted_after_they_are_drawn():
    plain, shifted = (sample_timesteps(1000, torch.Generator().manual_seed(1), shift=shift) for shift in (1.0, 3.0))
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))
    torch.testing.assert_close(sample_timesteps(1000, torch.Generator().manual_seed(1)), plain)


def test_guidance_holds_at_both_ends_of_its_interval():
    assert Guidance().active(0.0) and Guidance().active(1.0)
    within = Guidance(2.0, start=0.8, stop=0.2)
    assert [within.active(t) for t in (0.19, 0.2, 0.8, 0.81)] == [False, True, True, False]
    assert Guidance(0.0).active(0.5) and Guidance(2.0, start=0.5, stop=0.5).active(0.5)
    assert [Guidance(scale).combine(torch.tensor(2.0), torch.tensor(1.5)).item() for scale in (0.0, 1.0, 4.0)] == [
        1.5,
        2,
        3.5,
    ]


@pytest.mark.parametrize("wrong", [(-0.1, 1.0, 0.0), (2.0, 1.1, 0.0), (2.0, 1.0, -0.1), (2.0, 0.4, 0.5)])
def test_impossible_guidance_is_refused(wrong):
    with pytest.raises(UsageError, match="must"):
        Guidance(*wrong)
