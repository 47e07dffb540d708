"""The environment keeps Gymnasium's contract, by its own checker, and says what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from PIL import Image

import chronotope
from chronotope.actions import ActionSchema
from chronotope.errors import FileProblem, UsageError
from chronotope.simulate.env import WorldEnv, action_space
from chronotope.simulate.model import WorldModel
from chronotope.simulate.starts import start_picture
from tests.simulate.conftest import make_generator


def test_the_checker_of_gymnasium_finds_nothing(world: WorldModel) -> None:
    env = chronotope.make_env(world, max_steps=2)
    check_env(env, skip_render_check=True)
    first, info = env.reset(seed=5, options={"prompt": "a cow"})
    assert env.observation_space.contains(first) and info == {"frame": 0}
    again, _ = env.reset(seed=5, options={"prompt": "a cow"})
    assert np.array_equal(first, again) and np.array_equal(env.render(), first)
    frame, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated, info) == (0.0, False, False, {"frame": 1}) and frame.shape == first.shape
    assert env.step(1)[3]


def test_a_vector_environment_steps_as_single_ones(world: WorldModel) -> None:
    several = chronotope.make_vector_env(world, 2)
    pictures, _ = several.reset(seed=[1, 2])
    frames, rewards, *_ = several.step(np.array([1, 2]))
    assert frames.shape == (2, 32, 48, 3) and pictures.shape == frames.shape and not rewards.any()
    for number, (seed, action) in enumerate(((1, 1), (2, 2))):
        one = chronotope.make_env(world)
        one.reset(seed=seed)
        assert np.array_equal(one.step(action)[0], frames[number])


def test_what_an_environment_cannot_do_is_said(world: WorldModel) -> None:
    env = WorldEnv(world)
    with pytest.raises(UsageError, match="call reset before step"):
        env.step(0)
    with pytest.raises(UsageError, match="reset takes the options image, prompt and consent, got pose"):
        env.reset(options={"pose": 1})
    env.reset(seed=0)
    for action in (3, -1, [1, 1], 0.5, "left", None, [], [[0], [1, 2]], {"action": 1}, np.nan):
        with pytest.raises(UsageError, match=r"got the action .*, expected a number \(0 noop, 1 left, 2 right\)"):
            env.step(action)
    assert env.step(0)[4] == {"frame": 1}  # the session goes on
    with pytest.raises(UsageError, match="num_envs"):
        chronotope.make_vector_env(world, 0)
    with pytest.raises(UsageError, match="max_steps"):
        chronotope.make_env(world, max_steps=0)


def test_a_vector_environment_says_what_actions_it_takes(world: WorldModel) -> None:
    """No session is stepped where one of the actions is wrong."""
    several = chronotope.make_vector_env(world, 2)
    several.reset(seed=[1, 2])
    for actions in ([1], [1, 2, 0], 1, [[1], [2]], np.array([1]), ["left", "right"], [[1], [1, 2]], None, {"a": 1}):
        with pytest.raises(UsageError, match=r"got the actions .* one action for each of the 2 sessions, "):
            several.step(actions)
    with pytest.raises(UsageError, match="got the action 3"):
        several.step(np.array([1, 3]))
    assert several.step(np.array([1, 2]))[4]["frame"].tolist() == [1, 1]
    stick = ActionSchema("continuous", ("x", "y"), low=(-1.0, 0.0), high=(2.0, 1.0))
    pushing = chronotope.make_vector_env(WorldModel(make_generator(stick)), 2)
    pushing.reset(seed=[1, 2])
    with pytest.raises(UsageError, match="each an array of 2 numbers"):
        pushing.step(np.zeros(2))
    with pytest.raises(UsageError, match="x from -1 to 2, y from 0 to 1"):
        pushing.step(np.full((2, 2), 3.0))
    assert pushing.step(np.zeros((2, 2)))[0].shape == (2, 32, 48, 3)


def test_actions_have_names(world: WorldModel) -> None:
    env, several = chronotope.make_env(world), chronotope.make_vector_env(world, 2)
    names = ["noop", "left", "right"]
    assert env.metadata["actions"] == several.metadata["actions"] == env.unwrapped.get_action_meanings() == names
    two = ActionSchema("multi-discrete", ("walk", "look"), (("no", "yes"), ("left", "ahead", "right")))
    env = chronotope.make_env(WorldModel(make_generator(two)))
    assert env.action_names == ("walk", "look") and env.schema == two


def test_every_kind_of_action_has_its_space() -> None:
    two = ActionSchema("multi-discrete", ("walk", "look"), (("no", "yes"), ("left", "ahead", "right")))
    stick = ActionSchema("continuous", ("x",), low=(-1.0,), high=(2.0,))
    assert action_space(two) == spaces.MultiDiscrete([2, 3])
    assert action_space(stick) == spaces.Box(np.float32([-1]), np.float32([2]), dtype=np.float32)


def test_sessions_begin_from_stored_pictures(tmp_path) -> None:
    assert start_picture(None, 0) is None and start_picture(tmp_path, 0) is None
    (tmp_path / "starts").mkdir()
    for value in (10, 20):
        Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / "starts" / f"{value}.png")
    assert [int(start_picture(tmp_path, n)[0, 0, 0]) for n in (0, 1, 2)] == [10, 20, 10]
    (tmp_path / "starts" / "10.png").write_bytes(b"no picture")
    with pytest.raises(FileProblem, match="no readable picture"):
        start_picture(tmp_path, 0)
