"""What the player does, from the states of a clip, and what there is to see in its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronotope.worlds.doom.game import Seen, State
from chronotope.worlds.doom.things import NOUNS

__all__ = ["Deed", "Sight", "brightness", "deeds", "sights", "steps", "turns"]

LEAST_WALK = 96.0  # map units from the first to the last frame of a walk; a player is 32 wide
LEAST_TURN = 25.0  # degrees
SLOW_WALK, SLOW_TURN = 3.0, 1.0  # units and degrees a frame below which a walk or a turn ends
PAUSE = 2  # frames without motion that end neither
LEAST_SIGHT = 0.04  # of the height of the frame


@dataclass(frozen=True)
class Deed:
    """What the player did: a kind and which way; from the frame before it begins to the one that shows its end."""

    kind: str
    what: str
    start: int
    end: int


@dataclass(frozen=True)
class Sight:
    """A kind of thing in a frame, by its noun: how many there are, and on which side if on one alone."""

    noun: str
    count: int
    side: str


def turns(states: Sequence[State]) -> Float[np.ndarray, " t"]:
    """Return by how many degrees the player turned to the left since the frame before; the first is 0."""
    angles = np.array([state.angle for state in states])
    return np.concatenate([[0.0], (np.diff(angles) + 180) % 360 - 180])


def steps(states: Sequence[State]) -> Float[np.ndarray, " t"]:
    """Return how far the player came in the direction in which it looked, in map units; the first is 0."""
    places = np.array([(state.x, state.y) for state in states])
    angles = np.radians([state.angle for state in states])[:-1]
    ahead = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([[0.0], (np.diff(places, axis=0) * ahead).sum(axis=1)])


def deeds(states: Sequence[State]) -> tuple[Deed, ...]:
    """Return the deeds of a clip in order of their beginning."""
    found = [
        *_runs("walk", ("forward", "backward"), steps(states), SLOW_WALK, LEAST_WALK),
        *_runs("turn", ("left", "right"), turns(states), SLOW_TURN, LEAST_TURN),
    ]
    shots = [t for t in range(1, len(states)) if states[t].bullets < states[t - 1].bullets]
    if shots:
        found.append(Deed("shoot", "", shots[0] - 1, shots[-1]))
    for t in range(1, len(states)):
        if states[t].kills > states[t - 1].kills:
            found.append(Deed("defeat", "monster", t - 1, t))
    return tuple(sorted(found, key=lambda deed: (deed.start, deed.end)))


def _runs(kind: str, ways: tuple[str, str], amounts: Float[np.ndarray, " t"], slow: float, least: float) -> list[Deed]:
    """Return the runs of one sign that add up to `least`; the first of the `ways` is that of positive amounts."""
    found = []
    for way, signed in zip(ways, (amounts, -amounts), strict=True):
        moving = np.flatnonzero(signed > slow)
        for run in np.split(moving, np.flatnonzero(np.diff(moving) > PAUSE + 1) + 1):
            if len(run) and signed[run[0] : run[-1] + 1].sum() >= least:
                found.append(Deed(kind, way, int(run[0]) - 1, int(run[-1])))
    return found


def sights(seen: Seen) -> tuple[Sight, ...]:
    """Return the things in a frame that captions name, the largest first."""
    places: dict[str, list[tuple[float, float]]] = {}
    for thing in seen.things:
        if thing.name in NOUNS and thing.height >= LEAST_SIGHT:
            middle = thing.left + thing.width / 2
            places.setdefault(NOUNS[thing.name][0], []).append((thing.width * thing.height, middle))
    found = []
    for noun, each in sorted(places.items(), key=lambda item: -max(item[1])[0]):
        middles = [middle for _, middle in each]
        side = "left" if max(middles) < 0.4 else "right" if min(middles) > 0.6 else ""
        found.append(Sight(noun, len(each), side))
    return tuple(found)


def brightness(seen: Seen) -> str:
    """Return whether a frame is dark or bright; empty between both."""
    level = float(seen.picture.mean())
    return "dark" if level < 35 else "bright" if level > 75 else ""
