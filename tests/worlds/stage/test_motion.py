"""Events of one actor agree with closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chronotope.worlds.stage.motion import GRAVITY, RESTITUTION
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Actor
from chronotope.worlds.stage.tracks import floor_y

from .scenes import clip, does, emoji, shape


@pytest.mark.parametrize(
    ("direction", "step"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))]
)
def test_moves_go_in_their_direction(direction: str, step: tuple[int, int]) -> None:
    truth = render(clip(shape("a"), events=(does("move", "a", 0, 3, direction, amount=0.3),))).truth  # type: ignore[arg-type]
    assert truth.x[-1, 0] - truth.x[0, 0] == pytest.approx(step[0] * 0.3 * 96)
    assert truth.y[-1, 0] - truth.y[0, 0] == pytest.approx(step[1] * 0.3 * 64)
    assert np.ptp(np.diff(truth.x[:, 0])) < 1e-9  # evenly


def test_bounce_is_a_parabola_between_contacts() -> None:
    fps, frames = 60.0, 181
    spec = clip(shape("a", y=0.2, size=0.3), events=(does("bounce", "a", 0, 3),), fps=fps, frames=frames)
    scene = simulate(spec)
    y, times = scene.tracks["a"].y, scene.times
    gravity = GRAVITY * 64
    contacts = [0.0, *(h.start for h in scene.log if h.kind == "contact")]
    assert len(contacts) >= 3
    rest = floor_y(64.0, 0.5) - 0.3 * 64 / 2
    speed, start = 0.0, 0.2 * 64
    for begin, end in itertools.pairwise(contacts):
        during = (times >= begin) & (times <= end)
        since = times[during] - begin
        assert np.allclose(y[during], start + speed * since + gravity * since**2 / 2, atol=1e-6)
        speed, start = -RESTITUTION * (speed + gravity * (end - begin)), rest
    assert y.max() <= rest + 1e-6


def test_roll_turns_by_distance_over_radius() -> None:
    for actor in (shape("a", x=0.2), emoji("soccer ball", x=0.2)):
        track = simulate(clip(actor, events=(does("roll", actor.id, 0, 3, "right", amount=0.6),))).tracks[actor.id]
        radius = track.size[0] * track.extent[1] / 2
        assert np.allclose(np.radians(track.turn), (track.x - track.x[0]) / radius)
        assert track.turn[-1] == pytest.approx(math.degrees(0.6 * 96 / radius))


def test_grow_shrink_and_spin() -> None:
    events = (does("grow", "a", 0, 1, amount=2.0), does("spin", "a", 0, 2), does("shrink", "a", 2, 3, amount=0.25))
    truth = render(clip(shape("a", "square"), events=events)).truth
    assert truth.width[8, 0] == pytest.approx(2 * truth.width[0, 0])
    assert truth.width[24, 0] == pytest.approx(0.5 * truth.width[0, 0])
    assert truth.rotation[16, 0] == pytest.approx(360)


def test_actor_on_the_ground_grows_upward() -> None:
    actor = shape("a", "square", y=(floor_y(1.0, 0.5) - 0.15), size=0.3)
    truth = render(clip(actor, events=(does("grow", "a", 0, 3, amount=2.0),), backdrop="hills")).truth
    feet = truth.y + truth.height / 2
    assert np.ptp(feet) < 1e-6


def test_enter_and_leave() -> None:
    events = (does("leave", "a", 0, 1, "left"), does("enter", "a", 1.5, 2.5, "right"))
    made = render(clip(shape("a"), events=events))
    seen = made.truth.visible_fraction[:, 0]
    present = made.truth.present[:, 0]
    assert seen[0] == 1 and present[:8].all() and not present[8:12].any() and seen[20] == 1
    assert made.truth.x[20, 0] == pytest.approx(48)  # back at its place
    assert (np.diff(made.truth.x[:8, 0]) < 0).all() and (np.diff(made.truth.x[12:20, 0]) > 0).all()


@pytest.mark.parametrize("direction", ["left", "right", "up", "down"])
def test_entering_actor_is_first_out_of_sight(direction: str) -> None:
    made = render(clip(emoji("fox"), events=(does("enter", "fox", 0.5, 2, direction),)))  # type: ignore[arg-type]
    assert not made.truth.present[:4].any()
    assert made.truth.visible_fraction[4, 0] < 0.02 and made.truth.visible_fraction[-1, 0] == 1.0


def test_stop_freezes_between_frames() -> None:
    events = (does("walk", "fox", 0, 3, "right", amount=0.6), does("stop", "fox", 1.05, 1.05))
    scene = simulate(clip(emoji("fox", x=0.2), events=events))
    track = scene.tracks["fox"]
    assert np.allclose(track.x[9:], 0.2 * 96 + 0.6 * 96 * 1.05 / 3)
    assert np.allclose(track.y[9:], 32)
    assert [(h.kind, h.end) for h in scene.log] == [("walk", 1.05), ("stop", 1.05)]


@pytest.mark.parametrize("noun", ["fox", "car", "bird", "crow", "airplane"])
def test_actors_face_their_direction(noun: str) -> None:
    """The picture of an actor that moves left mirrors the one that moves right."""
    masks = []
    for direction in ("left", "right"):
        actor = Actor("a", noun, "emoji", 0.5, 0.5, 0.6)
        made = render(
            clip(actor, events=(does("fly", "a", 0, 3, direction, amount=0.001),), size=(64, 64), backdrop="sky")
        )  # type: ignore[arg-type]
        masks.append(made.masks[0] > 0)
    assert (masks[0] == masks[1][:, ::-1]).mean() > 0.98
    assert (masks[0] == masks[1]).mean() < 0.98


def test_rocket_points_in_its_direction() -> None:
    turns = {}
    for direction in ("up", "down", "left", "right"):
        scene = simulate(clip(emoji("rocket"), events=(does("fly", "rocket", 0, 3, direction),)))  # type: ignore[arg-type]
        turns[direction] = (float(scene.tracks["rocket"].turn[5]), bool(scene.tracks["rocket"].mirrored[5]))
    assert turns == {"up": (-90.0, False), "down": (90.0, False), "left": (0.0, True), "right": (0.0, False)}
