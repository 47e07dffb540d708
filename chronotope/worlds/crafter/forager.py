"""Policies: whoever plays Crafter chooses an action at every step.

The forager looks after food, drink and sleep, gathers, builds and explores; it sees the whole map. With chance `STRAY`
an action is random, so that clips show more than plans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chronotope.worlds.crafter.game import Cell, Game
from chronotope.worlds.crafter.scene import ACTIONS, PLAYERS, WALKABLE

__all__ = ["Policy", "policy"]

Policy = Callable[[Game], str]
MOVES: dict[str, Cell] = {"move left": (-1, 0), "move right": (1, 0), "move up": (0, -1), "move down": (0, 1)}
BY_STEP = {step: move for move, step in MOVES.items()}
STRAY = 0.04
REACH = 14  # cells to the farthest target
PATIENCE = 40  # steps until a goal is given up
DANGEROUS = ("zombie", "skeleton")


@dataclass(frozen=True)
class Goal:
    """Do an action `times` times while facing a cell with this material and thing, on whatever way leads there.

    `needs` is what the player must own for it, and `near` the materials that must be next to the player.
    """

    name: str
    action: str
    weight: float
    material: tuple[str, ...] = ()  # any where empty
    thing: str = "nothing"
    times: int = 1
    needs: tuple[tuple[str, int], ...] = ()
    near: str = ""


GROUND = WALKABLE
GOALS = (
    Goal("drink", "do", 1.0, ("water",), times=3),
    Goal("gather wood", "do", 3.0, ("tree",)),
    Goal("eat a cow", "do", 1.0, (), "cow", 6),
    Goal("eat a plant", "do", 3.0, (), "plant-ripe"),
    Goal("pick a sapling", "do", 0.8, ("grass",), times=8),
    Goal("plant a sapling", "place plant", 3.0, ("grass",), needs=(("sapling", 1),)),
    Goal("place a table", "place table", 2.0, GROUND, needs=(("wood", 3),)),
    Goal("place a stone", "place stone", 0.6, (*GROUND, "water", "lava"), needs=(("stone", 1),)),
    Goal("place a furnace", "place furnace", 2.0, GROUND, needs=(("stone", 5),)),
    Goal("mine stone", "do", 2.0, ("stone",), times=1, needs=(("wood pickaxe", 1),)),
    Goal("mine coal", "do", 2.0, ("coal",), needs=(("wood pickaxe", 1),)),
    Goal("mine iron", "do", 3.0, ("iron",), needs=(("stone pickaxe", 1),)),
    Goal("mine a diamond", "do", 3.0, ("diamond",), needs=(("iron pickaxe", 1),)),
    Goal("make a wood pickaxe", "make wood pickaxe", 4.0, ("table",), needs=(("wood", 1),)),
    Goal("make a stone pickaxe", "make stone pickaxe", 4.0, ("table",), needs=(("wood", 1), ("stone", 1))),
    Goal("make a wood sword", "make wood sword", 2.0, ("table",), needs=(("wood", 1),)),
    Goal("make a stone sword", "make stone sword", 2.0, ("table",), needs=(("wood", 1), ("stone", 1))),
    Goal(
        "make an iron pickaxe", "make iron pickaxe", 6.0, ("table",), near="furnace",
        needs=(("wood", 1), ("coal", 1), ("iron", 1)),
    ),
    Goal("explore", "noop", 2.0),
    Goal("rest", "noop", 0.4, times=4),
    Goal("sleep", "sleep", 0.3, times=12),
)  # fmt: skip
STANDING = ("rest", "sleep")  # goals that need no target
LEAST = 5  # of food, drink and energy; below it the need comes first


def policy(name: str, seed: int) -> Policy:
    """Return a policy, whose random choices depend on the seed."""
    rng = np.random.default_rng([seed, 7])
    return Forager(rng) if name == "forager" else RandomPolicy(rng)


class RandomPolicy:
    """Uniformly random actions, each repeated for a geometric number of steps of mean 2."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.action = "noop"

    def __call__(self, game: Game) -> str:
        if self.rng.random() < 0.5:
            self.action = str(self.rng.choice(ACTIONS))
        return self.action


