"""How far a trained world can be trusted: its frames against those of the real clips, for the same actions.

    python -m benchmarks.worlds RUN CLIPS [--clips 12] [--frames 16] [--json FILE] [--sheet FILE.png]

A step follows real frames; "copy last" repeats the last of them, "another action" is the model's step under an action
that was not done: a model that ignores actions does not differ from it. A session is begun from the first frame of a
clip and stepped with its actions. "Shift rule" is a baseline without a model: a move shifts the last frame by a cell,
whatever stands in the way. delta-PSNR is the PSNR over the pixels that changed in the real clip since the frame before.
Moves are in the right direction where the map is shifted as in the real clip, by one cell or none. Counterfactual: the
cells that differ between a step left and a step right, against those of the simulator. No-op drift is the mean change
of a pixel over a session without actions.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.data.clips import find_clips, read_datasets
from chronotope.generate.pipeline import Generator
from chronotope.geometry import Frames, Picture
from chronotope.media import video
from chronotope.metrics.statistics import wilson
from chronotope.simulate.model import StepSettings, WorldModel, WorldState
from chronotope.storage import read_json
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.world import World

REST = 32  # frames without an action
CELL = 8  # pixels of a cell of Crafter at 64x64
MOVES = {"move left": (0, 1), "move right": (0, -1), "move up": (1, 0), "move down": (-1, 0)}  # how the map is shifted
OPPOSITE = {"move left": "move right", "move right": "move left", "move up": "move down", "move down": "move up"}
SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if not (dy and dx)]


@dataclass(frozen=True)
class Clip:
    """Real frames and the actions that led to them."""

    frames: Frames
    actions: Actions
    world: World
    spec: Any


def read_clips(folder: Path, schema: ActionSchema, count: int, num_frames: int) -> list[Clip]:
    """Read the first clips that are long enough, cut to `num_frames`."""
    described = [about for _, about in read_datasets(folder) if about.get("actions")]
    if not described or from_dict(ActionSchema, described[0]["actions"]) != schema:
        raise SystemExit(f"{folder} has no clips with the actions of this model")
    world = find_world(described[0]["world"])
    found: list[Clip] = []
    for clip in find_clips(folder):
        frames = video.read(clip.path).frames
        if len(frames) >= num_frames and len(found) < count:
            actions = read_actions(clip.path.with_name(clip.path.stem + SUFFIX), schema, len(frames))
            spec = world.read_spec(read_json(clip.path.with_suffix(".json"))["spec"])
            found.append(Clip(frames[:num_frames], actions, world, spec))
    return found


def rollout(world: WorldModel, first: Picture, actions: np.ndarray, seed: int) -> Frames:
    """Step a session from a picture with these actions [t, d]; return the first frame and one for each action."""
    state, frame = world.begin(seed, picture=first)
    frames = [frame]
    for action in actions:
        state, made = world.step(state, action[None])
        frames.append(made[-1])
    return np.stack(frames)


def error(made: Frames, real: Frames, mask: np.ndarray | None = None) -> float:
    """Mean square error, on the pixels of a mask [t, h, w]."""
    squares = np.square(made.astype(float) - real).mean(axis=-1)
    return float(squares.mean() if mask is None else squares[mask].mean())


def psnr(mean_square_error: float) -> float:
    """PSNR in dB of pixels from 0 to 255."""
    return 10 * np.log10(255**2 / max(mean_square_error, 1e-10))


def changed(frames: Frames) -> np.ndarray:
    """The pixels [t - 1, h, w] that differ by more than 24 levels from the frame before, in any colour."""
    return (np.abs(np.diff(frames.astype(int), axis=0)) > 24).any(axis=-1)


def shift_of(before: Picture, after: Picture) -> tuple[int, int]:
    """The shift of the map, in cells, that explains a frame best; the inventory below is left out."""
    rows = before.shape[0] * 3 // 4
    before, after = before[:rows].astype(int), after[:rows].astype(int)

    def mismatch(shift: tuple[int, int]) -> float:
        dy, dx = shift[0] * CELL, shift[1] * CELL
        ys, xs = (slice(max(0, d), side + min(0, d)) for d, side in ((dy, rows), (dx, before.shape[1])))
        yt, xt = (slice(max(0, -d), side + min(0, -d)) for d, side in ((dy, rows), (dx, before.shape[1])))
        return float(np.abs(after[ys, xs] - before[yt, xt]).mean())

    return min(SHIFTS, key=mismatch)


def shift_rule(frame: Picture, name: str) -> Picture:
    """The frame after an action, if a move shifted the map by a cell and nothing else happened; edges are repeated."""
    dy, dx = MOVES.get(name, (0, 0))
    rows, columns = frame.shape[0] * 3 // 4, frame.shape[1]
    y, x = np.arange(rows) - dy * CELL, np.arange(columns) - dx * CELL
    y, x = (np.where(i < 0, i % CELL, np.where(i >= n, n - CELL + i % CELL, i)) for i, n in ((y, rows), (x, columns)))
    moved = np.concatenate([frame[:rows][np.ix_(y, x)], frame[rows:]])
    top, left = rows // CELL // 2 * CELL, columns // CELL // 2 * CELL  # of the player, who stays in the middle
    moved[top : top + CELL, left : left + CELL] = frame[top : top + CELL, left : left + CELL]
    return moved


@dataclass(frozen=True)
class Steps:
    """Steps from real pasts: the last real frame, the model's, that under another action, the rule's, the real one."""

    before: Frames
    made: Frames
    otherwise: Frames
    ruled: Frames
    real: Frames


def one_step(world: WorldModel, clip: Clip, seed: int, context: int = 6) -> Steps:
    """The frame that follows `context` real frames, once for each stretch of the clip."""
    found = []
    for start in range(0, len(clip.frames) - context, context):
        state = after(world, clip, start, start + context - 1, seed + start)
        last, action = clip.frames[start + context - 1], clip.actions.values[start + context]
        name = _name(world.schema, action)
        another = np.array([world.schema.number(OPPOSITE.get(name, "move left"))])
        made, otherwise = (world.step(state, each[None])[1][-1] for each in (action, another))
        found.append((last, made, otherwise, shift_rule(last, name), clip.frames[start + context]))
    return Steps(*map(np.stack, zip(*found, strict=True)))


def _name(schema: ActionSchema, action: np.ndarray) -> str:
    return schema.choices[0][int(action[0])]


def after(world: WorldModel, clip: Clip, first: int, last: int, seed: int) -> WorldState:
    """The state of a session that has really seen the frames from `first` to `last`."""
    state, _ = world.begin(seed, picture=clip.frames[first])
    for t in range(first + 1, last + 1):
        state = world.observe(state, clip.frames[t : t + 1], clip.actions.values[t][None])
    return state


def counterfactual(world: WorldModel, clip: Clip, seed: int, context: int = 4) -> tuple[int, int, int]:
    """Cells that differ between a step left and a step right after the same past: (of both, of the model, of the game).

    The game is the simulator itself, begun from the spec of the clip.
    """
    pictures: dict[str, list[Picture]] = {"model": [], "game": []}
    state = after(world, clip, 0, context, seed)
    for name in ("move left", "move right"):
        action = np.array([world.schema.number(name)])
        game = clip.world.start(clip.spec)
        for t in range(1, context + 1):
            game.step(clip.actions.values[t])
        pictures["game"].append(game.step(action).frame)
        pictures["model"].append(world.step(state, action[None])[1][-1])
    model, game_cells = (_cells(np.abs(left.astype(int) - right)) > 10 for left, right in pictures.values())
    return int((model & game_cells).sum()), int(model.sum()), int(game_cells.sum())


def _cells(difference: np.ndarray) -> np.ndarray:
    """The mean over each cell of the grid."""
    height, width = difference.shape[:2]
    cells = difference.reshape(height // CELL, CELL, width // CELL, CELL, 3)
    mean: np.ndarray = cells.mean(axis=(1, 3, 4))
    return mean


def measure(world: WorldModel, clips: Sequence[Clip], seed: int = 0) -> dict[str, Any]:
    """Measure a step from real pasts, sessions from the first frame, moves, counterfactuals, drift without actions."""
    found = _Found()
    for number, clip in enumerate(clips):
        found.add_step(one_step(world, clip, seed + number))
        found.add_session(world.schema, clip, *_timed(world, clip, seed + number))
        found.counterfactual.append(counterfactual(world, clip, seed + number))
    neutral = np.array([world.schema.neutral or (0.0,) * world.schema.dims])
    rested = [rollout(world, clip.frames[0], np.repeat(neutral, REST, axis=0), seed) for clip in clips[:4]]
    drift = [float(np.abs(frames[-1].astype(int) - frames[0]).mean()) for frames in rested]
    both, model, game = np.sum(found.counterfactual, axis=0).tolist()
    return {
        "clips": len(clips),
        "frames of a session": len(clips[0].frames) - 1,
        "delta-PSNR of a step from a real past, dB": _means(found.step),
        "delta-PSNR of a session, dB": _means(found.session),
        "moves of a session in the right direction": {name: _share(*counts) for name, counts in found.moves.items()},
        "rests of a session that stay at rest": {name: _share(*counts) for name, counts in found.rests.items()},
        "counterfactual cells": {"precision": _share(both, model), "recall": _share(both, game)},
        f"no-op drift after {REST} frames, levels of 255": round(float(np.mean(drift)), 2),
        "frames a second": round(found.frames / found.seconds, 2),
    }


def _timed(world: WorldModel, clip: Clip, seed: int) -> tuple[Frames, float]:
    started = time.perf_counter()
    made = rollout(world, clip.frames[0], clip.actions.values[1 : len(clip.frames)], seed)
    return made, time.perf_counter() - started


class _Found:
    """What was found so far: dB of each clip, (right, all) moves and rests, cells, and the time that sessions took."""

    def __init__(self) -> None:
        self.step: dict[str, list[float]] = {"model": [], "another action": [], "copy last": [], "shift rule": []}
        self.session: dict[str, list[float]] = {"model": [], "copy first": [], "shift rule": []}
        self.moves, self.rests = ({"model": [0, 0], "shift rule": [0, 0]} for _ in range(2))
        self.counterfactual: list[tuple[int, int, int]] = []
        self.frames, self.seconds = 0, 0.0

    def add_step(self, steps: Steps) -> None:
        mask = (np.abs(steps.real.astype(int) - steps.before) > 24).any(axis=-1)
        if mask.any():
            shown = (steps.made, steps.otherwise, steps.before, steps.ruled)
            for name, frames in zip(self.step, shown, strict=True):
                self.step[name].append(psnr(error(frames, steps.real, mask)))

    def add_session(self, schema: ActionSchema, clip: Clip, made: Frames, seconds: float) -> None:
        self.frames, self.seconds = self.frames + len(made) - 1, self.seconds + seconds
        ruled = [clip.frames[0]]
        for action in clip.actions.values[1 : len(made)]:
            ruled.append(shift_rule(ruled[-1], _name(schema, action)))
        shown = {"model": made, "copy first": np.repeat(clip.frames[:1], len(made), axis=0), "shift rule": ruled}
        mask = changed(clip.frames)
        if mask.any():
            for name, frames in shown.items():
                self.session[name].append(psnr(error(np.stack(frames[1:]), clip.frames[1:], mask)))
        for t in range(1, len(made)):
            real = shift_of(clip.frames[t - 1], clip.frames[t])
            for name, counts in (self.rests if real == (0, 0) else self.moves).items():
                counts[0] += shift_of(shown[name][t - 1], shown[name][t]) == real
                counts[1] += 1


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(float(np.mean(of_clips)), 2) for name, of_clips in values.items()}


def _share(right: int, total: int) -> dict[str, Any]:
    interval = wilson(right, total) if total else None
    return {"right": right, "of": total, "rate": round(right / max(1, total), 3), "interval": interval}


def draw_sheet(world: WorldModel, clips: Sequence[Clip], path: Path, seed: int = 0) -> None:
    """Draw real clips and the sessions of their actions, in turns, a row each; every other frame."""
    rows = []
    for number, clip in enumerate(clips):
        made = rollout(world, clip.frames[0], clip.actions.values[1 : len(clip.frames)], seed + number)
        rows += [np.concatenate(list(part[::2]), axis=1) for part in (clip.frames, made)]
    sheet = np.concatenate(rows, axis=0).repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(sheet).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--clips", dest="count", type=int, default=12)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--history", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    world = WorldModel(Generator.load(asked.run), StepSettings(asked.steps, None, asked.history))
    clips = read_clips(asked.clips, world.schema, asked.count, asked.frames)
    if asked.sheet:
        draw_sheet(world, clips[:4], asked.sheet)
    found = {
        **measure(world, clips),
        "threads": torch.get_num_threads(),
        "steps of the sampler": world.sampling.num_steps,
    }
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
