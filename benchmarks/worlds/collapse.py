"""The hazard of collapse: how often a session becomes something that is no frame of its world, per minute of play.

A session has collapsed where, for two seconds, most cells differ from everything that the world can draw, or the
player is not seen. In the game itself neither is ever the case: there no cell differs by more than 15 levels, at any
hour. A session ends with its collapse, so the rate is that of the first one. Actions are random, each repeated for a
geometric number of steps of mean 2, or follow each other as those of the clips do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from benchmarks.worlds.clips import Clip, Model
from benchmarks.worlds.rows import Row
from chronotope.geometry import Frames, Picture
from chronotope.simulate.model import WorldModel
from chronotope.worlds.world import World

UNEXPLAINED = 25  # levels by which a cell differs from everything that the world can draw
MOST = 0.5  # of the cells of a frame
LASTING = 2.0  # seconds
PIECE = 32  # frames that are read together
REPEAT = 0.5  # chance that a random action is done again


def collapsed(world: World, frames: Frames) -> Bool[np.ndarray, " t"]:
    """Return which frames the world cannot have drawn."""
    seen = world.sight(frames)
    return ((seen.residual > UNEXPLAINED).mean((1, 2)) > MOST) | ~seen.player


def random_actions(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> Int[np.ndarray, "t 1"]:
    """Return actions that are equally likely, some of which are repeated."""
    choices = len(clips[0].schema.choices[0])
    actions = [int(rng.integers(choices))]
    while len(actions) < count:
        actions.append(actions[-1] if rng.random() < REPEAT else int(rng.integers(choices)))
    return np.array(actions)[:, None]


def clip_like_actions(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> Int[np.ndarray, "t 1"]:
    """Return actions of a Markov chain with the transitions of the clips."""
    choices = len(clips[0].schema.choices[0])
    counts = np.full((choices, choices), 1e-6)
    for clip in clips:
        values = clip.actions.values[1 : len(clip.frames), 0]
        np.add.at(counts, (values[:-1], values[1:]), 1)
    counts[counts.sum(1) < 1] = counts.sum(0)  # what follows an action that no clip has
    chances = counts / counts.sum(1, keepdims=True)
    actions = [int(rng.choice(choices, p=counts.sum(0) / counts.sum()))]
    while len(actions) < count:
        actions.append(int(rng.choice(choices, p=chances[actions[-1]])))
    return np.array(actions)[:, None]


ACTIONS: dict[str, Callable[[Sequence[Clip], int, np.random.Generator], Int[np.ndarray, "t 1"]]] = {
    "random actions": random_actions,
    "actions like those of the clips": clip_like_actions,
}


@dataclass(frozen=True)
class Ran:
    """How long a session ran until it collapsed, or until it was ended."""

    seconds: float
    collapsed: bool


def run(model: Model, clips: Sequence[Clip], actions: Int[np.ndarray, "n t 1"], fps: float, seed: int = 0) -> list[Ran]:
    """Step sessions side by side, each from another clip, until they collapse or their actions end."""
    lasting, count = round(LASTING * fps), actions.shape[1]
    starts = [clips[number % len(clips)] for number in range(len(actions))]
    states = [model.begin(seed + number, picture=clip.frames[0])[0] for number, clip in enumerate(starts)]
    found = [Ran(count / fps, False) for _ in starts]
    in_a_row = [0] * len(starts)
    going = list(range(len(starts)))
    for first in range(0, count, PIECE):
        frames: dict[int, list[Picture]] = {number: [] for number in going}
        for t in range(first, min(first + PIECE, count)):
            made = step_all(model, [states[i] for i in going], [actions[i, t][None] for i in going])
            for number, (state, new) in zip(going, made, strict=True):
                states[number] = state
                frames[number].append(new[-1])
        for number in list(going):
            for t, bad in enumerate(collapsed(starts[number].world, np.stack(frames[number])), first + 1):
                in_a_row[number] = in_a_row[number] + 1 if bad else 0
                if in_a_row[number] == lasting:
                    found[number] = Ran((t - lasting + 1) / fps, True)
                    going.remove(number)
                    break
    return found


def step_all(model: Model, states: Sequence[Any], actions: Sequence[np.ndarray]) -> list[tuple[Any, Frames]]:
    """Step several sessions that are equally old; in one pass of the network where the model can do that."""
    if isinstance(model, WorldModel) and states:
        return model.step_together(states, actions)
    return [model.step(state, action) for state, action in zip(states, actions, strict=True)]


def hazard(
    name: str, model: Model, clips: Sequence[Clip], fps: float, seeds: int, minutes: float, seed: int = 0
) -> Iterator[Row]:
    """Measure the collapses per minute of sessions of at most `minutes`, for each way to choose actions."""
    count = round(60 * minutes * fps)
    for kind, draw in ACTIONS.items():
        actions = np.stack([draw(clips, count, np.random.default_rng([seed, number])) for number in range(seeds)])
        ran = run(model, clips, actions, fps, seed)
        yield rate(f"collapses per minute, {kind}", name, ran)
        played = sum(one.seconds for one in ran) / 60
        yield Row(
            f"minutes played until a collapse, at most {minutes:g} each, {kind}", name, played, *_none, seeds, "min"
        )


_none = (np.nan, np.nan)


def rate(measure: str, model: str, ran: Sequence[Ran]) -> Row:
    """Return events per minute with the exact interval of a Poisson rate (Garwood 1936)."""
    from scipy.stats import chi2

    events, exposure = sum(one.collapsed for one in ran), sum(one.seconds for one in ran) / 60
    low = chi2.ppf(0.025, 2 * events) / 2 / exposure if events else 0.0
    high = chi2.ppf(0.975, 2 * events + 2) / 2 / exposure
    return Row(measure, model, events / exposure, float(low), float(high), events, "a minute")
