"""Play a spec: its actions become scenes, rewards and the truth of every frame.

A game is played once and kept, so that clips from one map cost its steps only once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from chronotope.errors import UsageError
from chronotope.worlds.crafter.forager import policy
from chronotope.worlds.crafter.game import FACING, Game
from chronotope.worlds.crafter.scene import Scenes
from chronotope.worlds.crafter.spec import CrafterSpec, View

__all__ = ["Episode", "Played", "begin", "played", "scene_of", "simulate", "step_of"]


@dataclass(frozen=True)
class Step:
    """The whole state after one step."""

    materials: UInt8[np.ndarray, "rows columns"]
    things: UInt8[np.ndarray, "rows columns"]
    position: tuple[int, int]  # column and row
    facing: str
    inventory: UInt8[np.ndarray, " items"]
    achievements: UInt8[np.ndarray, " achievements"]
    daylight: float
    asleep: bool
    action: str
    reward: float
    over: bool


@dataclass(frozen=True)
class Episode:
    """What happens in a clip: scenes, and the truth of every frame; `actions[t]` led to frame t, the first to none."""

    scenes: Scenes
    positions: Int[np.ndarray, "t 2"]  # column and row on the map
    facing: tuple[str, ...]
    achievements: UInt8[np.ndarray, "t achievements"]  # how often each was unlocked so far
    actions: tuple[str, ...]
    rewards: Float[np.ndarray, " t"]
    begins: bool  # whether no known action led to its first frame
    over: int | None  # the frame at which the player is dead


class Played:
    """One game, as far as it has been played."""

    def __init__(self, seed: int, area: int, policy_name: str) -> None:
        self.game = Game(seed, area)
        self.policy = policy(policy_name, seed)
        self.steps = [step_of(self.game, "noop", 0.0)]

    def to(self, length: int) -> list[Step]:
        """Return the first `length` steps, fewer where the player dies earlier."""
        while len(self.steps) < length and not self.game.over:
            action = self.policy(self.game)
            self.steps.append(step_of(self.game, action, self.game.act(action)))
        return self.steps[:length]


@functools.lru_cache(maxsize=4)
def played(seed: int, area: int, policy_name: str) -> Played:
    """Return the game of a seed; the same object each time."""
    return Played(seed, area, policy_name)


def step_of(game: Game, action: str, reward: float) -> Step:
    """Return the state of a game after an action."""
    return Step(
        *game.maps(), game.position, FACING[game.facing], game.inventory(), game.achievements(), game.daylight,
        game.asleep, action, reward, game.over,
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def simulate(spec: CrafterSpec) -> Episode:
    """Play a spec from the beginning of its game."""
    if not spec.actions:
        steps = played(spec.seed, spec.area, spec.policy).to(spec.start + spec.num_frames)[spec.start :]
        return _episode(spec, steps)
    game = begin(spec)
    steps = [step_of(game, "noop", 0.0)]
    for action in spec.actions:
        steps.append(step_of(game, action, game.act(action)))
    return _episode(spec, steps)


def begin(spec: CrafterSpec) -> Game:
    """Return a new game, played by the policy up to the first frame of a spec."""
    game, act = Game(spec.seed, spec.area), policy(spec.policy, spec.seed)
    for _ in range(spec.start):
        game.act(act(game))
    return game


def _episode(spec: CrafterSpec, steps: list[Step]) -> Episode:
    """Return the episode; where a game ended before its clip, the last state stays."""
    if not steps:
        raise UsageError(f"the game of seed {spec.seed} ends before step {spec.start}; start earlier")
    over = next((t for t, step in enumerate(steps) if step.over), None)
    steps = steps + [steps[-1]] * (spec.num_frames - len(steps))
    scenes = [scene_of(step, spec.view, spec.seed, spec.start + t) for t, step in enumerate(steps)]
    return Episode(
        scenes=Scenes(*(np.concatenate([getattr(scene, name) for scene in scenes]) for name in Scenes.__annotations__)),
        positions=np.array([step.position for step in steps]),
        facing=tuple(step.facing for step in steps),
        achievements=np.array([step.achievements for step in steps]),
        actions=tuple(step.action for step in steps),
        rewards=np.array([step.reward for step in steps], np.float32),
        begins=spec.start == 0 or bool(spec.actions),
        over=over,
    )


def scene_of(step: Step, view: View, seed: int, number: int) -> Scenes:
    """Return the scene of one step in a view, around the player."""
    row, column = view.player
    x, y = step.position
    pad = max(view.rows, view.columns)
    top, left = y - row + pad, x - column + pad
    materials, things = (
        np.pad(cells, pad)[top : top + view.rows, left : left + view.columns] for cells in (step.materials, step.things)
    )
    return Scenes(
        materials[None],
        things[None],
        step.inventory[None],
        np.array([step.daylight]),
        np.array([step.asleep]),
        np.array([[seed, number]]),
    )
