"""How far a trained world can be trusted: its frames against those of the real clips, for the same actions.

    python -m benchmarks.worlds RUN CLIPS [--clips 12] [--frames 16] [--json FILE] [--sheet FILE.png]

Every clip is begun from its first frame and stepped with its own actions; "copy last" repeats the first frame, or the
real frame before (one step ahead). delta-PSNR is the PSNR over the pixels that changed in the real clip since the frame
before. An action has the right sign where the picture moves as it does in the real clip: the shift of the frame between
-2 and 2 cells that fits best. No-op drift is the mean change of a pixel over the frames of a session without actions.
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
from chronotope.simulate.model import StepSettings, WorldModel

CELL = 8  # pixels of a cell of Crafter at 64x64
SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if not (dy and dx)]


@dataclass(frozen=True)
class Clip:
    """Real frames and the actions that led to them."""

    frames: Frames
    actions: Actions


def read_clips(folder: Path, schema: ActionSchema, count: int, num_frames: int) -> list[Clip]:
    """Read the first clips that are long enough, cut to `num_frames`."""
    described = [about["actions"] for _, about in read_datasets(folder) if about.get("actions")]
    if not described or from_dict(ActionSchema, described[0]) != schema:
        raise SystemExit(f"{folder} has no clips with the actions of this model")
    found: list[Clip] = []
    for clip in find_clips(folder):
        frames = video.read(clip.path).frames
        if len(frames) >= num_frames and len(found) < count:
            actions = read_actions(clip.path.with_name(clip.path.stem + SUFFIX), schema, len(frames))
            found.append(Clip(frames[:num_frames], actions))
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


def measure(world: WorldModel, clips: Sequence[Clip], seed: int = 0) -> dict[str, Any]:
    """Measure one step ahead from real pasts, whole sessions from the first frame, moves, and drift without actions."""
    one_step: dict[str, list[float]] = {"model": [], "copy last": []}
    session: dict[str, list[float]] = {"model": [], "copy last": []}
    moves = still = right_moves = right_still = 0
    seconds = steps = 0.0
    for number, clip in enumerate(clips):
        actions = clip.actions.values[1 : len(clip.frames)]
        started = time.perf_counter()
        made = rollout(world, clip.frames[0], actions, seed + number)
        seconds, steps = seconds + time.perf_counter() - started, steps + len(actions)
        mask = changed(clip.frames)
        if mask.any():
            session["model"].append(psnr(error(made[1:], clip.frames[1:], mask)))
            copied = np.repeat(clip.frames[:1], len(actions), axis=0)
            session["copy last"].append(psnr(error(copied, clip.frames[1:], mask)))
        for t in range(1, min(3, len(clip.frames))):  # from a past that is nearly real
            if mask[t - 1].any():
                here = mask[t - 1 : t]
                real = clip.frames[t : t + 1]
                one_step["model"].append(psnr(error(made[t : t + 1], real, here)))
                one_step["copy last"].append(psnr(error(clip.frames[t - 1 : t], real, here)))
        for t in range(1, len(clip.frames)):
            real_shift = shift_of(clip.frames[t - 1], clip.frames[t])
            equal = shift_of(made[t - 1], made[t]) == real_shift
            if real_shift == (0, 0):
                still, right_still = still + 1, right_still + equal
            else:
                moves, right_moves = moves + 1, right_moves + equal
    neutral = np.array([world.schema.neutral or (0.0,) * world.schema.dims])
    rested = [rollout(world, clip.frames[0], np.repeat(neutral, 32, axis=0), seed) for clip in clips[:4]]
    drift = [float(np.abs(frames[-1].astype(int) - frames[0]).mean()) for frames in rested]
    return {
        "clips": len(clips),
        "frames of a session": len(clips[0].frames) - 1,
        "delta-PSNR of the first two steps, dB": _means(one_step),
        "delta-PSNR of a session, dB": _means(session),
        "moves in the right direction": _share(right_moves, moves),
        "rests that stay at rest": _share(right_still, still),
        "no-op drift after 32 frames, levels of 255": round(float(np.mean(drift)), 2),
        "frames a second": round(steps / seconds, 2),
    }


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
