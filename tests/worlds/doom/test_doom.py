"""Doom: games that repeat, clips with their truth, captions, and checks that find injected faults."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.worlds.case import Case
from chronotope.worlds.check import succeeds
from chronotope.worlds.doom.captions import captions, facts, prompt, read_facts
from chronotope.worlds.doom.checks import visible_deeds
from chronotope.worlds.doom.deeds import deeds, turns
from chronotope.worlds.doom.faults import FAULTS, inject
from chronotope.worlds.doom.game import install_line
from chronotope.worlds.doom.motion import Motion, largest_run, measure
from chronotope.worlds.doom.sample import DoomScope, sample_doom
from chronotope.worlds.doom.simulate import planned, play, simulate
from chronotope.worlds.doom.spec import HELDOUT_MAPS, DoomSpec
from chronotope.worlds.doom.world import DOOM, SCHEMA

pytestmark = pytest.mark.skipif(bool(install_line()), reason=install_line() or "ViZDoom is installed")
TURN = DoomSpec(96, 64, 8.75, 12, "map01", 3, actions=(*["turn left"] * 6, *["forward"] * 5))


def case_of(spec: DoomSpec) -> Case:
    return Case("doom", spec, "", "sentence", "heldout", 0, 5, 5)


@pytest.fixture(scope="module")
def sampled() -> DoomSpec:
    return sample_doom(4_000_002, DoomScope(picture_share=0.0, lengths=(16,), latest=80), "heldout")


def test_the_same_spec_shows_the_same_clip_and_the_same_events_at_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, again = simulate(TURN), play(TURN, TURN.actions)
    assert not list(tmp_path.iterdir())  # ViZDoom would write its settings there
    assert np.array_equal(first.frames, again.frames)
    assert first.states == again.states
    larger = play(dataclasses.replace(TURN, width=160, height=120), TURN.actions)
    assert larger.states == first.states
    assert larger.frames.shape == (12, 120, 160, 3)


def test_actions_do_what_they_are_called() -> None:
    states = simulate(TURN).states
    assert (turns(states)[1:7] > 3).all()  # degrees a frame, against the clock
    assert (turns(states)[7:] == 0).all()
    walked = np.hypot(states[-1].x - states[6].x, states[-1].y - states[6].y)
    assert walked > 60
    assert [(deed.kind, deed.what) for deed in deeds(states)] == [("turn", "left"), ("walk", "forward")]


def test_a_game_that_is_played_goes_as_the_clip() -> None:
    game, frames = DOOM.start(TURN), simulate(TURN).frames
    assert np.array_equal(game.look().frame, frames[0])
    for t, name in enumerate(TURN.actions[:3], start=1):
        assert np.array_equal(game.step(np.array([SCHEMA.number(name)])).frame, frames[t])
    with pytest.raises(UsageError, match="expected 0 to 6"):
        game.step(np.array([7]))


def test_truth_comes_with_every_frame(sampled: DoomSpec) -> None:
    rendered = DOOM.render(sampled)
    assert rendered.actions is not None
    assert len(rendered.actions.values) == len(rendered.frames) == 16
    depth, labels = rendered.arrays["depth"]["depth"], rendered.arrays["labels"]["labels"]
    assert depth.shape == labels.shape == rendered.frames.shape[:3]
    assert set(np.unique(labels)) <= {0, 255, *range(1, 1 + max(map(len, rendered.record["truth"]["things"])))}
    assert (labels == 255).any()  # the weapon
    # an action is the one that the policy chose
    chosen, _ = planned(sampled.map, sampled.seed, sampled.tics, sampled.start + 15)
    assert [SCHEMA.choices[0][value] for value in rendered.actions.values[1:, 0]] == list(chosen[sampled.start :])


def test_a_measured_shift_is_that_of_the_picture() -> None:
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (16, 40)), np.ones((4, 4))).astype(np.uint8)  # blocks of one level
    frames = np.stack([wide[:, x : x + 96, None].repeat(3, axis=2) for x in (40, 30, 20, 20)])
    found = measure(frames)
    assert np.allclose(found.shift, [0, 10 / 96, 10 / 96, 0], atol=1 / 96)
    assert (found.growth == 0).all()
    assert largest_run(np.array([1.0, -2, 1, 1, -0.5, 2, -9])) == (3.5, 2, 6)


def test_captions_claim_only_what_is_true(sampled: DoomSpec) -> None:
    claims = 0
    for spec in (sampled, TURN):
        true = facts(spec)
        for words in (*(words for level in captions(spec, 4).values() for words in level), prompt(spec)):
            claims += len(read_facts(words))
            assert read_facts(words) <= true, words
    assert claims > 20


def test_true_clips_pass_faults_are_found_and_controls_fail(sampled: DoomSpec) -> None:
    injected = set()
    for spec in (sampled, TURN):
        case, frames = case_of(spec), simulate(spec).frames
        assert not [check for check in DOOM.check(case, frames) if not check.holds]
        assert visible_deeds(spec)
        for code in FAULTS:
            if (changed := inject(code, Case("doom", spec, "x", "sentence", "heldout", 0, 5, 5))) is not None:
                injected.add(code)
                assert code in {check.code for check in DOOM.check(case, changed)}
        for name, changed in DOOM.controls(case, frames, case).items():
            assert not succeeds(DOOM.check(case, changed)), name
    assert {"TXT-CNT", "OBJ-DIS", "MOT-STA", "MOT-DIR", "VIS-BLR"} <= injected


def test_a_deed_is_not_asked_for_where_its_motion_is_larger_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(TURN, seed=4)
    episode = simulate(spec)
    (turn,) = (deed for deed in deeds(episode.states) if deed.kind == "turn")
    shift = np.zeros(spec.num_frames)
    shift[turn.start + 1 : turn.end + 1] = 0.3 / (turn.end - turn.start)
    for back, asked in ((0.2, True), (0.4, False)):
        shift[turn.end + 1 :] = -back / (spec.num_frames - turn.end - 1)
        still = np.zeros(spec.num_frames)
        monkeypatch.setattr("chronotope.worlds.doom.checks.true_motion", lambda _: Motion(shift, still, still, still))  # noqa: B023
        visible_deeds.cache_clear()
        assert ("turn" in {one.deed.kind for one in visible_deeds(spec)}) == asked
    visible_deeds.cache_clear()


def test_maps_are_in_one_split(sampled: DoomSpec) -> None:
    assert sampled.map in HELDOUT_MAPS
    assert DOOM.split(sampled) == "heldout"
    assert DOOM.split(TURN) == "train"
    with pytest.raises(UsageError, match="no split 'combination'"):
        sample_doom(0, DoomScope(), "combination")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fps": 8.0}, "35 divided by a whole number"),
        ({"map": "map40"}, "unknown map 'map40'. Did you mean"),
        ({"actions": ("jump",) * 11}, "unknown action 'jump'"),
        ({"actions": ("noop",)}, "expected one for each frame after the first, 11"),
        ({"start": -1}, "start = -1"),
    ],
)
def test_bad_specs_are_refused(changed: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dataclasses.replace(TURN, **changed)
