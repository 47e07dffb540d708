"""The simulation agrees with closed forms: fall, bounce, roll, slide, momentum; stacks stand, and fall when hit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'chronotope[table]'")

from chronotope.worlds.table.mujoco_model import FRICTION, _corners, build_model
from chronotope.worlds.table.sample import sample_table
from chronotope.worlds.table.simulate import GRAVITY, Trajectory, simulate, simulate_model
from chronotope.worlds.table.spec import Event, TableSpec
from tests.worlds.table.tables import solid, table


def test_free_fall_has_gravity() -> None:
    trajectory = simulate(table(solid("ball", lift=1.2), events=(Event("drop", "ball"),), fps=200, frames=110))
    contact = trajectory.contacts[0]
    assert contact.seconds == pytest.approx((2 * 1.2 / GRAVITY) ** 0.5, rel=0.01)
    assert contact.speed == pytest.approx((2 * 1.2 * GRAVITY) ** 0.5, rel=0.01)
    times = np.arange(110) / 200
    falling = times < contact.seconds - 0.01
    fit = np.polyfit(times[falling], trajectory.position[falling, 0, 2], 2)
    assert -2 * fit[0] == pytest.approx(9.81, rel=0.01)
    assert np.ptp(trajectory.position[:, 0, :2]) < 1e-6


def test_later_drop_is_held_until_its_start() -> None:
    trajectory = simulate(
        table(solid("cube", "cube", lift=0.5), events=(Event("drop", "cube", 0.5),), fps=100, frames=100)
    )
    assert np.allclose(trajectory.position[:50, 0, 2], 0.75, atol=1e-9)
    assert trajectory.contacts[0].seconds == pytest.approx(0.5 + (2 * 0.5 / GRAVITY) ** 0.5, abs=0.01)


@pytest.mark.parametrize("restitution", [0.3, 0.6, 0.9])
def test_bounce_has_the_restitution_of_the_spec(restitution: float) -> None:
    trajectory = simulate(
        table(solid("ball", lift=1.0, restitution=restitution), events=(Event("bounce", "ball"),), fps=200, frames=260)
    )
    height = trajectory.position[:, 0, 2] - 0.25
    first, second = (round(contact.seconds * 200) for contact in trajectory.contacts[:2])
    assert height[first:second].max() == pytest.approx(restitution**2, abs=0.03)
    assert trajectory.contacts[1].speed / trajectory.contacts[0].speed == pytest.approx(restitution, abs=0.03)


@pytest.mark.parametrize(("sizes", "restitution"), [((0.5, 0.5), 0.9), ((0.6, 0.4), 0.7), ((0.4, 0.6), 0.3)])
def test_colliding_balls_keep_their_momentum(sizes: tuple[float, float], restitution: float) -> None:
    """They collide in the air, without the table."""
    balls = [
        solid(name, x=x, size=size, lift=1.2 - size / 2, restitution=restitution)
        for name, x, size in zip("ab", (-0.5, 0.5), sizes, strict=True)
    ]
    events = (Event("bounce", "a", 0.0, "right", speed=2.5), Event("bounce", "b", 0.0, "left", speed=1.0))
    trajectory = simulate(table(*balls, events=events, fps=500, frames=120))
    contact = trajectory.contacts[0]
    assert {contact.actor, contact.target} == {"a", "b"}
    assert contact.seconds == pytest.approx(0.5 / 3.5, abs=0.002) and contact.speed == pytest.approx(3.5, rel=0.01)
    mass, before, after = np.array(sizes) ** 3, np.array([2.5, -1.0]), trajectory.velocity[-1, :, 0]
    assert mass @ after == pytest.approx(mass @ before, rel=1e-3)
    assert (after[1] - after[0]) / 3.5 == pytest.approx(restitution, abs=0.02)
    assert mass @ after**2 < mass @ before**2
    falling = trajectory.velocity[-1, :, 2]
    assert np.allclose(falling, -GRAVITY * 119 / 500, rtol=0.01), "a blow from the side does not change the fall"


def test_nothing_moves_before_it_is_hit() -> None:
    trajectory = simulate(
        table(
            solid("a", x=-0.6),
            solid("b", x=0.4),
            events=(Event("hit", "a", target="b", speed=2.0),),
            fps=200,
            frames=120,
        )
    )
    contact = int(trajectory.contacts[0].seconds * 200)
    assert np.abs(trajectory.position[: contact - 1, 1] - trajectory.position[0, 1]).max() < 1e-4
    assert trajectory.velocity[contact + 3, 1, 0] > 0.6 and trajectory.velocity[contact + 3, 0, 0] < 1.4


def test_a_ball_rolls_without_slipping() -> None:
    trajectory = simulate(
        table(solid("ball", x=-0.5, size=0.4), events=(Event("roll", "ball", 0.0, "right", speed=0.7),), frames=13)
    )
    way = trajectory.position[:, 0, 0] - trajectory.position[0, 0, 0]
    assert way[-1] == pytest.approx(0.7, rel=0.06) and np.abs(trajectory.position[:, 0, 1]).max() < 1e-3
    for t in range(13):
        turned = trajectory.rotation(t, 0) @ [0, 0, 1]  # the top of the ball moves forward
        assert np.allclose(turned, [np.sin(way[t] / 0.2), 0, np.cos(way[t] / 0.2)], atol=0.03)


def test_slide_ends_by_friction() -> None:
    trajectory = simulate(
        table(solid("cube", "cube", y=0.4), events=(Event("slide", "cube", 0.0, "closer", speed=2.0),), frames=25)
    )
    assert 0.4 - trajectory.position[-1, 0, 1] == pytest.approx(2.0**2 / (2 * FRICTION[0] * GRAVITY), rel=0.03)
    assert np.abs(trajectory.velocity[-1]).max() < 0.01
    assert trajectory.events[0].end == pytest.approx(2.0 / (FRICTION[0] * GRAVITY), abs=0.1)


def test_pushed_solid_moves_with_the_pusher() -> None:
    trajectory = simulate(
        table(
            solid("a", "cube", x=-0.8),
            solid("b", "brick", x=0.1),
            events=(Event("push", "a", target="b", speed=0.5, end=1.5),),
            frames=36,
        )
    )
    contact = trajectory.contacts[0].seconds
    assert contact == pytest.approx((0.9 - 0.25 - 0.25) / 0.5, abs=0.05)
    times = np.arange(36) / 12
    assert np.allclose(trajectory.position[times < contact, 1, 0], 0.1, atol=1e-4)
    together = (times > contact + 0.3) & (times < 1.5)
    assert np.allclose(trajectory.velocity[together, :, 0], 0.5, atol=0.05)
    assert np.abs(trajectory.velocity[-1]).max() < 0.02, "when the hand lets go, both come to rest"


def pile() -> list:
    return [
        solid(f"cube{i}", "cube", colour, 0.3, 0.0, 0.36, lift=0.36 * i)
        for i, colour in enumerate(("red", "blue", "green"))
    ]


def test_a_stack_stands_until_it_is_hit() -> None:
    quiet = simulate(table(*pile()))
    assert np.abs(quiet.position - quiet.position[0]).max() < 1e-3 and quiet.contacts == () and quiet.events == ()
    ball = solid("ball", x=-0.9, size=0.7)
    trajectory = simulate(table(*pile(), ball, events=(Event("topple", "ball", target="cube1", speed=3.5),)))
    falls = [record for record in trajectory.events if record.kind == "fall"]
    hits = [
        c.seconds for c in trajectory.contacts if "ball" in (c.actor, c.target) and "table" not in (c.actor, c.target)
    ]
    assert falls and hits[0] < falls[0].start + 1 / 12 and {fall.actor for fall in falls} <= {"cube1", "cube2"}
    assert trajectory.position[-1, 2, 2] < 0.9 - 0.18


def lowest(spec: TableSpec, trajectory: Trajectory) -> float:
    """Return the height of the lowest point of all solids at all frames."""
    depths = []
    for t in range(spec.num_frames):
        for i, actor in enumerate(spec.actors):
            z = trajectory.position[t, i, 2]
            depths.append(
                z - actor.size / 2
                if actor.noun == "ball"
                else z + (_corners(actor) @ trajectory.rotation(t, i).T)[:, 2].min()
            )
    return min(depths)


def test_nothing_sinks_into_the_table() -> None:
    for seed in range(3):
        assert lowest(*sample_table(seed)) > -0.01


def test_the_same_spec_moves_the_same_way() -> None:
    spec, trajectory = sample_table(5)
    again = simulate(spec)
    for name in ("position", "orientation", "velocity"):
        assert (getattr(trajectory, name) == getattr(again, name)).all()
    assert (trajectory.contacts, trajectory.events) == (again.contacts, again.events)
    drawn = simulate_model(spec, build_model(spec))  # the drawable model gives the same numbers
    assert (drawn.position == trajectory.position).all() and drawn.contacts == trajectory.contacts
