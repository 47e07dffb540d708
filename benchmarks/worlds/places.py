"""Permanence: walk away from a place and back, and compare what comes back with what was there.

A model that keeps a map also says where it is, by dead reckoning, which is compared with the game.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from benchmarks.worlds.clips import Clip, Model, action_of, rollout
from benchmarks.worlds.pixels import CELL, OPPOSITE
from benchmarks.worlds.rows import Row, mean, share
from chronotope.geometry import Frames
from chronotope.simulate.model import WorldModel

DISTANCES = (2, 4, 8)  # cells
STEPS = {"move left": (-1, 0), "move right": (1, 0), "move up": (0, -1), "move down": (0, 1)}  # columns and rows


@dataclass(frozen=True, eq=False)
class Walk:
    """A walk of some cells away and back that the game really makes, and its frames in the game."""

    clip: Clip
    number: int  # of the clip
    move: str
    distance: int
    real: Frames

    @property
    def names(self) -> list[str]:
        """Return the actions of the walk."""
        return [self.move] * self.distance + [OPPOSITE[self.move]] * self.distance

    @property
    def path(self) -> Int[np.ndarray, "t 2"]:
        """Return the positions of the walk, from its first frame."""
        away = np.arange(self.distance + 1)
        return np.concatenate([away, away[-2::-1]])[:, None] * np.array(STEPS[self.move])

    def made(self, frames: Frames) -> bool:
        """Tell whether frames show the walk, step by step."""
        return bool(np.array_equal(self.clip.world.sight(frames).positions, self.path))

    def left_view(self) -> tuple[slice, slice]:
        """Return the rows and the columns of the cells that were out of view at the farthest point."""
        dx, dy = (self.distance * step for step in STEPS[self.move])
        return _side(dy), _side(dx)


def _side(shift: int) -> slice:
    """Return what a view loses that moves by some cells along an axis; all of it along the other axis."""
    if shift == 0:
        return slice(None)
    return slice(0, shift) if shift > 0 else slice(shift, None)


def find_walks(truth: Model, clips: Sequence[Clip], distances: Sequence[int] = DISTANCES) -> list[Walk]:
    """Return the walks from first frames that the game makes: nothing stands in the way, and the view scrolls.

    There is at most one of each distance from a clip; clips begin with another direction in turns.
    """
    found = []
    for number, clip in enumerate(clips):
        left = list(distances)
        for turn in range(len(STEPS)):
            move = list(STEPS)[(number + turn) % len(STEPS)]
            for distance in list(left):
                walk = Walk(clip, number, move, distance, clip.frames[:1])
                real = rollout(truth, clip.frames[0], actions_of(walk), 0)
                if not walk.made(real):
                    break  # nor is a longer one
                left.remove(distance)
                found.append(replace(walk, real=real))
    return found


def actions_of(walk: Walk) -> Int[np.ndarray, "t 1"]:
    """Return the actions of a walk."""
    return np.concatenate([action_of(walk.clip.schema, name) for name in walk.names])


def permanence(name: str, model: Model, walks: Sequence[Walk], seed: int = 0) -> Iterator[Row]:
    """Measure which walks a session makes, and what came back in those: cells that show another ground, pixels.

    Only cells that were out of view are compared, and only walks that were made. A step of the way back from a true
    past is also looked at alone: the line of cells that it brings back into view.
    """
    for distance in sorted({walk.distance for walk in walks}):
        some = [walk for walk in walks if walk.distance == distance]
        made, clips, cells, levels, returned = [], [], [], [], []
        for walk in some:
            frames = rollout(model, walk.real[0], actions_of(walk), seed + walk.number)
            made.append(walk.made(frames))
            clips.append(walk.number)
            if made[-1]:
                wrong, level = came_back(walk, frames[-1:])
                cells.append(wrong)
                levels.append(level)
                returned.append(walk.number)
        away = f"{distance} cells away and back"
        yield share(f"walks that are made, {away}", name, made, clips)
        yield mean(f"ground that comes back changed, {away}", name, cells, returned, "%")
        yield mean(f"pixels that come back, {away}", name, levels, returned, "levels of 255")
        yield from from_true_walks(name, model, some, seed)


def from_true_walks(name: str, model: Model, walks: Sequence[Walk], seed: int) -> Iterator[Row]:
    """Measure the last step of a walk from the true frames before it, where it brings cells back into view."""
    cells, levels, clips = [], [], []
    for walk in walks:
        state, _ = model.begin(seed + walk.number, picture=walk.real[0])
        for t, each in enumerate(walk.names[:-1], 1):
            state = model.observe(state, walk.real[t : t + 1], action_of(model.schema, each))
        frame = model.step(state, action_of(model.schema, walk.names[-1]))[1][-1:]
        positions = walk.clip.world.sight(np.concatenate([walk.real[-2:-1], frame])).positions
        if np.array_equal(positions[1], walk.path[-1] - walk.path[-2]):
            wrong, level = came_back(walk, frame, last_line=True)
            cells.append(wrong)
            levels.append(level)
            clips.append(walk.number)
    away = f"{walks[0].distance} cells away and back"
    yield mean(f"ground that comes back changed, last step after true frames, {away}", name, cells, clips, "%")
    yield mean(f"pixels that come back, last step after true frames, {away}", name, levels, clips, "levels of 255")


def dead_reckoning(name: str, model: Model, walks: Sequence[Walk]) -> Iterator[Row]:
    """Measure how many steps of walks a model with a map takes for what they are, from the true frames."""
    if not isinstance(model, WorldModel) or not model.map_side:
        return
    for distance in sorted({walk.distance for walk in walks}):
        right, clips = [], []
        for walk in (walk for walk in walks if walk.distance == distance):
            state, _ = model.begin(walk.number, picture=walk.real[0])
            path = [state.position]
            for t, each in enumerate(walk.names, 1):
                state = model.observe(state, walk.real[t : t + 1], action_of(model.schema, each))
                path.append(state.position)
            moved = np.diff(np.array(path)[:, ::-1], axis=0)  # latents down and right, and a latent is a cell
            right += (moved == np.diff(walk.path, axis=0)).all(axis=1).tolist()
            clips += [walk.number] * len(moved)
        yield share(f"steps whose shift the map finds, {distance} cells away and back", name, right, clips)


def came_back(walk: Walk, last: Frames, last_line: bool = False) -> tuple[float, float]:
    """Return the share of cells with another ground than at the start, and the mean difference of their pixels."""
    rows, columns = walk.left_view()
    if last_line:  # the cells that the last step brings back
        dx, dy = STEPS[walk.move]
        rows, columns = _side(dy), _side(dx)
    ground = [walk.clip.world.sight(frames).cells[0] for frames in (walk.real[:1], last)]
    high, wide = ground[0].shape
    pixels = [
        frames[0, : high * CELL, : wide * CELL].reshape(high, CELL, wide, CELL, 3)[rows][:, :, columns].astype(int)
        for frames in (walk.real[:1], last)
    ]
    wrong = (ground[0] != ground[1])[rows, columns]
    return float(wrong.mean()) if wrong.size else math.nan, float(np.abs(pixels[0] - pixels[1]).mean())
