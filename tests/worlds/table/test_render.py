"""Rendered tables agree with their ground truth: masks, depth, cameras, visibility; rendering is deterministic."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from chronotope.errors import ChronotopeError
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.splits import to_json
from chronotope.worlds.table import opengl
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.materials import TOP_RADIUS
from chronotope.worlds.table.render import TableClip, render
from chronotope.worlds.table.spec import SOLIDS, Camera, Event
from tests.worlds.table.tables import needs_pictures, scene, solid, table


@pytest.fixture(autouse=True)
def _pictures() -> None:
    needs_pictures()


def rays(clip: TableClip, t: int) -> np.ndarray:
    """Return for each pixel the vector from the camera per metre of depth, [h, w, 3]."""
    height, width = clip.masks[t].shape
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inverse = np.linalg.inv(clip.truth.camera[t][:, :3])
    return np.stack([columns, rows, np.ones_like(rows)], -1) @ inverse.T


def eye(clip: TableClip, t: int) -> np.ndarray:
    return -np.linalg.inv(clip.truth.camera[t][:, :3]) @ clip.truth.camera[t][:, 3]


def test_masks_agree_with_the_truth() -> None:
    clip = render(scene(camera=Camera("orbit", "right", 40.0)))
    truth = clip.truth
    assert clip.frames.shape == (4, 128, 192, 3) and clip.masks.shape == clip.depth.shape == (4, 128, 192)
    for t in range(4):
        for i in range(3):
            rows, columns = np.nonzero(clip.masks[t] == i + 1)
            if truth.visible_fraction[t, i] < 0.99:
                continue
            assert clip.masks[t, int(truth.y[t, i]), int(truth.x[t, i])] == i + 1
            assert np.ptp(columns) + 1 == pytest.approx(truth.width[t, i], abs=1.5)
            assert np.ptp(rows) + 1 == pytest.approx(truth.height[t, i], abs=1.5)
    ball = np.nonzero(clip.masks[0] == 1)
    assert ball[1].mean() + 0.5 == pytest.approx(truth.x[0, 0], abs=1) and ball[0].mean() + 0.5 == pytest.approx(
        truth.y[0, 0], abs=1
    )


def test_depth_of_plane_and_ball_in_closed_form() -> None:
    clip = render(scene(frames=1))
    way, start, depth = rays(clip, 0), eye(clip, 0), clip.depth[0]
    down = way[..., 2] < 0
    expected = np.where(down, -start[2] / np.where(down, way[..., 2], 1), np.inf)
    hit = start + way * np.where(np.isfinite(expected), expected, 0)[..., None]
    on_top = down & (clip.masks[0] == 0) & (np.hypot(hit[..., 0], hit[..., 1]) < TOP_RADIUS - 0.1)
    assert on_top.mean() > 0.3
    assert np.abs(depth - expected)[on_top].max() < 0.01
    column, row = int(clip.truth.x[0, 0]), int(clip.truth.y[0, 0])
    toward, gap = way[row, column], start - clip.truth.position[0, 0]
    a, b, c = toward @ toward, toward @ gap, gap @ gap - 0.3**2
    assert depth[row, column] == pytest.approx((-b - (b * b - a * c) ** 0.5) / a, abs=0.01)


def test_moving_camera_sees_a_consistent_scene() -> None:
    """A point of the first frame is found in another frame by the matrix of its camera, unless it is occluded."""
    clip = render(scene(camera=Camera("orbit", "left", 30.0), frames=3))
    points = eye(clip, 0) + rays(clip, 0) * clip.depth[0][..., None]
    seen = points[clip.depth[0] < 8] @ clip.truth.camera[2][:, :3].T + clip.truth.camera[2][:, 3]
    labels = clip.masks[0][clip.depth[0] < 8]
    columns, rows = np.floor(seen[:, :2] / seen[:, 2:]).astype(int).T
    inside = (columns >= 0) & (columns < 192) & (rows >= 0) & (rows < 128)
    depth, mask = clip.depth[2][rows[inside], columns[inside]], clip.masks[2][rows[inside], columns[inside]]
    met = np.abs(depth - seen[inside, 2]) < 0.05
    assert met.mean() > 0.85
    assert (mask == labels[inside])[met].mean() > 0.98
    assert not np.allclose(clip.truth.camera[0], clip.truth.camera[2])
    assert (clip.truth.position == clip.truth.position[0]).mean() > 0.5 or np.ptp(
        clip.truth.position, axis=0
    ).max() < 1e-3


def test_visible_fraction_under_occlusion() -> None:
    front, back = solid("front", "cube", "red", 0.0, -0.4, 0.4), solid("back", "cube", "blue", 0.2, 0.4, 0.6)
    alone, both = render(table(back, frames=1, size=(256, 192))), render(table(back, front, frames=1, size=(256, 192)))
    left = (both.masks == 1).sum() / (alone.masks == 1).sum()
    assert 0.3 < left < 0.95
    assert both.truth.visible_fraction[0, 0] == pytest.approx(left, abs=0.02)
    assert alone.truth.visible_fraction[0, 0] > 0.98 and both.truth.visible_fraction[0, 1] > 0.98


def test_part_outside_the_frame_counts_as_invisible() -> None:
    view = views(table(solid("a"), frames=1, size=(128, 128)))[0]
    edge = (128 - 64) / view.focal * 3.4  # where the frame ends, at the middle of the table
    clip = render(table(solid("a", x=edge, y=0), frames=1, size=(128, 128)))
    assert clip.truth.x[0, 0] == pytest.approx(128, abs=0.1)
    assert clip.truth.visible_fraction[0, 0] == pytest.approx(0.5, abs=0.03)


def test_a_spec_can_be_drawn_at_any_size() -> None:
    small = render(scene(size=(40, 96), frames=1))
    large = render(dataclasses.replace(scene(size=(80, 192), frames=1)))
    for name in ("x", "y", "width", "height"):
        assert np.allclose(2 * getattr(small.truth, name), getattr(large.truth, name), atol=1e-3)
    assert small.frames.shape == (1, 96, 40, 3) and large.frames.shape == (1, 192, 80, 3)


@pytest.mark.parametrize("top", ["wooden", "dark"])
def test_colours_can_be_distinguished(top: str) -> None:
    names = ("red", "yellow", "green", "blue", "purple", "pink")
    places = [(-0.7, 0.4), (0, 0.5), (0.7, 0.4), (-0.6, -0.4), (0.05, -0.3), (0.6, -0.4)]
    actors = [solid(c, noun, c, x, y, 0.42) for c, noun, (x, y) in zip(names, SOLIDS, places, strict=True)]
    clip = render(table(*actors, frames=1, size=(128, 128), top=top))
    palette = np.array([COLOURS[name] for name in names], float)
    for i, name in enumerate(names):
        pixels = clip.frames[0][clip.masks[0] == i + 1].astype(float)
        bright = pixels[pixels.max(1) >= np.median(pixels.max(1))].mean(0)
        hues = palette / np.linalg.norm(palette, axis=1, keepdims=True) @ (bright / np.linalg.norm(bright))
        assert names[int(hues.argmax())] == name


def test_the_same_spec_gives_the_same_bytes() -> None:
    spec = scene(events=(Event("hit", "ball", target="cube"),))
    first = render(spec)
    render(scene(top="wooden", size=(64, 64)))  # a rendering in between changes nothing
    again = render(spec)
    for name in ("frames", "masks", "depth"):
        assert (getattr(first, name) == getattr(again, name)).all()
    code = f"""
import hashlib, json
from chronotope.config import from_dict
from chronotope.worlds.table.render import render
from chronotope.worlds.table.spec import TableSpec
spec = from_dict(TableSpec, json.loads({to_json(spec)!r}))
print(hashlib.sha256(render(spec).frames.tobytes()).hexdigest())
"""
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(first.frames.tobytes()).hexdigest()
    assert (render(dataclasses.replace(spec, seed=2)).frames != first.frames).any()


def test_missing_opengl_raises_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    egl = pytest.importorskip("mujoco.egl")

    def fail(*_: object) -> None:
        raise RuntimeError("no device")

    opengl._gl_context.cache_clear()
    monkeypatch.setattr(egl, "GLContext", fail)
    with pytest.raises(ChronotopeError, match=r"no device.*apt-get install"):
        render(scene())
