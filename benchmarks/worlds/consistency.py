"""Consistency in three dimensions: does one room at rest explain what a played world of Doom shows, by the true poses?

A session begins at a true frame of a clip and gets its actions, and the simulator tells where the eye then is. Corners
are followed through windows of the video, without poses; a point is explained where one place at rest, at most
`FARTHEST` away, is seen within `TOLERANCE` of where it was followed, in all frames. Only points count at which a
picture that stands still would not be explained. A video in which fewer of them can be followed than in the game's own
frames counts what is missing as not explained. The same points under wrong poses are the control.

Windows are chosen by the game alone, for all models: nobody shoots (which lights the room), nothing that moves is in
view, and enough points can be followed. The player's weapon is left out where the game shows it. Doors and lifts are
not known to move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import cv2
import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from benchmarks.worlds.clips import Clip, Rule
from benchmarks.worlds.rooms import Game, Reconstruction, Source, Stepped, Turn, View, find_turns, find_views, moving
from benchmarks.worlds.rows import Row, mean, share
from benchmarks.worlds.triangulation import FARTHEST, NEAREST, Path, Points, follow, seen_from, triangulate
from chronotope.geometry import Frames, Picture
from chronotope.simulate.model import WorldModel

__all__ = ["Judged", "Window", "consistency", "find_windows", "in_three_dimensions", "judge", "turned"]

LENGTH = 6  # frames of a window
SIGHTS = 3  # frames in which a point must be seen
LEAST = 12  # points that count in the game's own frames of a window
TOLERANCE = 0.02  # of the width, the most of all frames
WORST = 0.1  # of the width: the error of a point that is missing
MOVING = 0.01  # of the pixels that things show which may move
CLEAR = 4  # levels of depth, below which a level is more than a quarter
UNITS = 7.5  # map units of a level of the depth buffer; 233 points of true clips: 7.65, quartiles 7.1 and 8.2
PARALLAX = 0.04  # of the width by which a point must move beside a far one before its depth is asked for
NEAR = 64.0  # map units: a point so near leaves the view in a step
DEPTH = 1.25  # factor within which a depth is right
TURNING, SHOWN = 12, 4  # clips that are turned in, and drawn
WRONG = ("of another clip", "backwards", "at rest")  # poses


@dataclass(frozen=True, eq=False)
class Window:
    """`LENGTH` frames of a clip from `start` on, and how many points count in the game's own frames."""

    view: View
    start: int
    points: int = 0

    @property
    def frames(self) -> slice:
        return slice(self.start, self.start + LENGTH)

    @property
    def path(self) -> Path:
        return self.view.path[self.frames]


def find_windows(views: Sequence[View]) -> list[Window]:
    """Return the windows that are judged: by the game alone, the same for all models."""
    found = []
    for view in views:
        for start in range(0, len(view.frames) - LENGTH + 1, LENGTH - 1):
            window = Window(view, start)
            if not _disturbed(window):
                count = int(_counted(follow(view.frames[window.frames], view.weapon[window.frames]), window).sum())
                if count >= LEAST:
                    found.append(Window(view, start, count))
    return found


def _counted(points: Points, window: Window) -> Bool[np.ndarray, " n"]:
    """Return the points that are followed and at which a picture that stands still would not be explained."""
    hole, still = window.view.hole, np.repeat(points.pixels[:, :1], LENGTH, axis=1)
    shown = hole.pixels(seen_from(window.path, *triangulate(window.path, hole.rays(still)))[0])
    missed = np.nan_to_num(np.linalg.norm(shown - still, axis=2), nan=np.inf).max(axis=1, initial=0)
    counted: np.ndarray = (points.seen.sum(axis=1) >= SIGHTS) & (missed > TOLERANCE * hole.width)
    return counted


def _disturbed(window: Window) -> bool:
    """Tell whether somebody shoots, the game ends, or what may move is in view."""
    view = window.view
    names = [view.clip.name(t) for t in range(max(window.start, 1), window.start + LENGTH)]
    over = view.episode.over
    if "shoot" in names or (over is not None and over < window.start + LENGTH):
        return True
    return any(moving(seen).mean() > MOVING for seen in view.episode.seen[window.frames])


@dataclass(frozen=True, eq=False)
class Judged:
    """Points of a window that are followed and count: whether a place at rest explains each; its error in widths."""

    explained: Bool[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]
    missing: int  # points fewer than in the game's own frames

    def outcomes(self) -> list[bool]:
        """Return one outcome a point; missing ones have failed."""
        return [*map(bool, self.explained), *[False] * self.missing]

    def all_errors(self) -> list[float]:
        """Return one error a point; missing ones have the worst."""
        return [*map(float, self.errors), *[WORST] * self.missing]


