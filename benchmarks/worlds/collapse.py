"""The hazard of collapse: how often a session becomes something that is no frame of its world, per minute of play.

A session has collapsed where, for two seconds, most cells differ from everything that the world can draw, or the
player is not seen. In the game itself neither is ever the case: there no cell differs by more than 15 levels, at any
hour. A session ends with its collapse, so the rate is that of the first one. Actions are random, each repeated for a
geometric number of steps of mean 2, or follow each other as those of the clips do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from benchmarks.worlds.clips import Clip, Model
from benchmarks.worlds.rows import Row
from chronotope.geometry import Frames
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


def run(model: Model, clip: Clip, actions: Int[np.ndarray, "t 1"], seed: int, fps: float) -> Ran:
    """Step a session until it collapses or its actions end."""
    state, _ = model.begin(seed, picture=clip.frames[0])
    lasting = round(LASTING * fps)
    in_a_row, frames = 0, []
    for number, action in enumerate(actions, 1):
        state, made = model.step(state, action[None])
        frames.append(made[-1])
        if len(frames) == PIECE or number == len(actions):
            for t, bad in enumerate(collapsed(clip.world, np.stack(frames)), number - len(frames) + 1):
                in_a_row = in_a_row + 1 if bad else 0
                if in_a_row == lasting:
                    return Ran((t - lasting + 1) / fps, True)
            frames = []
    return Ran(len(actions) / fps, False)


def hazard(
    name: str, model: Model, clips: Sequence[Clip], fps: float, seeds: int, minutes: float, seed: int = 0
) -> Iterator[Row]:
    """Measure the collapses per minute of sessions of at most `minutes`, for each way to choose actions."""
    count = round(60 * minutes * fps)
    for kind, draw in ACTIONS.items():
        ran = []
        for number in range(seeds):
            clip = clips[number % len(clips)]
            actions = draw(clips, count, np.random.default_rng([seed, number]))
            ran.append(run(model, clip, actions, seed + number, fps))
        yield rate(f"collapses per minute, {kind}", name, ran)
        whole = sum(not one.collapsed for one in ran) / len(ran)
        yield Row(f"sessions of {minutes:g} minutes without a collapse, {kind}", name, whole, *_none, len(ran), "%")


_none = (np.nan, np.nan)


def rate(measure: str, model: str, ran: Sequence[Ran]) -> Row:
    """Return events per minute with the exact interval of a Poisson rate (Garwood 1936)."""
    from scipy.stats import chi2

    events, exposure = sum(one.collapsed for one in ran), sum(one.seconds for one in ran) / 60
    low = chi2.ppf(0.025, 2 * events) / 2 / exposure if events else 0.0
    high = chi2.ppf(0.975, 2 * events + 2) / 2 / exposure
    return Row(measure, model, events / exposure, float(low), float(high), events, "a minute")
