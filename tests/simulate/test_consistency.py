"""Consistency in three dimensions: the game's own frames pass, whatever is not its room under its poses fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.worlds.clips import Clip, Rule
from benchmarks.worlds.consistency import LEAST, WORST, Window, consistency, find_windows, judge, turned
from benchmarks.worlds.rooms import Game, Stepped, View, find_turns, find_views, moving
from benchmarks.worlds.triangulation import Path, Pinhole, follow, seen_from, triangulate
from chronotope.geometry import Frames
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.crafter.world import CRAFTER
from chronotope.worlds.doom.game import Seen, Thing, install_line
from chronotope.worlds.doom.spec import DoomSpec
from chronotope.worlds.doom.world import DOOM, SCHEMA

NEEDS_DOOM = pytest.mark.skipif(bool(install_line()), reason=install_line() or "ViZDoom is installed")
PLACES = (  # map, seed of the game and first frame; nobody shoots, and the last one begins with a walk
    ("map08", 1366256444, 15),
    ("map08", 1325035743, 22),
    ("map22", 44534363, 36),
    ("map22", 310682704, 6),
)


def clip_of(spec: DoomSpec) -> Clip:
    rendered = DOOM.render(spec)
    assert rendered.actions is not None
    return Clip(rendered.frames, rendered.actions, DOOM, spec)


@pytest.fixture(scope="module")
def views() -> list[View]:
    """Places in which the player walks and turns."""
    return find_views([clip_of(DoomSpec(64, 48, 8.75, 16, *place)) for place in PLACES])


@pytest.fixture(scope="module")
def windows(views: list[View]) -> list[Window]:
    return find_windows(views)


def explained(windows: list[Window], change: Callable[[Frames], Frames] = lambda frames: frames) -> float:
    """Return the share of points that a place at rest explains, in changed frames."""
    judged = [judge(change(window.view.frames[window.frames]), window) for window in windows]
    return float(np.mean([outcome for one in judged for outcome in one.outcomes()]))


def test_a_point_is_found_again_where_it_is() -> None:
    rng = np.random.default_rng(0)
    hole = Pinhole((32, 38.4), (32, 24), 64, 48)
    places = np.cumsum(rng.normal(0, 15, (6, 3)), axis=0)
    path = Path.level(places, np.cumsum(rng.normal(0, 8, 6)))
    rays, inverse = rng.uniform(-0.4, 0.4, (20, 2)), 1 / rng.uniform(150, 900, 20)
    seen, depth = seen_from(path, rays, inverse)
    assert np.allclose(seen[:, 0], rays)
    assert np.allclose(hole.rays(hole.pixels(seen)), seen)
    # by hand, for one point and frame: its place in space, seen from the other place
    ahead = np.array([*rays[0], 1]) / inverse[0]
    there = path.axes[3] @ (places[0] + path.axes[0].T @ ahead - places[3])
    assert np.allclose(seen[0, 3], there[:2] / there[2])
    assert np.allclose(depth[0, 3], there[2] * inverse[0])
    seen[:, 4] = np.nan  # lost in a frame
    found, found_inverse = triangulate(path, seen)
    assert np.allclose(found, rays, atol=1e-6)
    assert np.allclose(1 / found_inverse, 1 / inverse, rtol=1e-4)


def test_a_picture_that_stands_still_is_not_explained_by_a_far_point() -> None:
    path = Path.level(np.arange(6)[:, None] * [60.0, 0, 0], np.zeros(6))
    still = np.full((1, 6, 2), 0.5)
    first, inverse = triangulate(path, still)
    assert 1 / inverse[0] == pytest.approx(1000)
    seen, _ = seen_from(path, first, inverse)
    assert np.abs(seen - still).max() * 32 / 64 > 0.02


def test_corners_are_followed_between_pixels() -> None:
    rng = np.random.default_rng(1)
    large = cv2.GaussianBlur(rng.integers(0, 255, (48 * 8, 80 * 8, 3)).astype(np.float32), (0, 0), 9)
    large = (255 * (large - large.min()) / np.ptp(large)).astype(np.uint8)
    frames = np.stack(
        [cv2.resize(large[:, 11 * t : 11 * t + 512], (64, 48), interpolation=cv2.INTER_AREA) for t in range(4)]
    )
    hidden = np.zeros(frames.shape[:3], bool)
    hidden[:, 30:] = True
    points = follow(frames, hidden)
    kept = points.pixels[points.seen.all(axis=1)]
    assert len(kept) >= 12
    assert (kept[..., 1] < 30.5).all()
    assert np.median(np.abs(kept[:, 3, 0] - kept[:, 0, 0] + 3 * 11 / 8)) < 0.1
    assert not len(follow(np.zeros_like(frames), hidden).pixels)


@NEEDS_DOOM
def test_the_game_is_explained_by_its_poses_and_nothing_else_is(windows: list[Window]) -> None:
    assert len(windows) >= 4
    assert len({window.view.number for window in windows}) == 4
    true, rng = explained(windows), np.random.default_rng(0)
    assert true > 0.8

    def narrow(frames: Frames) -> Frames:  # as through a lens of 67 degrees
        return np.stack([cv2.resize(each[8:40, 11:53], (64, 48), interpolation=cv2.INTER_CUBIC) for each in frames])

    changes: dict[str, Callable[[Frames], Frames]] = {
        "shuffled": lambda frames: frames[rng.permutation(len(frames))],
        "frozen": lambda frames: frames[:1].repeat(len(frames), axis=0),
        "backwards": lambda frames: frames[::-1],
        "blank": np.zeros_like,
        "mirrored": lambda frames: frames[:, :, ::-1].copy(),
        "narrow": narrow,
    }
    found = {name: explained(windows, change) for name, change in changes.items()}
    assert found.pop("narrow") < 0.7 * true  # a walk straight ahead looks alike through any lens
    assert max(found.values()) < true / 3, found


@NEEDS_DOOM
def test_rows_of_the_game_and_of_the_last_frame_again(views: list[View]) -> None:
    sources = {"game": Game(), "copy": Stepped(Rule(SCHEMA, moves=False))}
    found = {(row.measure, row.model): row for row in consistency(sources, views)}
    explains = "points that a place at rest explains"
    assert found[f"{explains}, later in sessions", "game"].value > 0.8
    assert found[f"{explains}, later in sessions", "copy"].value < 0.1
    assert found[f"{explains}, poses at rest", "copy"].value > 0.95
    for kind in ("backwards", "at rest"):
        assert found[f"{explains}, poses {kind}", "game"].value < 0.3
    assert found[f"{explains}, poses of another clip", "game"].value < 0.5  # two of these clips turn alike
    assert found["points where true frames put them, a step after these", "game"].value > 0.6
    assert found["points where true frames put them, a step after these", "copy"].value < 0.3
    assert found["depth within 25 % of the game's, first 5 steps", "game"].value > 0.5
    assert found["depth within 25 % of the game's, first 5 steps", "copy"].value < 0.2


@NEEDS_DOOM
def test_missing_points_have_failed(windows: list[Window]) -> None:
    window = windows[0]
    blank = judge(np.zeros_like(window.view.frames[window.frames]), window)
    assert blank.outcomes() == [False] * window.points
    assert blank.all_errors() == [WORST] * window.points
    assert window.points >= LEAST


@NEEDS_DOOM
def test_a_turn_comes_back_to_what_was_left(views: list[View]) -> None:
    turns = find_turns(views[2:3])
    assert turns
    for turn in turns:
        lost = turn.lost()
        # all columns of a turn beyond the field of view, those of the right side of a smaller one
        assert lost[:30].all(axis=0).mean() > (0.9 if turn.steps == 8 else 0.3)
        assert not lost[turn.seen[0].labels == 255].any()
        assert turn.made(turn.real)
        assert not turn.made(turn.real[:1].repeat(len(turn.real), axis=0))
        assert not turn.made(turn.real[:, :, ::-1].copy())
    rows = {
        (row.measure, row.model): row for row in turned({"game": Game(), "copy": Stepped(Rule(SCHEMA, False))}, turns)
    }
    for steps in {turn.steps for turn in turns}:
        assert rows[f"turns that are made, {steps} steps left and back", "game"].value == 1
        assert rows[f"turns that are made, {steps} steps left and back", "copy"].value == 0
        assert rows[f"pixels that come back, {steps} steps left and back", "game"].value < 2
        assert rows[f"pixels that come back, {steps} steps left and back", "copy"].of == 0


def test_a_thing_that_may_move_is_left_out() -> None:
    labels = np.array([[1, 2], [3, 255]], np.uint8)
    things = tuple(Thing(name, number, 0, 0, 1, 1) for number, name in enumerate(("DoomImp", "TechLamp", "BulletPuff")))
    seen = Seen(np.zeros((2, 2, 3), np.uint8), labels, labels, things)
    assert moving(seen).tolist() == [[True, False], [True, False]]


def test_only_clips_with_poses_are_measured() -> None:
    rendered = CRAFTER.render(CrafterSpec(64, 64, 8.0, 2, 4, 0)) if not CRAFTER.unavailable() else None
    if rendered is None or rendered.actions is None:
        pytest.skip("Crafter is not installed")
    clip = Clip(rendered.frames, rendered.actions, CRAFTER, CrafterSpec(64, 64, 8.0, 2, 4, 0))
    with pytest.raises(SystemExit, match="got clips of crafter"):
        find_views([clip])


@NEEDS_DOOM
@pytest.mark.parametrize(("width", "height"), [(64, 48), (96, 64), (192, 108)])
def test_the_lens_is_that_of_the_game_at_other_sizes(width: int, height: int) -> None:
    """Points fit best through the lens that is stated, and worse through one a tenth wider or narrower."""
    spec = DoomSpec(width, height, 8.75, 12, *PLACES[2])
    (view,) = find_views([clip_of(spec)])
    (first, *_), hole = find_windows([view]), view.hole
    points = follow(view.frames[first.frames], view.weapon[first.frames])
    points = points.pixels[points.seen.sum(axis=1) >= 3]

    def error(scale: float) -> float:
        other = dataclasses.replace(hole, focal=(hole.focal[0] * scale, hole.focal[1] * scale))
        rays = other.rays(points)
        seen, _ = seen_from(first.path, *triangulate(first.path, rays))
        missed = np.linalg.norm(other.pixels(seen) - points, axis=2) / width
        return float(np.median(np.nanmax(missed, axis=1)))

    assert error(1.0) < min(error(0.9), error(1.1))
    assert error(1.0) < 0.01
