"""The table's camera, and the count of pixels in an outline."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from chronotope.errors import ChronotopeError
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.render import pixels_inside, render
from chronotope.worlds.table.spec import Camera
from tests.worlds.table.tables import scene


def test_camera_moves_as_its_spec_says() -> None:
    """The camera orbits to the right of the first frame; once round closes after the last frame, in equal steps."""
    spec = scene(camera=Camera("orbit", "right", 90.0, elevation=30.0, distance=4.0), frames=7)
    first, last = views(spec)[0], views(spec)[-1]
    across = 4 * np.cos(np.pi / 6)
    assert np.allclose(first.place, [0, -across, 2.25]) and np.allclose(last.place, [across, 0, 2.25])
    assert np.allclose(first.axes @ first.axes.T, np.eye(3)) and np.linalg.det(first.axes) == pytest.approx(1)
    circle = views(scene(camera=Camera("round", "left"), frames=8))
    assert np.allclose(circle[4].place[:2], -circle[0].place[:2]) and circle[2].place[0] < -1
    steps = [np.linalg.norm(circle[(t + 1) % 8].place - circle[t].place) for t in range(8)]
    assert np.allclose(steps, steps[0])
    middle = first.project(np.array([[0.0, 0, 0.25], [1.0, 0, 0.25], [0, 0, 1.0]]))
    assert np.allclose(middle[0], [96, 64, 4]) and middle[1, 0] > 100 and middle[2, 1] < 50


def test_pixels_inside_an_outline() -> None:
    assert pixels_inside(np.array([[0.0, 0], [10, 0], [10, 5], [0, 5]])) == 50
    assert pixels_inside(np.array([[0.6, 0.6], [2.4, 0.6], [2.4, 2.4], [0.6, 2.4]])) == 1
    angles = np.arange(200) * 2 * np.pi / 200
    circle = 40 * np.column_stack([np.cos(angles), np.sin(angles)]) - 15.3
    assert pixels_inside(circle) == pytest.approx(np.pi * 1600, rel=0.01)


def test_missing_mujoco_raises_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(ChronotopeError, match=r"pip install 'chronotope\[table\]'"):
        render(scene())
