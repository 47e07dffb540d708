"""Steps from true pasts, sessions with the actions of a clip, counterfactuals, latency, and drift without actions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.worlds.clips import Clip, Model, action_of, after, rollout
from benchmarks.worlds.pixels import MOVES, OPPOSITE, changed, different, error, psnr, shift_of
from benchmarks.worlds.rows import Row, mean, share
from chronotope.geometry import Frames, Picture

REST, RESTING = 32, 8  # frames without an action, and clips of which such sessions are made
CONTEXT = 4  # real frames before a step from a true past, at least
BRANCHES = (4, 9, 14)  # frames from which two actions are compared, where the clip has them
WAIT = 3  # frames within which the effect of an action is looked for


def from_true_pasts(name: str, model: Model, clips: Sequence[Clip], seed: int = 0) -> Iterator[Row]:
    """Compare a step under the true action and under another one with the real frame, from every true past.

    The action sign is right where the map is shifted as in the real clip; at rest, where it is not shifted.
    """
    values: dict[str, list[float]] = {"true": [], "other": []}
    scored: list[int] = []
    signs: dict[bool, tuple[list[bool], list[int]]] = {moved: ([], []) for moved in (True, False)}
    for number, clip in enumerate(clips):
        state = after(model, clip, 0, CONTEXT, seed + number)
        for t in range(CONTEXT + 1, len(clip.frames)):
            before, real = clip.frames[t - 1], clip.frames[t]
            action = clip.actions.values[t][None]
            made = model.step(state, action)[1][-1]
            shift = shift_of(before, real)
            outcomes, of = signs[shift != (0, 0)]
            outcomes.append(shift_of(before, made) == shift)
            of.append(number)
            mask = changed(before[None], real[None])
            if mask.any():
                another = action_of(model.schema, OPPOSITE.get(clip.name(t), "move left"))
                otherwise = model.step(state, another)[1][-1]
                for kind, frame in (("true", made), ("other", otherwise)):
                    values[kind].append(psnr(error(frame[None], real[None], mask)))
                scored.append(number)
            state = model.observe(state, real[None], action)
    yield mean("delta-PSNR of a step from a true past", name, values["true"], scored, "dB")
    yield mean("the same step under another action", name, values["other"], scored, "dB")
    yield share("moves in the right direction, a step from a true past", name, *signs[True])
    yield share("rests that stay at rest, a step from a true past", name, *signs[False])


def in_sessions(name: str, model: Model, clips: Sequence[Clip], seed: int = 0) -> tuple[list[Row], list[Frames]]:
    """Compare sessions from the first frame of each clip, with its actions, with the clip; return also their frames."""
    sessions, values, scored = [], [], []
    signs: dict[bool, tuple[list[bool], list[int]]] = {moved: ([], []) for moved in (True, False)}
    started, steps = time.process_time(), 0
    for number, clip in enumerate(clips):
        sessions.append(rollout(model, clip.frames[0], clip.actions.values[1 : len(clip.frames)], seed + number))
        steps += len(clip.frames) - 1
    rate = steps / (time.process_time() - started)
    for number, (clip, made) in enumerate(zip(clips, sessions, strict=True)):
        mask = changed(clip.frames[:-1], clip.frames[1:])
        if mask.any():
            values.append(psnr(error(made[1:], clip.frames[1:], mask)))
            scored.append(number)
        for t in range(1, len(made)):
            shift = shift_of(clip.frames[t - 1], clip.frames[t])
            outcomes, of = signs[shift != (0, 0)]
            outcomes.append(shift_of(made[t - 1], made[t]) == shift)
            of.append(number)
    rows = [
        mean("delta-PSNR of a session", name, values, scored, "dB"),
        share("moves in the right direction, sessions", name, *signs[True]),
        share("rests that stay at rest, sessions", name, *signs[False]),
        Row("frames per second of processor time", name, rate, np.nan, np.nan, steps, "1/s"),
    ]
    return rows, sessions


def counterfactuals(
    name: str, model: Model, truth: Model, clips: Sequence[Clip], branches: Sequence[int] = BRANCHES, seed: int = 0
) -> Iterator[Row]:
    """Compare the cells that differ between a step left and a step right, after the same past, with those of the game.

    Both games start from the simulator's own state; the model has seen the frames.
    """
    in_model: tuple[list[bool], list[int]] = ([], [])  # of cells that differ in the model: whether they do in the game
    in_game: tuple[list[bool], list[int]] = ([], [])
    for number, clip in enumerate(clips):
        for last in (t for t in branches if t < len(clip.frames)):
            made, real = (_pair(each, after(each, clip, 0, last, seed + number)) for each in (model, truth))
            for kept, found, cells in ((in_model, real, made), (in_game, made, real)):
                kept[0].extend(found[cells].tolist())
                kept[1].extend([number] * int(cells.sum()))
    yield share("counterfactual cells: precision", name, *in_model)
    yield share("counterfactual cells: recall", name, *in_game)


def _pair(model: Model, state: Any) -> np.ndarray:
    """Return the cells that differ between a step left and a step right."""
    left, right = (model.step(state, action_of(model.schema, each))[1][-1] for each in ("move left", "move right"))
    return different(left, right)


def latency(name: str, model: Model, truth: Model, clips: Sequence[Clip], seed: int = 0) -> Iterator[Row]:
    """Find the first frame in which a move differs from no action, where in the game it is the first one.

    An action that shows no effect within `WAIT` frames counts as answered after `WAIT` + 1.
    """
    frames, scored = [], []
    for number, clip in enumerate(clips):
        states = [after(each, clip, 0, CONTEXT, seed + number) for each in (truth, model)]
        quiet = [_stream(each, state, "noop") for each, state in zip((truth, model), states, strict=True)]
        for move in MOVES:
            if _first(_stream(truth, states[0], move, 1), quiet[0]) == 1:
                frames.append(float(_first(_stream(model, states[1], move), quiet[1])))
                scored.append(number)
    yield mean("latency of an action", name, frames, scored, "frames")
    yield share("actions that show in the first frame", name, [frame == 1 for frame in frames], scored)


def _stream(model: Model, state: Any, name: str, count: int = WAIT) -> list[Picture]:
    """Return the frames of an action that is done once and followed by none."""
    frames = []
    for t in range(count):
        state, made = model.step(state, action_of(model.schema, name if t == 0 else "noop"))
        frames.append(made[-1])
    return frames


def _first(frames: Sequence[Picture], others: Sequence[Picture]) -> int:
    """Return the number of the first frame that differs in some cell, from 1; one more than there are where none is."""
    pairs = zip(frames, others, strict=False)
    return next((t for t, (one, other) in enumerate(pairs, 1) if different(one, other).any()), len(frames) + 1)


def drift(name: str, model: Model, clips: Sequence[Clip], seed: int = 0, rest: int = REST) -> Iterator[Row]:
    """Measure how much a pixel changes over a session without actions."""
    still = np.repeat(action_of(model.schema, "noop"), rest, axis=0)
    sessions = [rollout(model, clip.frames[0], still, seed + number) for number, clip in enumerate(clips[:RESTING])]
    levels = [float(np.abs(frames[-1].astype(int) - frames[0]).mean()) for frames in sessions]
    yield mean(f"drift in {rest} frames without actions", name, levels, range(len(levels)), "levels of 255")
