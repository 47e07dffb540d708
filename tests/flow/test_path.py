import math

import pytest
import torch

from chronotope.flow.path import FlowConfig, balance, interpolate, prediction_target, to_clean, to_velocity

PATHS = ["rectified", "variance_preserving"]
PREDICTIONS = ["velocity", "clean", "noise"]


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 5, generator=generator, dtype=torch.float64), torch.randn(
        9, 5, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize("path", PATHS)
def test_ends_are_clean_and_noise(path, pair):
    clean, noise = pair
    assert torch.allclose(interpolate(path, clean, noise, torch.zeros(9, 1, dtype=torch.float64)), clean)
    assert torch.allclose(interpolate(path, clean, noise, torch.ones(9, 1, dtype=torch.float64)), noise)


@pytest.mark.parametrize("path", PATHS)
def test_velocity_is_the_derivative_of_the_path(path, pair):
    clean, noise = pair
    t = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)[:, None]
    step = 1e-6
    numeric = (interpolate(path, clean, noise, t + step) - interpolate(path, clean, noise, t - step)) / (2 * step)
    assert torch.allclose(prediction_target(path, "velocity", clean, noise, t), numeric, atol=1e-8)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_gives_back_velocity_and_clean(path, prediction, pair):
    clean, noise = pair
    t = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)[:, None]
    noisy = interpolate(path, clean, noise, t)
    output = prediction_target(path, prediction, clean, noise, t)
    assert torch.allclose(to_clean(path, prediction, output, noisy, t), clean)
    assert torch.allclose(
        to_velocity(path, prediction, output, noisy, t), prediction_target(path, "velocity", clean, noise, t)
    )


def test_variance_preserving_keeps_the_variance():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    one, zero = torch.ones_like(t), torch.zeros_like(t)
    alpha, sigma = interpolate("variance_preserving", one, zero, t), interpolate("variance_preserving", zero, one, t)
    assert torch.allclose(alpha**2 + sigma**2, one)
    assert math.isclose(float(alpha[5]), math.sqrt(0.5))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_balance_is_the_least_squares_line(path, prediction):
    """A regression of the target on noisy data finds skip and error; the network's input has deviation 1."""
    deviation = (3.0, 0.2)
    generator = torch.Generator().manual_seed(2)
    clean = torch.randn(400_000, 2, generator=generator, dtype=torch.float64) * torch.tensor(deviation)
    noise = torch.randn(400_000, 2, generator=generator, dtype=torch.float64)
    for t in (0.1, 0.5, 0.9):
        level = torch.full((1, 1), t, dtype=torch.float64)
        noisy, target = interpolate(path, clean, noise, level), prediction_target(path, prediction, clean, noise, level)
        slope = (target * noisy).mean(dim=0) / noisy.square().mean(dim=0)
        error = (target - slope * noisy).square().mean(dim=0).sqrt()
        found = balance(FlowConfig(path, prediction, deviation=deviation), level)
        torch.testing.assert_close(found.skip[0], slope, atol=0.02, rtol=0.01)
        torch.testing.assert_close(found.scale_out[0], error, atol=0.0, rtol=0.01)
        torch.testing.assert_close(
            found.scale_in[0] * noisy.std(dim=0), torch.ones(2, dtype=torch.float64), atol=0.0, rtol=0.01
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_balance_is_finite_at_both_ends(path, prediction):
    for t in (0.0, 1.0):
        found = balance(FlowConfig(path, prediction, deviation=(0.05, 4.0)), torch.tensor([[t]]))
        assert all(bool(torch.isfinite(value).all()) for value in vars(found).values()) and bool(
            (found.scale_out > 0).all()
        )
