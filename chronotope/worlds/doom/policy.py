"""The policy of Doom: explore the map, shoot at monsters, open doors, turn away from walls."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.doom.game import Game, Seen, State
from chronotope.worlds.doom.things import MONSTERS

__all__ = ["Explorer"]

BLOCKED = 4.0  # map units: who walks and comes less far is before a wall
NEAR = 12.0  # depth of the middle of the frame below which the way ends soon
AIM = 0.08  # widths between a monster and the middle of the frame at which the player shoots


class Explorer:
    """Walk forward, turn now and then and wherever the way ends, and shoot at monsters in view."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 11])
        self._plan: list[str] = []
        self._before: State | None = None
        self._last = ""

    def __call__(self, game: Game) -> str:
        """Choose the next action."""
        state, before = game.state, self._before
        stuck = self._last == "forward" and before is not None and _distance(before, state) < BLOCKED
        seen = game.look()
        monsters = [thing for thing in seen.things if thing.name in MONSTERS]
        if monsters and state.bullets > 0:
            nearest = max(monsters, key=lambda thing: thing.width * thing.height)
            aside = nearest.left + nearest.width / 2 - 0.5
            self._plan = ["shoot" if abs(aside) < AIM else "turn left" if aside < 0 else "turn right"]
        elif stuck:
            self._plan = ["use"] * int(self._rng.random() < 0.3) + self._turn(seen, 5, 12)
        elif not self._plan:
            chance, open_way = self._rng.random(), _depth(seen, 0.4, 0.6) > NEAR
            walk = ["forward"] * int(self._rng.integers(6, 20))
            self._plan = walk if chance < 0.8 and open_way else self._turn(seen, 3, 9)
            if chance > 0.94:
                self._plan = ["backward"] * int(self._rng.integers(4, 9))
        self._before, self._last = state, self._plan.pop(0)
        return self._last

    def _turn(self, seen: Seen, least: int, most: int) -> list[str]:
        """Turn to the side that is farther away, and sometimes to the other one."""
        left = _depth(seen, 0, 0.5) > _depth(seen, 0.5, 1)
        side = "turn left" if left != (self._rng.random() < 0.25) else "turn right"
        return [side] * int(self._rng.integers(least, most + 1))


def _depth(seen: Seen, first: float, last: float) -> float:
    """Return the mean depth of the columns between two shares of the width, at the height of the eyes."""
    rows, columns = seen.depth.shape
    band = seen.depth[rows // 3 : rows // 2, round(first * columns) : round(last * columns)]
    return float(band.mean())


def _distance(a: State, b: State) -> float:
    return float(np.hypot(b.x - a.x, b.y - a.y))
