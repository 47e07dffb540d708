"""Play a spec: its actions become frames, rewards and the truth of every frame.

The policy decides at one size of the frame, so that a spec shows the same events at any size. Games are not kept: each
is a process of its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.worlds.doom.game import Game, Seen, State
from chronotope.worlds.doom.policy import Explorer
from chronotope.worlds.doom.spec import DoomSpec

__all__ = ["Episode", "begin", "planned", "play", "simulate"]

DECIDING = (160, 120)  # width and height of the frames by which the policy decides


@dataclass(frozen=True)
class Episode:
    """What happens in a clip; `actions[t]` led to frame t, the first to none. `over` is the frame at which the player
    is dead or has left the map.
    """

    seen: tuple[Seen, ...]
    states: tuple[State, ...]
    actions: tuple[str, ...]
    rewards: Float[np.ndarray, " t"]
    over: int | None

    @property
    def frames(self) -> Frames:
        """Return the pictures."""
        return np.stack([each.picture for each in self.seen])


@functools.lru_cache(maxsize=16)
def planned(map: str, seed: int, tics: int, length: int) -> tuple[tuple[str, ...], tuple[State, ...]]:
    """Return what the policy does in the first frames of a game, and the state before each action and after the last.

    Both are shorter where the game ends.
    """
    game, act = Game(map, seed, *DECIDING), Explorer(seed)
    actions, states = list[str](), [game.state]
    while len(actions) < length and not game.over:
        actions.append(act(game))
        game.act(actions[-1], tics)
        states.append(game.state)
    return tuple(actions), tuple(states)


def begin(spec: DoomSpec, armed: bool = True) -> Game:
    """Return a new game, played by the policy up to the first frame of a spec."""
    before, _ = planned(spec.map, spec.seed, spec.tics, _all(spec))
    if len(before) < spec.start:
        raise UsageError(f"the game of seed {spec.seed} on {spec.map} ends before frame {spec.start}; start earlier")
    game = Game(spec.map, spec.seed, spec.width, spec.height, armed)
    for action in before[: spec.start]:
        game.act(action, spec.tics)
    return game


@functools.lru_cache(maxsize=8)
def simulate(spec: DoomSpec) -> Episode:
    """Play a spec from the beginning of its game."""
    return play(spec, actions_of(spec))


def play(spec: DoomSpec, actions: tuple[str, ...], armed: bool = True) -> Episode:
    """Play from the first frame of a spec on; where a game ends before its clip, the last frame stays."""
    game = begin(spec, armed)
    seen, states, rewards, over = [game.look()], [game.state], [0.0], None
    for t, action in enumerate(actions, start=1):
        rewards.append(game.act(action, spec.tics))
        over = t if game.over and over is None else over
        seen.append(seen[-1] if over else game.look())
        states.append(game.state)
    return Episode(tuple(seen), tuple(states), ("noop", *actions), np.array(rewards, np.float32), over)


def actions_of(spec: DoomSpec) -> tuple[str, ...]:
    """Return the actions of a clip, one for each frame after the first."""
    if spec.actions:
        return spec.actions
    found = planned(spec.map, spec.seed, spec.tics, _all(spec))[0][spec.start :]
    return found + ("noop",) * (spec.num_frames - 1 - len(found))


def _all(spec: DoomSpec) -> int:
    return spec.start + (0 if spec.actions else spec.num_frames - 1)
