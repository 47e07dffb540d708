"""A session with a map: it follows frames and stated poses, and branches, records and equal seeds go on as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chronotope.errors import UsageError
from chronotope.simulate.model import StepSettings, WorldModel, WorldState
from chronotope.simulate.record import Start
from chronotope.simulate.session import Session, recorded_model, replay
from tests.simulate.conftest import WALK, make_generator

SIZE, CELL = (32, 48), 8
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


SCROLLING = ("111111",) * 3 + ("000000",)


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return WorldModel(make_generator(WALK, scrolling=SCROLLING))


def frame(down: int, right: int) -> np.ndarray:
    """Cells of a land of one colour each, and black below, where nothing scrolls."""
    seen = NOISE[5 + down : 9 + down, 5 + right : 11 + right].copy()
    seen[-1] = 0
    return seen.repeat(CELL, axis=0).repeat(CELL, axis=1)


def walked(world: WorldModel, places: list[tuple[int, int]], stated: bool = False) -> WorldState:
    state, _ = world.begin(0, picture=frame(0, 0))
    before = (0, 0)
    for place in places:
        shift = (place[0] - before[0], place[1] - before[1]) if stated else None
        state, before = world.observe(state, frame(*place)[None], np.array([[1]]), shift), place
    return state


def test_real_frames_are_followed_and_come_back(world: WorldModel) -> None:
    away = [(0, 1), (0, 2), (1, 2), (1, 3)]
    back = [(1, 2), (0, 2), (0, 1), (0, 0)]
    state = walked(world, away)
    assert state.position == (1, 3)
    state = walked(world, [*away, *back])
    assert state.position == (0, 0) and state.map is not None
    assert bool(state.map.around(1)[1][1:4, 1:].all())  # the column that the walk saw is known, beyond the view
    assert walked(world, [*away, *back], stated=True).position == (0, 0)


def test_a_pose_is_taken_where_frames_do_not_tell(world: WorldModel) -> None:
    """The picture stays, and the environment says that the view moved."""
    state, _ = world.begin(0, picture=frame(0, 0))
    assert world.observe(state, frame(0, 0)[None], np.array([[0]])).position == (0, 0)
    moved = world.observe(state, frame(0, 0)[None], np.array([[0]]), shift=(-1, 2))
    assert moved.position == (-1, 2) and state.position == (0, 0)


def test_a_known_place_enters_as_it_was(world: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that draws the next view with noise where it enters shows what the map has there."""
    state = walked(world, [(0, 1)])
    last = walked(world, [(0, 1), (0, 0)]).latents[-1:]
    made = last.clone()
    made[..., 0] += torch.randn(1, 4, 4)
    monkeypatch.setattr("chronotope.simulate.model.sample_together", lambda *args, pasts: [made])
    after, _ = world.step(state, np.array([[1]]))
    assert after.position == (0, 0)
    assert torch.equal(after.latents[-1, :, :3], last[0, :, :3])
    assert torch.equal(after.latents[-1, :, 3], made[0, :, 3])  # what does not scroll is the model's
    forgotten, _ = world.step(replace(state, map=None), np.array([[1]]))
    assert torch.equal(forgotten.latents[-1], made[0]) and forgotten.position is None
    assert state.map is not None and after.map is not None and after.map.latents.shape == (24**2, 4)


def test_a_model_in_which_nothing_scrolls_has_no_map(world: WorldModel) -> None:
    for scrolling in ((), ("000000",) * 4, ("111",) * 4):
        other = WorldModel(make_generator(WALK, scrolling=scrolling))
        state, _ = other.begin(0, picture=frame(0, 0))
        assert other.map_side == 0 and state.map is None
    assert WorldModel(world.generator, StepSettings(map_side=0)).begin(0, picture=frame(0, 0))[0].map is None
    with pytest.raises(UsageError, match="give 8"):
        WorldModel(world.generator, StepSettings(map_side=7)).begin(0, picture=frame(0, 0))
    with pytest.raises(UsageError, match="map_side is"):
        StepSettings(map_side=-1)


def test_going_back_and_playing_a_record_again_give_the_same_frames(world: WorldModel) -> None:
    lines: list[Mapping[str, Any]] = []
    session = Session(world, Start(4, "", frame(0, 0)), lines.append)
    for action in (1, 2, 2):
        session.act(action, session.frame)
        session.advance()
    positions = [state.position for state, _ in session._kept]
    session.branch(1)
    assert session._kept[-1][0].position == positions[1]
    for action in (2, 0):
        session.act(action, session.frame)
        session.advance()
    assert lines[0]["map_side"] == 24
    assert [same for _, _, same in replay(world, lines)] == [None, *[True] * 5]
    old = {name: value for name, value in lines[0].items() if name != "map_side"}  # of a version without a map
    assert recorded_model(world, old).map_side == 0
