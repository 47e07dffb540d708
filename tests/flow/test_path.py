import math

import pytest
import torch

from chronotope.flow.path import interpolate, prediction_target, to_clean, to_velocity

PATHS = ["rectified", "variance_preserving"]
PREDICTIONS = ["velocity", "clean", "noise"]


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 5, generator=generator, dtype=torch.float64), torch.randn(9, 5, generator=generator, dtype=torch.float64)


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
    assert torch.allclose(to_velocity(path, prediction, output, noisy, t), prediction_target(path, "velocity", clean, noise, t))


def test_variance_preserving_keeps_the_variance():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    one, zero = torch.ones_like(t), torch.zeros_like(t)
    alpha, sigma = interpolate("variance_preserving", one, zero, t), interpolate("variance_preserving", zero, one, t)
    assert torch.allclose(alpha**2 + sigma**2, one)
    assert math.isclose(float(alpha[5]), math.sqrt(0.5))
