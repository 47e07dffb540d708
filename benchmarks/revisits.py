"""Does a trained world show a place again as it was? Walks there and back in Crafter, on maps that were held out.

    python -m benchmarks.revisits RUN [--walks 12] [--steps 4 7] [--json FILE] [--sheet FILE.png]

A walk goes so many steps in one direction and back, where nothing stands in the way. The cells that come back are
compared with the game's own frames, by the root mean square error in levels of 255 and by the share of cells that are
right (less than `RIGHT` levels off). "Truth's own" is the game's frame when the place was seen first: creatures move,
and it may grow dark. "Copy last" is the last frame at the same cells. A step follows real frames, and every step of the
way back brings a row or column of cells; a session is begun from the first frame and stepped, and its last frame is
compared. "Without the map" is the same model without its memory of places.

The position is that of dead reckoning over real frames, against the game's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chronotope.geometry import Frames
from chronotope.metrics.statistics import wilson
from chronotope.simulate.model import WorldModel
from chronotope.worlds.catalogue import find_world

CELL, ROWS = 8, 6  # pixels of a cell of Crafter at 64x64, and rows of the map; below it are numbers
RIGHT = 12.0
WAYS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
BACK = {"left": "right", "right": "left", "up": "down", "down": "up"}


@dataclass(frozen=True)
class Walk:
    """The game's frames, the actions that led to them and the player's positions (row and column)."""

    way: str
    frames: Frames
    actions: np.ndarray
    positions: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.frames) // 2

    def returned(self, count: int) -> np.ndarray:
        """The cells of the map that enter the view in the last `count` steps, [rows, columns]."""
        down, right = WAYS[self.way]
        cells = np.zeros((ROWS, self.frames.shape[2] // CELL), bool)
        if right:
            cells[:, : count * (right > 0)] = cells[:, cells.shape[1] - count * (right < 0) :] = True
        else:
            cells[: count * (down > 0)] = cells[ROWS - count * (down < 0) :] = True
        return cells


def find_walks(count: int, steps: int) -> list[Walk]:
    """Find walks of so many steps each way, each on a map of its own."""
    world, found = find_world("crafter"), list[Walk]()
    scope, choices = world.scope("forager", (64, 64), pictures=0.0), world.actions.choices[0]
    for seed in range(40 * count):
        spec = world.sample(seed, scope, "heldout")
        for way in WAYS:
            names = [f"move {way}"] * steps + [f"move {BACK[way]}"] * steps
            tried = replace(spec, start=spec.start % 30, num_frames=2 * steps + 1, actions=tuple(names))
            rendered = world.render(tried)
            positions = np.array(rendered.record["truth"]["position"])[:, ::-1]
            wanted = np.array([WAYS[way]] * steps + [WAYS[BACK[way]]] * steps)
            if np.array_equal(np.diff(positions, axis=0), wanted):
                actions = np.array([[0.0], *([choices.index(name)] for name in names)])
                found.append(Walk(way, rendered.frames, actions, positions))
                break
        if len(found) == count:
            break
    return found


class Errors:
    """Errors of cells: squares, and how many are right."""

    def __init__(self) -> None:
        self.squares, self.right = list[float](), 0

    def add(self, made: np.ndarray, real: np.ndarray, cells: np.ndarray) -> None:
        squares = np.square(made.astype(float) - real)[: ROWS * CELL]
        mean = squares.reshape(ROWS, CELL, -1, CELL, 3).mean(axis=(1, 3, 4))[cells]
        self.squares += mean.tolist()
        self.right += int((np.sqrt(mean) < RIGHT).sum())

    def summary(self) -> dict[str, Any]:
        low, high = wilson(self.right, len(self.squares))
        return {
            "rmse": round(float(np.sqrt(np.mean(self.squares))), 2),
            "right": round(self.right / len(self.squares), 3),
            "interval": [round(low, 3), round(high, 3)],
            "cells": len(self.squares),
        }


def steps_from_truth(world: WorldModel, walk: Walk, seed: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield the number and the frames of every step of the way back, each made after real frames."""
    state, _ = world.begin(seed, picture=walk.frames[0])
    for t in range(1, len(walk.frames)):
        if t > walk.steps:
            kinds = {"with the map": state, "without the map": replace(state, map=None)}
            made = {name: world.step(each, walk.actions[t][None])[1][-1] for name, each in kinds.items()}
            again = walk.frames[2 * walk.steps - t]
            yield t, {**made, "truth's own": again, "copy last": walk.frames[t - 1]}
        state = world.observe(state, walk.frames[t][None], walk.actions[t][None])


