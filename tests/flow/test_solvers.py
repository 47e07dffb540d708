import math

import pytest
import torch

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import interpolate, prediction_target
from chronotope.flow.solvers import SOLVERS, euler, heun
from chronotope.flow.timesteps import sample_timesteps, schedule, shift_timesteps


def decay(noisy, t):
    del t
    return noisy


def error_of(solver, steps):
    """dx/dt = x from t = 1 to 0 ends at x(1) / e."""
    end = solver(decay, torch.ones(1, dtype=torch.float64), schedule(steps).double(), lambda step: None)
    return abs(float(end) - math.exp(-1))


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_solvers_converge_at_their_order(solver, order):
    # Heun takes an Euler step at the end, which costs it a little less than its order
    rate = math.log2(error_of(solver, 40) / error_of(solver, 80))
    assert order - 0.35 < rate < order + 0.35


@pytest.mark.parametrize("name", SOLVERS)
def test_straight_paths_are_solved_exactly_in_one_step(name):
    clean, noise = torch.randn(4, 3), torch.randn(4, 3)
    velocity = prediction_target("rectified", "velocity", clean, noise, torch.ones(4, 1))
    end = SOLVERS[name](lambda x, t: velocity, noise, schedule(1), lambda step: None)
    assert torch.allclose(end, clean, atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_gaussian_data_are_reached_along_the_exact_velocity(name):
    """For clean ~ N(m, s^2) the rectified velocity is known in closed form, and so is where each noise must end."""
    mean, deviation = 2.0, 0.5

    def velocity(x, t):
        variance = ((1 - t) * deviation) ** 2 + t**2
        score = (x - (1 - t) * mean) / variance
        return -mean + (t - (1 - t) * deviation**2) * score

    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    end = SOLVERS[name](velocity, noise, schedule(400).double(), lambda step: None)
    assert torch.allclose(end, mean + deviation * noise, atol=2e-2)


def test_report_counts_every_step():
    seen = []
    euler(decay, torch.ones(1), schedule(5), seen.append)
    assert seen == [0, 1, 2, 3, 4]


def test_schedule_and_shift():
    times = schedule(10, shift=3.0)
    assert times[0] == 1 and times[-1] == 0 and bool((times.diff() < 0).all())
    t = torch.linspace(0, 1, 7)
    assert torch.equal(shift_timesteps(t, 1.0), t)
    assert torch.allclose(shift_timesteps(shift_timesteps(t, 3.0), 1 / 3.0), t, atol=1e-6)


def test_training_times_follow_the_logit_normal():
    t = sample_timesteps(200_000, torch.Generator().manual_seed(0), mean=0.5, deviation=0.8, uniform=0.0)
    logit = torch.log(t / (1 - t))
    assert abs(float(logit.mean()) - 0.5) < 0.01 and abs(float(logit.std()) - 0.8) < 0.01
    flat = sample_timesteps(200_000, torch.Generator().manual_seed(0), uniform=1.0)
    assert abs(float(flat.mean()) - 0.5) < 0.005 and abs(float(flat.var()) - 1 / 12) < 0.002


def test_guidance_interval_and_extrapolation():
    guidance = Guidance(3.0, start=0.8, stop=0.2)
    assert guidance.active(0.5) and not guidance.active(0.9) and not guidance.active(0.1)
    assert not Guidance(1.0).active(0.5)
    assert torch.equal(guidance.combine(torch.tensor(2.0), torch.tensor(1.0)), torch.tensor(4.0))
    with pytest.raises(UsageError):
        Guidance(-1.0)
    with pytest.raises(UsageError):
        Guidance(2.0, start=0.1, stop=0.5)


def test_interpolation_broadcasts_a_level_per_token():
    clean, noise = torch.zeros(3, 2), torch.ones(3, 2)
    assert torch.equal(
        interpolate("rectified", clean, noise, torch.tensor([[0.0], [0.5], [1.0]]))[:, 0], torch.tensor([0.0, 0.5, 1.0])
    )
