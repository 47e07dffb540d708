"""The measures of `benchmarks.worlds`: the game itself scores perfectly, rules score as computed, noise collapses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from benchmarks.worlds.clips import Clip, Rule, Truth, action_of, after, rollout
from benchmarks.worlds.collapse import Ran, clip_like_actions, collapsed, hazard, random_actions, rate
from benchmarks.worlds.counters import counters
from benchmarks.worlds.pixels import changed, error, psnr, shift_of, shift_rule
from benchmarks.worlds.places import Walk, actions_of, came_back, dead_reckoning, find_walks, permanence
from benchmarks.worlds.rows import Row, mean, share, table
from benchmarks.worlds.steps import WAIT, counterfactuals, drift, from_true_pasts, in_sessions, latency
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.crafter.world import CRAFTER
from tests.worlds.crafter.games import AREA, NEEDS_CRAFTER

pytestmark = NEEDS_CRAFTER
FRAMES = 12
EQUAL = psnr(0)


def clip_of(spec: CrafterSpec) -> Clip:
    rendered = CRAFTER.render(spec)
    assert rendered.actions is not None
    return Clip(rendered.frames, rendered.actions, CRAFTER, spec)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Three clips in which the player walks and gathers."""
    specs = [(4, 0), (4, 30), (5, 8)]
    return [clip_of(CrafterSpec(64, 64, 8.0, FRAMES, seed, start, area=AREA)) for seed, start in specs]


@pytest.fixture(scope="module")
def truth(clips: list[Clip]) -> Truth:
    return Truth(clips)


@pytest.fixture(scope="module")
def copy(clips: list[Clip]) -> Rule:
    return Rule(clips[0].schema, moves=False)


@pytest.fixture(scope="module")
def shifted(clips: list[Clip]) -> Rule:
    return Rule(clips[0].schema, moves=True)


def by_measure(rows: Any) -> dict[str, Row]:
    return {row.measure: row for row in rows}


def test_the_game_itself_scores_perfectly(clips: list[Clip], truth: Truth) -> None:
    rows, sessions = in_sessions("game", truth, clips)
    assert all(np.array_equal(made, clip.frames) for made, clip in zip(sessions, clips, strict=True))
    found = by_measure([*rows, *from_true_pasts("game", truth, clips), *counters("game", clips, sessions)])
    found |= by_measure([*counterfactuals("game", truth, truth, clips, (3, 6)), *latency("game", truth, truth, clips)])
    for name, row in found.items():
        if row.unit == "%":
            assert row.value == 1 and row.of, name
    for name in ("delta-PSNR of a step from a true past", "delta-PSNR of a session"):
        assert found[name].value == pytest.approx(EQUAL)
    assert found["the same step under another action"].value < EQUAL
    assert found["latency of an action"].value == 1


def test_the_last_frame_again_scores_as_computed(clips: list[Clip], truth: Truth, copy: Rule) -> None:
    rows, sessions = in_sessions("copy", copy, clips)
    found = by_measure([*rows, *from_true_pasts("copy", copy, clips), *counters("copy", clips, sessions)])
    found |= by_measure([*counterfactuals("copy", copy, truth, clips, (3,)), *latency("copy", copy, truth, clips)])
    expected = []
    for clip in clips:
        mask = changed(clip.frames[:-1], clip.frames[1:])
        expected.append(psnr(error(np.repeat(clip.frames[:1], FRAMES - 1, axis=0), clip.frames[1:], mask)))
    assert found["delta-PSNR of a session"].value == pytest.approx(np.mean(expected))
    step = found["delta-PSNR of a step from a true past"]
    assert step.value == found["the same step under another action"].value < 20
    for when in ("sessions", "a step from a true past"):
        assert found[f"moves in the right direction, {when}"].value == 0
        assert found[f"rests that stay at rest, {when}"].value == 1
    assert found["counterfactual cells: recall"].value == 0
    assert math.isnan(found["counterfactual cells: precision"].value)
    assert found["latency of an action"].value == WAIT + 1
    assert found["counters that change in the clip: right at the end"].value == 0
    assert found["counters that stay in the clip: right at the end"].value == 1
    assert next(iter(drift("copy", copy, clips, rest=3))).value == 0


def test_a_shift_is_found_and_the_rule_makes_it(clips: list[Clip]) -> None:
    frame = clips[0].frames[0]
    for name, shift in (("move left", (0, 1)), ("move down", (-1, 0)), ("do", (0, 0))):
        assert shift_of(frame, shift_rule(frame, name)) == shift
    assert np.array_equal(shift_rule(frame, "move up")[8:48, :32], frame[:40, :32])


def test_the_map_of_the_shipped_world_follows_true_walks(clips: list[Clip], truth: Truth, copy: Rule) -> None:
    model, walks = WorldModel.load("small-crafter"), find_walks(truth, clips, (2,))
    (row,) = dead_reckoning("", model, walks)
    assert row.of == 4 * len(walks) and row.value >= 0.75
    away = [replace(walk, move="move up" if walk.move == "move down" else "move down") for walk in walks]
    (other,) = dead_reckoning("", model, away)  # the frames are of another way
    assert other.value < 0.5
    mapless = WorldModel(model.generator, StepSettings(map_side=0))
    assert not [*dead_reckoning("", mapless, walks), *dead_reckoning("", copy, walks)]