def judge(frames: Frames, window: Window, path: Path | None = None, predict: bool = False) -> Judged:
    """Follow points through the frames of a window and ask what a place at rest explains, under the poses of `path`.

    With `predict` only points count that are seen in all frames but the last; they are found from these, and it is
    asked where the last one shows them: those that are lost there have the worst error, if the true pose shows them.
    """
    view, hole = window.view, window.view.hole
    points = follow(frames, view.weapon[window.frames])
    enough = _counted(points, window)
    if predict:
        enough &= points.seen[:, :-1].all(axis=1) & ~_left(points, window)
    pixels, seen = points.pixels[enough], points.seen[enough]
    rays = hole.rays(pixels)
    if predict:
        rays[:, -1] = np.nan
    path = path or window.path
    first, inverse = triangulate(path, rays)
    shown = hole.pixels(seen_from(path, first, inverse)[0])
    missed = np.linalg.norm(shown - pixels, axis=2) / hole.width
    missed = np.minimum(np.where(np.isfinite(missed), missed, WORST), WORST)
    errors = missed[:, -1] if predict else np.where(seen, missed, 0).max(axis=1, initial=0)
    return Judged(errors <= TOLERANCE, errors, 0 if predict else max(0, window.points - len(pixels)))


def _left(points: Points, window: Window) -> Bool[np.ndarray, " n"]:
    """Return which points are lost in the last frame, which need not show them: near or far, they are out of view."""
    hole, count = window.view.hole, len(points.pixels)
    left = np.zeros(count, bool)
    for depth in (NEAR, FARTHEST):
        rays, _ = seen_from(window.path, hole.rays(points.pixels[:, 0]), np.full(count, 1 / depth))
        x, y = hole.pixels(rays)[:, -1].T
        left |= ~((x >= 1) & (x <= hole.width - 1) & (y >= 1) & (y <= hole.height - 1))
    lost: np.ndarray = left & ~points.seen[:, -1]
    return lost


def consistency(sources: Mapping[str, Source], views: Sequence[View]) -> Iterator[Row]:
    """Measure every source on the windows of all views, in sessions and one step after true frames."""
    windows = find_windows(views)
    if not windows:
        raise SystemExit(f"none of {len(views)} clips has {LENGTH} frames that can be judged; take more clips")
    for name, source in sources.items():
        yield from in_sessions(name, source, windows)
        yield from after_true_frames(name, source, windows)
        yield from depths(name, source, views)


def in_sessions(name: str, source: Source, windows: Sequence[Window]) -> Iterator[Row]:
    """Measure sessions: what is explained, early and late, under true and under wrong poses."""
    sessions = {window.view.number: window.view for window in windows}
    made = {number: source.session(view) for number, view in sessions.items()}
    shots = [made[window.view.number][window.frames] for window in windows]
    clips = [window.view.number for window in windows]
    judged = [judge(frames, window) for frames, window in zip(shots, windows, strict=True)]
    first = [window.start == 0 for window in windows]
    what = "points that a place at rest explains"
    for when, chosen in (("in the first 5 steps", first), ("later in sessions", [not each for each in first])):
        yield _explained(f"{what}, {when}", name, judged, clips, chosen)
    middle = [100 * float(np.median(one.all_errors())) for one in judged]
    yield mean("reprojection error, median of a window", name, middle, clips, "% of the width")
    counts = [float(len(each.errors)) for each in judged]
    yield mean("points that are followed and count, a window", name, counts, clips, "points")
    for kind in WRONG:
        wrong = [judge(shots[n], window, _wrong(windows, n, kind)) for n, window in enumerate(windows)]
        yield _explained(f"{what}, poses {kind}", name, wrong, clips, [True] * len(wrong))


def after_true_frames(name: str, source: Source, windows: Sequence[Window]) -> Iterator[Row]:
    """Measure where one step shows the points that true frames have found, and the same under wrong poses."""
    ends: dict[int, list[int]] = {}
    for window in windows:
        ends.setdefault(window.view.number, []).append(window.start + LENGTH - 1)
    views = {window.view.number: window.view for window in windows}
    made = {number: source.steps(view, ends[number]) for number, view in views.items()}
    judged, clips = [], [window.view.number for window in windows]
    for window in windows:
        end = window.start + LENGTH - 1
        true = window.view.frames[window.start : end]
        judged.append(judge(np.concatenate([true, made[window.view.number][end][None]]), window, predict=True))
    outcomes = [bool(each) for one in judged for each in one.explained]
    where = [clip for clip, one in zip(clips, judged, strict=True) for _ in one.explained]
    yield share("points where true frames put them, a step after these", name, outcomes, where)


def _wrong(windows: Sequence[Window], number: int, kind: str) -> Path:
    path = windows[number].path
    if kind == "backwards":
        return path[::-1]
    if kind == "at rest":
        return Path(path.places[[0] * LENGTH], path.axes[[0] * LENGTH])
    others = [*windows[number:], *windows[:number]]
    return next((each.path for each in others if each.view is not windows[number].view), path[::-1])