class Forager:
    """Choose a goal, walk to it, do it, and choose the next one."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.goal: Goal | None = None
        self.left = 0  # times that the action is still to be done
        self.patience = 0
        self.spot: Cell = (0, 0)  # where an exploration leads

    def __call__(self, game: Game) -> str:
        if self.rng.random() < STRAY:
            return str(self.rng.choice(ACTIONS[:6]))
        for move, (dx, dy) in MOVES.items():
            x, y = game.position
            if game.at((x + dx, y + dy))[1] in DANGEROUS:
                return "do" if game.facing == (dx, dy) else move
        for _ in range(4):  # a goal may turn out to be out of reach
            if self.goal is None or self.left <= 0 or self.patience <= 0 or not _affordable(self.goal, game):
                self._choose(game)
            if action := self._pursue(game):
                self.patience -= 1
                return action
            self.goal = None
        return str(self.rng.choice(list(MOVES)))

    def _choose(self, game: Game) -> None:
        possible = [goal for goal in GOALS if _affordable(goal, game)]
        weights = np.array([_weight(goal, game) for goal in possible])
        self.goal = possible[int(self.rng.choice(len(possible), p=weights / weights.sum()))]
        self.left, self.patience = self.goal.times, PATIENCE
        if self.goal.name == "explore":
            angle = self.rng.uniform(0, 2 * np.pi)
            x, y = game.position
            radius = self.rng.uniform(5, REACH)
            self.spot = (x + round(radius * np.cos(angle)), y + round(radius * np.sin(angle)))

    def _pursue(self, game: Game) -> str:
        """Return the next action toward the goal, or nothing where it is out of reach."""
        goal = self.goal
        assert goal is not None
        if goal.name in STANDING:
            self.left -= 1
            return goal.action
        if goal.name == "explore":
            path = _route(game, lambda cell: cell == self.spot)
            self.left = 0 if path is None or not path else self.left
            return path[0] if path else ""
        (x, y), (dx, dy) = game.position, game.facing
        if _is_target(goal, game, (x + dx, y + dy)):
            self.left -= 1
            return goal.action
        path = _route(game, lambda cell: _is_target(goal, game, cell))
        if path is None:
            return ""
        # A target that can be walked on is faced only on the way: step toward it, and what lies beyond is faced.
        return path[0] if path else str(self.rng.choice(list(MOVES)))


def _affordable(goal: Goal, game: Game) -> bool:
    return all(game.owns(item) >= amount for item, amount in goal.needs)


def _weight(goal: Goal, game: Game) -> float:
    """Return how likely a goal is chosen: needs grow, a second tool of a kind is worth nothing."""
    if goal.action.startswith("make ") and game.owns(goal.action.removeprefix("make ")):
        return 0.0
    weight = goal.weight
    if goal.name == "drink":
        weight += 4.0 * max(0, LEAST - game.owns("drink"))
    if goal.name in ("eat a cow", "eat a plant"):
        weight += 4.0 * max(0, LEAST - game.owns("food"))
    if goal.name == "sleep":
        return _sleepiness(goal, game)
    if goal.name == "gather wood" and game.owns("wood") >= 6:
        weight *= 0.2
    if goal.name == "mine stone" and game.owns("stone") < 5:
        weight *= 2
    return weight


def _sleepiness(goal: Goal, game: Game) -> float:
    """Return the weight of sleep: by day, since a zombie does three times the damage to a player who sleeps."""
    tired = LEAST + 1 - game.owns("energy")
    if game.daylight < 0.6:
        return 1.0 if tired >= LEAST else 0.0
    return goal.weight + 2.0 * max(0, tired)


def _is_target(goal: Goal, game: Game, cell: Cell) -> bool:
    found, thing = game.at(cell)
    if goal.thing != thing or (goal.material and found not in goal.material) or found == "outside":
        return False
    if not goal.near:
        return True
    x, y = game.position
    return any(game.at((x + dx, y + dy))[0] == goal.near for dx in (-1, 0, 1) for dy in (-1, 0, 1))


def _route(game: Game, wanted: Callable[[Cell], bool]) -> list[str] | None:
    """Return the moves to the nearest wanted cell, the last of which faces it; None where it is out of reach.

    Searched breadth first over cells on which the player can walk.
    """
    start = game.position
    came: dict[Cell, tuple[Cell, str]] = {}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        for move, (dx, dy) in MOVES.items():
            after = (cell[0] + dx, cell[1] + dy)
            if after in came or after == start or abs(after[0] - start[0]) + abs(after[1] - start[1]) > REACH:
                continue
            came[after] = (cell, move)
            if wanted(after):
                return _moves(came, start, after)
            found, thing = game.at(after)
            if found in WALKABLE and thing in ("nothing", *PLAYERS):
                queue.append(after)
    return None


def _moves(came: dict[Cell, tuple[Cell, str]], start: Cell, end: Cell) -> list[str]:
    moves = []
    while end != start:
        end, move = came[end]
        moves.append(move)
    return moves[::-1]