def session(world: WorldModel, walk: Walk, seed: int, remembers: bool) -> Frames:
    """The frames of a session of a walk."""
    state, frame = world.begin(seed, picture=walk.frames[0])
    state = state if remembers else replace(state, map=None)
    frames = [frame]
    for action in walk.actions[1:]:
        state, made = world.step(state, action[None])
        frames.append(made[-1])
    return np.stack(frames)


def measure(world: WorldModel, walks: Sequence[Walk]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Measure the cells that come back; also return real frames and those of sessions with and without the map."""
    one: dict[str, Errors] = {}
    whole: dict[str, Errors] = {}
    rows = []
    for seed, walk in enumerate(walks):
        for t, shown in steps_from_truth(world, walk, seed):
            for name, frame in shown.items():
                one.setdefault(name, Errors()).add(frame, walk.frames[t], walk.returned(1))
        sessions = {f"{'with' if on else 'without'} the map": session(world, walk, seed, on) for on in (True, False)}
        ends = {name: frames[-1] for name, frames in sessions.items()}
        ends |= {"truth's own": walk.frames[0], "copy last": walk.frames[walk.steps]}
        for name, frame in ends.items():
            cells = walk.returned(min(walk.steps, ROWS if walk.way in ("up", "down") else 8))
            whole.setdefault(name, Errors()).add(frame, walk.frames[-1], cells)
        rows += [np.concatenate(list(frames), axis=1) for frames in (walk.frames, *sessions.values())]
    found = {
        "a step after real frames, cells that enter": {name: each.summary() for name, each in one.items()},
        "a session there and back, cells that left": {name: each.summary() for name, each in whole.items()},
    }
    return found, rows


def measure_position(world: WorldModel, walks: Sequence[Walk]) -> dict[str, Any]:
    """Compare the position by dead reckoning over real frames with the player's."""
    right, total, ends = 0, 0, 0
    for walk in walks:
        state, _ = world.begin(0, picture=walk.frames[0])
        found = [state.position]
        for t in range(1, len(walk.frames)):
            state = world.observe(state, walk.frames[t][None], walk.actions[t][None])
            found.append(state.position)
        same = (np.diff(np.array(found), axis=0) == np.diff(walk.positions, axis=0)).all(axis=1)
        right, total, ends = right + int(same.sum()), total + len(same), ends + (found[-1] == (0, 0))
    return {"steps right": right, "of": total, "walks that end where they began": ends, "walks": len(walks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--walks", type=int, default=12)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 7])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    world = WorldModel.load(asked.run)
    if not world.map_side:
        raise SystemExit(f"{asked.run} does not say which latents scroll, so its sessions have no map")
    found, sheets = dict[str, Any](), list[np.ndarray]()
    for steps in asked.steps:
        walks = find_walks(asked.walks, steps)
        measured, rows = measure(world, walks)
        found[f"{steps} steps there and back"] = {**measured, "position": measure_position(world, walks)}
        sheets = rows[:12]
        print(json.dumps(found, indent=1), flush=True)
    if asked.sheet:
        Image.fromarray(np.concatenate(sheets).repeat(2, axis=0).repeat(2, axis=1)).save(asked.sheet)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