def _explained(measured: str, name: str, judged: Sequence[Judged], clips: Sequence[int], chosen: Sequence[bool]) -> Row:
    some = [(clip, one.outcomes()) for clip, one, each in zip(clips, judged, chosen, strict=True) if each]
    outcomes = [outcome for _, all_of in some for outcome in all_of]
    return share(measured, name, outcomes, [clip for clip, all_of in some for _ in all_of])


def depths(name: str, source: Source, views: Sequence[View]) -> Iterator[Row]:
    """Compare the depth of points of the true first frame with that of the game, beside an edge with either side's.

    Points count whose way tells it, by the game's own depth; those that only the game's frames can follow have failed.
    """
    right, clips = list[bool](), list[int]()
    for window in (Window(view, 0) for view in views):
        if not _disturbed(window) and (most := len(_depths(window.view.frames[window.frames], window))):
            found = _depths(source.session(window.view)[window.frames], window)
            right += [*found, *[False] * (most - len(found))]
            clips += [window.view.number] * max(most, len(found))
    yield share("depth within 25 % of the game's, first 5 steps", name, right, clips)


def _depths(frames: Frames, window: Window) -> list[bool]:
    """Return of each point of the first frame that tells its depth whether this is that of the game."""
    points = follow(frames, window.view.weapon[window.frames])
    pixels = points.pixels[points.seen.sum(axis=1) >= SIGHTS]
    hole, path, levels = window.view.hole, window.path, window.view.episode.seen[0].depth
    columns, rows = np.floor(pixels[:, 0]).astype(int).T
    box = np.ones((3, 3), np.uint8)
    near, far = (each[rows, columns] * UNITS for each in (cv2.erode(levels, box), cv2.dilate(levels, box)))
    here, beyond = (
        hole.pixels(seen_from(path, hole.rays(pixels[:, 0]), 1 / np.maximum(each, NEAREST))[0])
        for each in (far, np.full(len(pixels), FARTHEST))
    )
    seen = np.isfinite(pixels[..., 0])
    apart = np.where(seen, np.nan_to_num(np.linalg.norm(here - beyond, axis=2)), 0).max(axis=1, initial=0)
    tells = (near >= CLEAR * UNITS) & (far < 255 * UNITS) & (apart > PARALLAX * hole.width)
    _, inverse = triangulate(path, hole.rays(pixels))
    right: list[bool] = ((1 / inverse > near / DEPTH) & (1 / inverse < far * DEPTH))[tells].tolist()
    return right


def turned(sources: Mapping[str, Source], turns: Sequence[Turn]) -> Iterator[Row]:
    """Measure which turns are made, and how far the pixels that left the view come back as they were."""
    for steps in sorted({turn.steps for turn in turns}):
        some = [turn for turn in turns if turn.steps == steps]
        where, others = f"{steps} steps left and back", [*some[1:], some[0]]
        for name, source in sources.items():
            made, levels, clips = [], [], []
            for turn in some:
                frames = source.turn(turn)
                made.append(turn.made(frames))
                if made[-1] and turn.lost().any():
                    levels.append(_apart(frames[-1], turn.real[0], turn.lost()))
                    clips.append(turn.view.number)
            yield share(f"turns that are made, {where}", name, made, [turn.view.number for turn in some])
            yield mean(f"pixels that come back, {where}", name, levels, clips, "levels of 255")
        apart = [_apart(b.real[0], a.real[0], a.lost()) for a, b in zip(some, others, strict=True) if a.lost().any()]
        yield mean(f"pixels that come back, {where}", "another clip", apart, range(len(apart)), "levels of 255")


def _apart(frame: Picture, other: Picture, where: Bool[np.ndarray, "h w"]) -> float:
    return float(np.abs(frame.astype(int) - other)[where].mean())


def in_three_dimensions(world: WorldModel, clips: Sequence[Clip], sheet: FilePath | None = None) -> Iterator[Row]:
    """Measure a model of Doom beside the game, its autoencoder and the last frame again; draw the first views."""
    views, learned = find_views(clips), {"the model": Stepped(world)}
    if world.map_side:
        flat = WorldModel(world.generator, dataclasses.replace(world.settings, map_side=0))
        learned["the model without its map"] = Stepped(flat)
    sources: dict[str, Source] = {
        "the game itself": Game(),
        "through the autoencoder": Reconstruction(world),
        **learned,
        "copy last": Stepped(Rule(world.schema, moves=False)),
    }
    if sheet:
        draw_views([Game(), *learned.values()], views[:SHOWN], sheet)
    yield from consistency(sources, views)
    yield from turned(sources, find_turns(views[:TURNING]))


def draw_views(sources: Sequence[Source], views: Sequence[View], path: FilePath) -> None:
    """Draw the game of each view, and below it the session of every model; every second frame, twice as large."""
    lines = [source.session(view)[::2] for view in views for source in sources]
    picture = np.concatenate([np.concatenate(list(line), axis=1) for line in lines]).repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(picture).save(path)
