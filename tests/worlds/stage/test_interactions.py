"""Interactions: which actor moves when, and which remains."""

from __future__ import annotations

import numpy as np
import pytest

from chronotope.worlds.stage.collisions import ELASTICITY, FRICTION, collide
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.simulate import simulate

from .scenes import clip, does, emoji, shape


def test_meet_ends_at_contact() -> None:
    events = (does("meet", "a", 0, 2, target="b"),)
    scene = simulate(clip(shape("a", "square", x=0.1), shape("b", "square", x=0.9), events=events))
    gap = scene.tracks["b"].x - scene.tracks["a"].x
    assert np.allclose(gap[16:], 0.3 * 64) and (np.diff(gap[:17]) < 0).all()
    assert [(h.kind, h.end) for h in scene.log] == [("meet", 2), ("contact", 2)]


@pytest.mark.parametrize("side", [1, -1])
def test_pushed_actor_moves_from_contact_on(side: int) -> None:
    events = (does("push", "a", 0, 3, target="b", amount=0.6),)
    scene = simulate(clip(shape("a", "square", x=0.5 - side * 0.35), shape("b", "square", x=0.5), events=events))
    a, b = scene.tracks["a"].x, scene.tracks["b"].x
    contact = next(h.start for h in scene.log if h.kind == "contact")
    before, after = scene.times <= contact, scene.times > contact
    assert np.allclose(b[before], 48) and 0 < contact < 3
    assert np.allclose((b - a)[after] * side, 0.3 * 64)  # pushed: they touch
    assert ((b - 48)[after] * side > -1e-9).all() and (np.diff(b[after]) * side > 0).all()
    assert contact == pytest.approx(3 * (0.35 * 96 - 0.3 * 64) / (0.6 * 96))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_a_collision_keeps_momentum(ratio: float) -> None:
    times = np.linspace(0, 1.2, 601)
    (one, two), contact = collide(0.5, 1.0, ratio, times)
    assert contact is not None and np.allclose(two[times < contact - 0.01], 0)
    speed = 1.0 - FRICTION * contact  # of the first, just before
    after = (times > contact + 0.01) & (times < contact + 0.1)
    v = [np.polyfit(times[after] - contact, path[after], 2)[1] for path in (one, two)]
    assert ratio * v[0] + v[1] == pytest.approx(ratio * speed, rel=0.02)
    assert v[1] - v[0] == pytest.approx(ELASTICITY * speed, rel=0.03)


def test_no_collision_if_too_far_away() -> None:
    (one, two), contact = collide(5.0, 1.0, 1.0, np.linspace(0, 1, 11))
    assert contact is None and not two.any() and one[-1] > 0.5


def test_a_hit_ball_rolls_away() -> None:
    events = (does("hit", "a", 0, 3, target="b", amount=1.0),)
    scene = simulate(clip(shape("a", x=0.15), shape("b", colour="blue", x=0.55), events=events))
    a, b = scene.tracks["a"], scene.tracks["b"]
    contact = next(h.start for h in scene.log if h.kind == "contact")
    assert np.allclose(b.x[scene.times < contact - 0.01], 0.55 * 96) and b.x[-1] > 0.7 * 96
    assert (b.x - a.x >= 0.3 * 64 - 0.5).all()
    assert np.allclose(np.radians(b.turn), (b.x - b.x[0]) / (0.15 * 64))


def test_eaten_actor_stays_gone() -> None:
    made = render(
        clip(
            emoji("rabbit", x=0.15),
            emoji("carrot", x=0.75, size=0.25),
            events=(does("eat", "rabbit", 0, 2, target="carrot"),),
        )
    )
    present = made.truth.present[:, 1]
    assert present[:16].all() and not present[16:].any()
    assert not (made.masks[16:] == 2).any() and not made.truth.visible_fraction[16:, 1].any()
    assert ("eaten", 2) in [(h.kind, h.end) for h in made.truth.events]
