"""A step is a canvas whose past is known: what is kept of the past changes no frame, and the past stays small."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chronotope.actions import ActionSchema
from chronotope.errors import UsageError
from chronotope.generate.sampler import sample_together
from chronotope.safety.policy.decide import RefusedError, read_policy
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.simulate.record import Start
from chronotope.simulate.session import Session
from tests.simulate.conftest import WALK, make_generator

STICK = ActionSchema("continuous", ("x", "y"), low=(-1.0, 0.0), high=(1.0, 2.0))
PICTURE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_a_step_equals_sampling_its_canvas_without_what_was_kept(
    world: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = world.begin(3, "a cow", PICTURE)
    errors = []

    def both(network, canvases, *settings, pasts):
        (kept,), (computed,) = (sample_together(network, canvases, *settings, pasts=each) for each in (pasts, ()))
        errors.append(float((kept - computed).abs().max()))
        assert len(canvases[0].slices) == len(pasts[0].slices) + 1 and kept.abs().max() > 0.1
        return [kept]

    monkeypatch.setattr("chronotope.simulate.model.sample_together", both)
    for action in (1, 2):
        state, _ = world.step(state, np.array([[action]]))
    assert len(errors) == 2 and max(errors) < 1e-5


def test_equal_actions_give_equal_frames_and_other_ones_do_not(world: WorldModel) -> None:
    def play(actions: list[int], seed: int = 1) -> np.ndarray:
        state, frame = world.begin(seed, picture=PICTURE)
        frames = [frame]
        for action in actions:
            state, (frame,) = world.step(state, np.array([[action]]))
            frames.append(frame)
        return np.stack(frames)

    first, again, other = play([1, 2, 0]), play([1, 2, 0]), play([1, 0, 0])
    assert np.array_equal(first, again) and np.array_equal(first[:2], other[:2])
    assert not np.array_equal(first[2], other[2]) and not np.array_equal(first[1], play([1], seed=2)[1])


def test_the_past_has_a_size_and_states_are_never_changed(world: WorldModel) -> None:
    state, _ = world.begin(0, picture=PICTURE)
    branch, branch_keys = state, state.past.slices[0].layers[0][0].clone()
    for _ in range(6):
        state, _ = world.step(state, np.array([[1]]))
    assert state.slices == 7 and len(state.past.slices) == len(state.latents) == 3
    assert branch.slices == 1 and torch.equal(branch.past.slices[0].layers[0][0], branch_keys)
    again, frames = world.step(branch, np.array([[2]]))
    assert again.slices == 2 and frames.shape == (1, 32, 48, 3)


def test_a_frame_that_was_really_there_takes_the_place_of_a_made_one(world: WorldModel) -> None:
    state, _ = world.begin(0, picture=PICTURE)
    seen = world.observe(state, PICTURE[None, ::-1], np.array([[1]]))
    again = world.observe(state, PICTURE[None], np.array([[1]]))
    assert seen.slices == 2 and torch.equal(again.latents[1], again.latents[0])
    assert not torch.equal(seen.latents[1], again.latents[1])
    frames = [world.step(each, np.array([[2]]))[1] for each in (seen, again)]
    assert not np.array_equal(*frames)
    with pytest.raises(UsageError, match="frames of shape"):
        world.observe(state, PICTURE[None, :16], np.array([[1]]))


def test_slices_of_two_frames_take_two_actions() -> None:
    world = WorldModel(make_generator(STICK, stride=2), StepSettings(num_steps=1, history=0.1))
    state, _ = world.begin(0, "a stick")
    state, frames = world.step(state, np.array([[0.5, 1.0], [-1.0, 0.0]], np.float32))
    assert frames.shape == (2, 32, 48, 3) and state.slices == 2
    with pytest.raises(UsageError, match="takes 2 actions, got 1"):
        world.step(state, np.array([[0.5, 1.0]], np.float32))
    with pytest.raises(UsageError, match="y = 3"):
        world.step(state, np.array([[0.5, 3.0], [0.5, 1.0]], np.float32))


def test_a_picture_of_any_size_is_scaled(world: WorldModel) -> None:
    _, frame = world.begin(0, picture=np.zeros((100, 30, 3), np.uint8))
    assert frame.shape == (32, 48, 3)


def test_the_policy_decides_of_what_a_session_begins_with(world: WorldModel) -> None:
    with pytest.raises(RefusedError, match="refused for dangerous"):
        world.begin(0, "make a pipe bomb")


def test_a_picture_begins_a_world_with_the_consent_that_the_policy_needs(world: WorldModel, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('[uploads]\nconsent = "needed"\n')
    generator = make_generator(WALK)
    generator.policy = read_policy(tmp_path / "policy.toml")
    careful = WorldModel(generator)
    with pytest.raises(RefusedError, match="--consent TEXT"):
        careful.begin(0, picture=PICTURE)
    _, frame = careful.begin(0, picture=PICTURE, consent="nobody is in it")
    assert np.array_equal(frame, world.begin(0, picture=PICTURE)[1])
    start = Start(0, "", PICTURE, "nobody is in it")
    assert Start.of(json.loads(json.dumps(start.line(careful)))).consent == start.consent
    with pytest.raises(RefusedError):
        Session(careful, replace(start, consent=""))
    Session(careful, start)


def test_a_model_without_actions_is_refused() -> None:
    with pytest.raises(UsageError, match=r"trained without actions.*--preset world"):
        WorldModel(make_generator(None))
    with pytest.raises(UsageError, match="history"):
        StepSettings(history=1.0)
    assert replace(WALK, neutral=()).dims == 1


def test_sessions_that_are_stepped_together_have_the_frames_of_each_alone(world: WorldModel) -> None:
    states = [world.begin(seed, text, PICTURE)[0] for seed, text in ((1, ""), (2, ""), (3, "a cow"))]
    alone = list(states)
    for t in range(4):
        actions = [np.array([[(t + number) % 3]]) for number in range(3)]
        together = world.step_together(states, actions)
        single = [world.step(state, each) for state, each in zip(alone, actions, strict=True)]
        for (_, made), (_, expected) in zip(together, single, strict=True):
            assert np.array_equal(made, expected)
        states, alone = [state for state, _ in together], [state for state, _ in single]


@pytest.mark.parametrize(
    "wrong",
    [{"num_steps": 0}, {"num_steps": -3}, {"num_steps": True}, {"guidance_scale": math.nan}, {"guidance_scale": -1}],
)
def test_settings_of_a_step_are_numbers_in_range(wrong: dict[str, Any]) -> None:
    """No step would be the default of the model, in silence."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        StepSettings(**wrong)