def test_what_comes_back_is_what_was_there(clips: list[Clip], truth: Truth, copy: Rule, shifted: Rule) -> None:
    walks = find_walks(truth, clips, (2, 3))
    assert {walk.distance for walk in walks} == {2, 3}
    game, copied = (by_measure(permanence("", model, walks)) for model in (truth, copy))
    for away in ("2 cells away and back", "3 cells away and back"):
        assert game[f"walks that are made, {away}"].value == 1 and copied[f"walks that are made, {away}"].value == 0
        assert game[f"ground that comes back changed, {away}"].value == 0
        assert math.isnan(copied[f"ground that comes back changed, {away}"].value)
    # the rule repeats the edge: what comes back is the column beside the ones that left
    walk = next(walk for walk in walks if walk.move in ("move left", "move right"))
    frames = rollout(shifted, walk.real[0], actions_of(walk), 0)
    ground = CRAFTER.sight(walk.real[:1]).cells[0]
    rows, columns = walk.left_view()
    stays = ground[:, walk.distance] if walk.move == "move right" else ground[:, -walk.distance - 1]
    assert came_back(walk, frames[-1:])[0] == pytest.approx((ground[rows, columns] != stays[:, None]).mean())


def test_the_path_of_a_walk_and_what_leaves_the_view(clips: list[Clip]) -> None:
    walk = Walk(clips[0], 0, "move up", 2, clips[0].frames[:1])
    assert walk.path.tolist() == [[0, 0], [0, -1], [0, -2], [0, -1], [0, 0]]
    assert walk.names == ["move up"] * 2 + ["move down"] * 2
    grid = np.arange(6)[:, None] + np.zeros(8, int)
    assert grid[walk.left_view()][:, 0].tolist() == [4, 5]


def test_a_state_of_the_game_is_never_changed(clips: list[Clip], truth: Truth) -> None:
    state = after(truth, clips[0], 0, 3, 0)
    one, other, again = (
        truth.step(state, action_of(truth.schema, name))[1] for name in ("move left", "move right", "move left")
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)


class Noise(Rule):
    """A session that is noise from a frame on."""

    def begin(self, seed: int = 0, prompt: str = "", picture: Any = None) -> tuple[Any, Any]:
        return (0, picture), picture

    def step(self, state: Any, actions: np.ndarray) -> tuple[Any, np.ndarray]:
        number, picture = state
        noise = np.random.default_rng(number).integers(0, 256, picture.shape, dtype=np.uint8)
        return (number + 1, picture), (noise if number >= 2 else picture)[None]


def test_noise_collapses_and_neither_the_game_nor_its_night_does(clips: list[Clip], truth: Truth, copy: Rule) -> None:
    night = clip_of(CrafterSpec(64, 64, 8.0, 16, 4, 260, area=AREA)).frames
    assert not collapsed(CRAFTER, night).any() and CRAFTER.sight(night).residual.max() < 20
    for model, seconds in ((Noise(truth.schema, moves=False), 3 / 8), (truth, 3.0), (copy, 3.0)):
        rows = by_measure(hazard("", model, clips, 8.0, seeds=1, minutes=0.05))
        events = int(seconds < 2)
        for kind in ("random actions", "actions like those of the clips"):
            row = rows[f"collapses per minute, {kind}"]
            assert row.of == events and row.value == pytest.approx(60 * events / seconds)


def test_the_interval_of_a_poisson_rate() -> None:
    none = rate("", "", [Ran(300, False), Ran(300, False)])
    assert none.value == none.low == 0 and none.high == pytest.approx(-math.log(0.025) / 10)
    one = rate("", "", [Ran(60, True)])
    assert one.low == pytest.approx(-math.log(0.975)) and one.high == pytest.approx(5.572, abs=1e-3)  # Garwood 1936


def test_actions_like_those_of_clips_follow_as_theirs_do(clips: list[Clip]) -> None:
    rng = np.random.default_rng(0)
    pairs = {pair for clip in clips for pair in zip(*(clip.actions.values[i:, 0] for i in (1, 2)), strict=False)}
    drawn = clip_like_actions(clips, 60, rng)[:, 0]
    known = {first for first, _ in pairs}
    assert all(pair in pairs for pair in pairwise(drawn) if pair[0] in known)
    assert len(set(random_actions(clips, 400, rng)[:, 0])) == len(clips[0].schema.choices[0])


def test_rows_and_their_table() -> None:
    rows = [
        share("moves", "a", [True, True, False, True], [0, 1, 2, 3]),
        mean("error", "a", [1.0, 3.0], [0, 1], "dB"),
        share("moves", "b", [], []),
    ]
    assert rows[0].low < 0.75 < rows[0].high and (rows[1].low, rows[1].high) == (1, 3)
    assert [str(Row.read(row.plain())) for row in rows] == list(map(str, rows)) and rows[2].plain()["value"] is None
    lines = table(rows).splitlines()
    assert lines[2].startswith("| moves, % | 75 [") and lines[2].endswith("| - |")
    assert lines[3] == "| error, dB | 2.0 [1.0, 3.0] of 2 |  |"
