"""A session with a map: it follows frames and stated poses, and branches, records and equal seeds go on as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chronotope.simulate.model import WorldModel, WorldState
from chronotope.simulate.record import Start
from chronotope.simulate.session import Session, replay
from tests.simulate.conftest import WALK, make_generator

SIZE, CELL = (32, 48), 8
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return WorldModel(make_generator(WALK, map_side=16))


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
    assert state.position == (0, 0) and state.past.map is not None
    assert bool(state.past.map.around()[0, -1, 1:4, 1:].all())  # the column that the walk saw is known, beyond the view
    assert walked(world, [*away, *back], stated=True).position == (0, 0)


def test_a_pose_is_taken_where_frames_do_not_tell(world: WorldModel) -> None:
    """The picture stays, and the environment says that the view moved."""
    state, _ = world.begin(0, picture=frame(0, 0))
    assert world.observe(state, frame(0, 0)[None], np.array([[0]])).position == (0, 0)
    moved = world.observe(state, frame(0, 0)[None], np.array([[0]]), shift=(-1, 2))
    assert moved.position == (-1, 2) and state.position == (0, 0)


def test_the_map_changes_what_comes_and_the_state_keeps_its_size(world: WorldModel) -> None:
    state = walked(world, [(0, 1), (0, 2), (0, 1)])
    forgotten = replace(state, past=replace(state.past, map=None))
    frames = [world.step(each, np.array([[1]]))[1] for each in (state, state, forgotten)]
    assert np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])
    assert state.past.map is not None and state.past.map.latents.shape == (1, 256, 4)
    assert forgotten.position is None


def test_going_back_and_playing_a_record_again_give_the_same_frames(world: WorldModel) -> None:
    lines: list[Mapping[str, Any]] = []
    session = Session(world, Start(4, "", frame(0, 0)), lines.append)
    for action in (1, 2, 2):
        session.act(action, session.frame)
        session.advance()
    session.branch(1)
    for action in (2, 0):
        session.act(action, session.frame)
        session.advance()
    assert [same for _, _, same in replay(world, lines)] == [None, *[True] * 5]
