"""The pusher: a stick that acts on the table, its policies, truth, captions, and checks that find injected faults."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.worlds.case import Case
from chronotope.worlds.check import succeeds
from chronotope.worlds.splits import to_json
from chronotope.worlds.table.checks.tracking import track_solids
from chronotope.worlds.table.pusher.captions import captions, prompt
from chronotope.worlds.table.pusher.checks import expected, judge
from chronotope.worlds.table.pusher.deeds import deeds
from chronotope.worlds.table.pusher.faults import inject
from chronotope.worlds.table.pusher.positions import positions
from chronotope.worlds.table.pusher.sample import PusherScope, sample_pusher
from chronotope.worlds.table.pusher.simulate import simulate
from chronotope.worlds.table.pusher.spec import AREA, MAX_SPEED, Push, PusherSpec, scene_of
from chronotope.worlds.table.pusher.world import PUSHER
from chronotope.worlds.table.spec import STICK, Actor
from tests.worlds.table.tables import needs_pictures, solid

FPS = 8.0
STANDING = solid(STICK, STICK, "blue", -0.6, 0.0, 0.45, restitution=0.15)


def spec_of(*actions: tuple[float, float], actors: tuple[Actor, ...] = ()) -> PusherSpec:
    """Return a spec in which the stick moves so; a red cube is in the middle."""
    actors = actors or (solid("cube", "cube", "red", 0.0, 0.0, 0.3, restitution=0.15),)
    return PusherSpec(64, 64, FPS, len(actions) + 1, 0, 0, "white", STANDING, actors, (), "random", actions)


PUSHED = spec_of(*[(0.6, 0.0)] * 10, (0.0, 0.0))  # 0.75 m to the right, through the place of the cube


@pytest.fixture(scope="module")
def sampled() -> PusherSpec:
    """A held-out push of one solid."""
    return sample_pusher(5_000_003, PusherScope(), "heldout")


def test_the_stick_moves_at_the_velocity_of_its_action_and_stops_at_the_border() -> None:
    spec = spec_of(
        (0.4, -0.2), (0.8, 0.8), *[(-0.8, 0.0)] * 6, actors=(solid("cube", "cube", x=0.6, y=-0.6, size=0.2),)
    )
    places = simulate(spec).trajectory.position[:, -1, :2]
    assert np.allclose(np.diff(places[:3], axis=0), np.array([[0.4, -0.2], [0.8, 0.8]]) / FPS, atol=1e-6)
    assert places[-1, 0] == pytest.approx(-AREA[0])
    velocity = simulate(spec).trajectory.velocity[:, -1, :2]
    assert np.allclose(velocity[1:3], [[0.4, -0.2], [0.8, 0.8]], atol=1e-6)
    assert velocity[-1, 0] == 0  # it stands there, though it is told to go on


def test_a_pushed_solid_stays_in_front_of_the_stick_and_rests_without_it() -> None:
    episode = simulate(PUSHED)
    cube, stick = episode.trajectory.position[:, 0], episode.trajectory.position[:, 1]
    touched = episode.touched[:, 0]
    first = int(touched.argmax())
    gap = 0.15 + 0.35 * 0.45 / 2  # from the side of the cube to the axis of the stick
    assert (-gap - stick[first - 1, 0]) / (0.6 / FPS) == pytest.approx(0.5, abs=0.5)  # touched within a frame
    assert np.allclose(cube[:first], cube[0], atol=1e-3)  # nothing moves before
    assert np.allclose((cube - stick)[touched, 0], gap, atol=0.02)
    assert np.linalg.norm(cube[-1, 1:] - cube[0, 1:]) < 0.01  # straight, and on the table
    assert abs(cube[-1, 0] - (stick[-1, 0] + gap)) < 0.06  # friction stops it soon after the stick
    (deed,) = deeds(PUSHED, episode)
    assert (deed.actor, deed.direction, deed.start) == ("cube", "right", first - 1)
    assert deed.metres == pytest.approx(cube[-1, 0] - cube[0, 0], abs=0.06)


def test_a_specs_pushes_are_done_and_rewarded(sampled: PusherSpec) -> None:
    episode, push = simulate(sampled), sampled.events[0]
    assert (push.actor, push.direction) in {(deed.actor, deed.direction) for deed in deeds(sampled, episode)}
    assert (np.abs(episode.actions) <= MAX_SPEED + 1e-6).all()
    again = dataclasses.replace(sampled, actions=tuple(map(tuple, episode.actions[1:].astype(float).tolist())))
    assert np.array_equal(simulate(again).trajectory.position, episode.trajectory.position)
    larger = dataclasses.replace(sampled, width=96, height=80)
    assert np.array_equal(simulate(larger).trajectory.position, episode.trajectory.position)
    if len(sampled.events) == 1:
        assert episode.rewards.sum() >= 0.8 * push.distance


def test_a_policy_that_is_random_covers_its_range() -> None:
    spec = sample_pusher(0, PusherScope("random", min_frames=32, picture_share=0.0), "train")
    chosen = simulate(spec).actions[1:]
    assert spec.events == () and (np.abs(chosen) <= MAX_SPEED).all()
    assert (np.ptp(chosen, axis=0) > MAX_SPEED).all()
    assert ((chosen[1:] == chosen[:-1]).all(axis=1)).mean() > 0.4  # a velocity lasts for some frames


def test_splits_are_those_of_the_spec(sampled: PusherSpec) -> None:
    assert PUSHER.split(sampled) == "heldout"
    assert PUSHER.read_spec(json.loads(to_json(sampled))) == sampled


def test_captions_say_what_was_pushed_and_where(sampled: PusherSpec) -> None:
    for spec in (PUSHED, sampled):
        found = {(deed.actor, deed.direction) for deed in deeds(spec, simulate(spec))}
        ways = {"left": ("left",), "right": ("right",), "away": ("away", "back"), "closer": ("towards", "front")}
        for level in captions(spec).values():
            for words in level:
                for actor in spec.actors:
                    assert f"{actor.colour} {actor.noun}" in words
                for direction, names in ways.items():
                    said = any(name in re.findall("[a-z]+", words.lower()) for name in names)
                    assert said == (direction in {way for _, way in found}), words
        assert prompt(spec).startswith("a blue ")


def test_a_game_that_is_played_goes_as_the_clip() -> None:
    needs_pictures()
    rendered, game = PUSHER.render(PUSHED), PUSHER.start(PUSHED)
    assert np.array_equal(game.look().frame, rendered.frames[0])
    for t in range(1, 8):
        assert np.array_equal(game.step(np.array(PUSHED.actions[t - 1])).frame, rendered.frames[t])
    with pytest.raises(UsageError, match=r"right = 0\.9, expected -0\.8 to 0\.8"):
        game.step(np.array([0.9, 0.0]))


def test_positions_are_found_by_colour(sampled: PusherSpec) -> None:
    needs_pictures()
    frames = PUSHER.render(sampled).frames
    scene = track_solids(scene_of(sampled), frames, expected(sampled))
    errors = np.linalg.norm(positions(scene) - scene.truth.trajectory.position[..., :2], axis=2)
    assert np.isnan(errors).mean() < 0.03
    assert np.nanmean(errors) < 0.04  # metres: a pixel


def test_true_clips_pass_faults_are_found_and_controls_fail(sampled: PusherSpec) -> None:
    needs_pictures()
    case = Case("pusher", sampled, "", "sentence", "heldout", 0, 3, 3)
    frames = PUSHER.render(sampled).frames
    assert not [check for check in PUSHER.check(case, frames) if not check.holds]
    for code in ("TXT-ATT", "OBJ-DIS", "TXT-ACT", "PHY-PEN"):  # `validate-checks` tries all of them
        changed = inject(code, Case("pusher", sampled, "x", "sentence", "heldout", 0, 3, 3))
        assert changed is not None
        assert code in {check.code for check in judge(sampled, changed)}
    wrong = PUSHER.controls(case, frames, case)
    for name in ("frozen first frame", "backwards"):
        assert not succeeds(judge(sampled, wrong[name])), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": "robot"}, "unknown policy 'robot'"),
        ({"stick": solid(STICK, STICK, "blue", 1.2)}, "the stick is at"),
        ({"stick": solid("stick", "cube", "blue")}, "expected a stick"),
        ({"actors": ()}, "0 solids beside the stick"),
        ({"actors": (solid("cube", "cube", "red", -0.6, 0.05, 0.3),)}, "are in the same place"),
        ({"events": (Push("ball", "left"),)}, "there is no solid 'ball'"),
        ({"events": (Push("cube", "up"),)}, "direction 'up'"),  # type: ignore[arg-type]
        ({"actions": ((0.0, 0.0),)}, "expected one for each frame after the first, 11"),
        ({"actions": ((2.0, 0.0),) * 11}, "right = 2, expected"),
    ],
)
def test_bad_specs_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dataclasses.replace(PUSHED, **changes)
