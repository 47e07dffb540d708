"""The world in pixels of `benchmarks.worlds`: preconditioning and sampling have closed forms; a training goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.worlds import diamond
from benchmarks.worlds.diamond import Diamond, Film, loss_of, read_training, sample, sigmas, to_levels, train, windows
from benchmarks.worlds.unet import SIGMA_DATA, UNet, UNetConfig, preconditioning
from tests.simulate.conftest import WALK

SIDE = 16


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """Clips in which the action decides the colour of the next frame; the first action is not known."""
    rng = np.random.default_rng(0)
    actions = [np.concatenate([[3], rng.integers(0, 3, 11)]) for _ in range(4)]
    return [
        Film(np.repeat(80 * each % 240, SIDE * SIDE * 3).reshape(12, SIDE, SIDE, 3).astype(np.uint8), each)
        for each in actions
    ]


def lines_of(path: Path) -> list[str]:
    return path.with_suffix(".jsonl").read_text().splitlines()


def test_preconditioning_and_noise_levels() -> None:
    skip, out = (part.flatten() for part in preconditioning(torch.tensor([1e-6, SIGMA_DATA, 1e6])))
    assert skip.tolist() == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert out.tolist() == pytest.approx([0, SIGMA_DATA / 2**0.5, SIGMA_DATA], abs=1e-5)
    assert sigmas(3)[[0, 2, 3]].tolist() == pytest.approx([5.0, 2e-3, 0.0])
    assert (sigmas(5).diff() < 0).all()


def test_a_network_without_training_returns_what_preconditioning_keeps() -> None:
    net, x = UNet(UNetConfig(3)), torch.randn(2, 3, SIDE, SIDE)
    nn.init.zeros_(net.last.bias)
    denoised = net(x, torch.tensor([0.5, 0.5]), torch.zeros(2, 4, 3, SIDE, SIDE), torch.zeros(2, 4, dtype=torch.long))
    assert torch.equal(denoised, x / 2)


def test_sampling_ends_at_what_the_denoiser_says() -> None:
    clean = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    made = sample(lambda *_: clean, torch.zeros(1, 4, 3, SIDE, SIDE), torch.zeros(1, 4), torch.randn_like(clean))  # type: ignore[arg-type]
    assert torch.allclose(made, clean, atol=1e-5)


def test_windows_hold_the_frames_before_and_the_actions_up_to_the_next(films: list[Film]) -> None:
    history, actions, after = windows(films, 4, 64, np.random.default_rng(1))
    assert history.shape == (64, 4, 3, SIDE, SIDE) and after.shape == (64, 3, SIDE, SIDE)
    colours = to_levels(torch.tensor([0, 80, 160, 0])[:, None, None, None].expand(-1, 1, 1, 3))[:, 0, 0, 0]
    assert torch.equal(after[:, 0, 0, 0], colours[actions[:, -1]])
    assert torch.equal(history[:, 1:, 0, 0, 0], colours[actions[:, :-1]])


def test_a_training_goes_on_and_its_world_is_played(
    films: list[Film], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diamond, "read_films", lambda folder: (WALK, films))
    monkeypatch.setattr(diamond, "LOG_EVERY", 5)
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    train(tmp_path, first, 0.02)
    net, _, done = read_training(first)
    train(tmp_path, second, 0.05, before=first)
    _, _, more = read_training(second)
    assert more.steps > done.steps and more.seconds >= 3
    losses = [json.loads(line)["loss"] for path in (first, second) for line in lines_of(path)]
    assert min(losses[-3:]) < 0.9 * losses[0]
    batch = windows(films, 4, 16, np.random.default_rng(2))
    assert loss_of(net, batch, torch.Generator().manual_seed(0)) < loss_of(
        UNet(net.config), batch, torch.Generator().manual_seed(0)
    )
    world = Diamond.load(second)
    state, picture = world.begin(1, picture=films[0].frames[0])
    after, frames = world.step(state, np.array([[1]]))
    again = world.step(state, np.array([[1]]))[1]
    assert frames.shape == (1, SIDE, SIDE, 3) and np.array_equal(frames, again)
    assert torch.equal(after.history[-1], to_levels(torch.from_numpy(frames))[0]) and after.actions[-1] == 1
    assert np.array_equal(picture, films[0].frames[0])
