"""Who is set going on a table, whom it meets, and who rests: seen from above, through the camera's own geometry.

Until two solids meet a video has to go as the spec says; afterwards a small difference grows, so only what law demands of every
such meeting is asked: the struck one moves, not before, and the way it is struck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.camera import clear
from chronotope.worlds.table.checks.geometry import anchor_height, on_plane
from chronotope.worlds.table.checks.tracking import TableScene
from chronotope.worlds.table.spec import DIRECTIONS, Actor, Event, TableSpec

__all__ = ["GOING", "deeds_of", "rests", "step_of_truth"]

GOING = ("roll", "slide", "hit", "push", "topple")
WAY = 0.15  # metres: who goes less cannot be seen to go
DONE = 0.35  # of the truth's way
STRAIGHT = 0.7  # of the way along may be across
BACK = 0.07  # metres: steps against the way that count
SHIFT = 0.04  # short sides: what rests does not go so far
NEAR = 1.35  # times the distance at which the truth's two touch
FAR = 1.5, 0.12  # times that distance, and metres more: they do not touch yet
MOVES = 0.3  # of the truth's way of who is struck
THROUGH = 0.5  # of that distance
DEPARTS = 0.12  # metres
MOST = 0.8  # of an actor
FALLS = 0.35  # of the height on which it stood


def _seen_from_above(scene: TableScene, path: tuple[View, ...], i: int) -> Float[np.ndarray, "t 2"]:
    """Where on the table an actor stands, in metres, if it stands as it did at first; NaN where it is not seen."""
    height, centres = anchor_height(scene.spec, scene.spec.actors[i]), scene.actors[i].centres
    return np.array([on_plane(view, centres[t : t + 1], height)[0] for t, view in enumerate(path)])


def deeds_of(scene: TableScene, path: tuple[View, ...], event: Event) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of an event that sets somebody going, by name."""
    number = {actor.id: i for i, actor in enumerate(scene.spec.actors)}
    i, name = number[event.actor], f"{event.kind} {event.direction or ''}".strip()
    yield name, partial(_goes, scene, path, event, i)
    yield "goes one way", partial(_keeps_going, scene, path, event, i)
    if event.target is not None:
        pair = _Pair(scene, path, event, i, number[event.target])
        if pair.meets:
            yield "meets it", pair.reaches
            yield "moves not before", pair.waits
            if event.kind == "topple":
                yield "comes down", pair.comes_down
            if pair.struck_way >= WAY:
                yield "is struck", pair.gives_way
            yield "not through it", pair.stays_outside


def _goes(scene: TableScene, path: tuple[View, ...], event: Event, i: int) -> Outcome:
    """It makes a good part of its way, in its direction."""
    fps, truth = scene.spec.fps, scene.truth
    start = int(event.start * fps)
    free = truth.untouched[:, i] | (np.cumsum(~truth.untouched[:, i]) <= 1)
    usable = (clear(scene, i) | _found_well(scene, i)) & free
    times = np.flatnonzero(usable & (np.arange(scene.num_frames) >= start))
    if len(times) < 3:
        return None
    first, last = times[0], times[-1]
    wanted = truth.motion.position[last, i, :2] - truth.motion.position[first, i, :2]
    far = float(np.linalg.norm(wanted))
    if far < WAY:
        return None
    places = _seen_from_above(scene, path, i)
    moved = places[last] - places[first]
    way = _way(scene, path, event, i, int(first))
    along, across = float(moved @ way), float(abs(moved[0] * way[1] - moved[1] * way[0]))
    if along >= DONE * far and across <= max(STRAIGHT * along, 0.1):
        return None
    return "MOT-STA" if float(np.linalg.norm(moved)) < DONE * far else "MOT-DIR", int(last)


def _found_well(scene: TableScene, i: int) -> Bool[np.ndarray, " t"]:
    """Most of it can be seen: as the truth has it, or by its size."""
    one = scene.actors[i]
    large = np.nan_to_num(one.areas) >= MOST * scene.truth.whole[:, i]
    return one.found & ~one.at_edge & ((scene.truth.visible[:, i] >= MOST) | large)


def _way(scene: TableScene, path: tuple[View, ...], event: Event, i: int, first: int) -> Float[np.ndarray, " 2"]:
    """A step in the asked direction: that of the words, or from the one to the other as they stand in the video."""
    if event.direction is not None:
        return np.array(DIRECTIONS[event.direction])
    target = next(j for j, actor in enumerate(scene.spec.actors) if actor.id == event.target)
    there = _seen_from_above(scene, path, target)
    seen = np.flatnonzero(~np.isnan(there[:, 0]))
    truth = scene.truth.motion.position[first]
    gap = there[seen[0]] - _seen_from_above(scene, path, i)[first] if len(seen) else truth[target, :2] - truth[i, :2]
    return np.asarray(gap / max(float(np.linalg.norm(gap)), 1e-9))


def _keeps_going(scene: TableScene, path: tuple[View, ...], event: Event, i: int) -> Outcome:
    """It does not run back and forth before it meets anybody."""
    times = np.flatnonzero(clear(scene, i) & scene.truth.untouched[:, i])
    if len(times) < 4:
        return None
    places = _seen_from_above(scene, path, i)[times]
    steps = np.diff(places @ _way(scene, path, event, i, int(times[0])))
    back = steps < -BACK
    return ("MOT-SHK", int(times[1 + np.argmax(back)])) if back.sum() > 1 else None


def step_of_truth(scene: TableScene) -> float:
    """The longest step of anybody's picture from one frame to the next where physics plays the spec, in pixels."""
    pictures = np.stack(
        [
            view.project(places)[:, :2]
            for view, places in zip(scene.truth.views, scene.truth.motion.position, strict=True)
        ]
    )
    return float(np.linalg.norm(np.diff(pictures, axis=0), axis=2).max()) if len(pictures) > 1 else 0.0


def rests(scene: TableScene, i: int) -> Outcome:
    """Nobody touches it, the camera stands, and so does it."""
    times = np.flatnonzero(clear(scene, i))
    if len(times) < scene.num_frames // 2:  # others stand before it, here or in the truth
        times = np.flatnonzero(clear(scene, i) | _found_well(scene, i))
    if len(times) < 3:
        return None
    centres = scene.actors[i].centres[times] / scene.short
    quarter = max(1, len(times) // 4)
    first, last = np.median(centres[:quarter], axis=0), np.median(centres[-quarter:], axis=0)
    off = np.linalg.norm(centres - np.median(centres, axis=0), axis=1) > 2 * SHIFT
    if np.linalg.norm(last - first) > SHIFT or off.sum() > max(1, len(times) // 10):
        return "PHY-SLF", int(times[0] if not off.any() else times[np.argmax(off)])
    return None


class _Pair:
    """One solid sent at another, and what comes of it."""

    def __init__(self, scene: TableScene, path: tuple[View, ...], event: Event, i: int, j: int) -> None:
        self.scene, self.event, self.i, self.j = scene, event, i, j
        self.one, self.two = _seen_from_above(scene, path, i), _seen_from_above(scene, path, j)
        self.path, truth = path, scene.truth.motion.position
        self.pile = _pile_on(scene.spec, scene.spec.actors[j])
        hits = [c for c in scene.truth.motion.contacts if {c.actor, c.target} == {event.actor, event.target}]
        self.at = min(scene.num_frames - 1, int(hits[0].seconds * scene.spec.fps)) if hits else -1
        near = np.linalg.norm(truth[:, i, :2] - truth[:, j, :2], axis=1)
        self.meets = bool(hits)
        self.reach = float(near[self.at : self.at + 2].min()) if hits else 0.0
        moved = np.linalg.norm(truth[:, j, :2] - truth[0, j, :2], axis=1)
        self.struck_way = float(moved.max())
        self.gap = np.linalg.norm(self.one - self.two, axis=1)

    def reaches(self) -> Outcome:
        """The one comes to the other."""
        seen = self.gap[~np.isnan(self.gap)]
        touched = (self.scene.actors[self.i].touched[:, self.j] | self.scene.actors[self.j].touched[:, self.i]).any()
        if not len(seen) or (touched and seen.min() <= 2 * self.reach) or seen.min() <= NEAR * self.reach + 0.05:
            return None
        return "TXT-ACT", self.scene.num_frames - 1

    def waits(self) -> Outcome:
        """Who is struck does not move while the other is still far."""
        times, least = FAR
        for k in (self.j, *self.pile):
            moved = self._moved(k)
            gone = (moved > DEPARTS) & (np.roll(moved, -1) > DEPARTS)
            gone[-1] = False
            if gone.any():
                first = int(np.argmax(gone))
                before = self.gap[max(0, first - 1) : first + 1]
                if not np.isnan(before).any() and before.min() > times * self.reach + least:
                    return "CAU-ORD", first
        return None

    def _moved(self, k: int) -> Float[np.ndarray, " t"]:
        """How far each clear picture of an actor is from where it stood; NaN elsewhere."""
        places = self.two if k == self.j else _seen_from_above(self.scene, self.path, k)
        whole = clear(self.scene, k)
        if whole.sum() < self.scene.num_frames // 3:
            whole = whole | _found_well(self.scene, k)
        times = np.flatnonzero(whole)
        if not len(times):
            return np.full(len(places), np.nan)
        moved = np.linalg.norm(places - places[times[0]], axis=1)
        return np.where(whole, moved, np.nan)

    def gives_way(self) -> Outcome:
        """Who is struck moves, and not against the stroke."""
        moved = self._moved(self.j)
        late = moved[self.at + 1 :]
        seen = late[~np.isnan(late)]
        if len(seen) < 2:
            return self._stands_there()
        times = np.flatnonzero(~np.isnan(moved))
        truth = (
            self.scene.truth.motion.position[times, self.j, :2] - self.scene.truth.motion.position[times[0], self.j, :2]
        )
        wanted = float(np.linalg.norm(truth, axis=1).max())
        if wanted < WAY:
            return None
        if seen.max() < MOVES * wanted:
            return "PHY-COL", int(times[-1])
        last = int(times[np.nanargmax(moved[times])])
        way = _way(self.scene, self.path, self.event, self.i, 0)
        truly = self.scene.truth.motion.position[last, self.j, :2] - self.scene.truth.motion.position[0, self.j, :2]
        against = float((self.two[last] - self.two[times[0]]) @ way) < -0.5 * seen.max()
        return ("PHY-COL", last) if against and truly @ way > 0 else None

    def _stands_there(self) -> Outcome:
        """Half hidden by the one that struck it, what is seen of it does not leave its place, though the truth's goes far."""
        late = self.two[self.at + 1 :]
        late = late[~np.isnan(late[:, 0])]
        if np.isnan(self.two[0, 0]) or len(late) < 3 or self.struck_way < 2 * WAY:
            return None
        moved = np.linalg.norm(late - self.two[0], axis=1)
        return ("PHY-COL", self.at + 1) if moved.max() < MOVES * self.struck_way else None

    def comes_down(self) -> Outcome:
        """Of a stack that falls in the truth something leaves its place for good."""
        scene = self.scene
        fallen = {h.actor for h in scene.truth.motion.events if h.kind == "fall"}
        pile = [k for k in self.pile if scene.spec.actors[k].id in fallen]
        for k in pile:
            one, actor = scene.actors[k], scene.spec.actors[k]
            times = np.flatnonzero(one.found)
            if not len(times) or times[-1] < scene.num_frames - 4:
                return None  # it is out of the picture, or behind something: it is not where it was
            last = int(times[-1])
            stood = self.path[last].project(np.array([[*self._stood(k), anchor_height(scene.spec, actor)]]))[0]
            far = np.linalg.norm(one.centres[last] - stood[:2]) * stood[2] / self.path[last].focal
            if far >= FALLS * actor.lift:
                return None
        return ("TXT-ACT", scene.num_frames - 1) if pile else None

    def _stood(self, k: int) -> Float[np.ndarray, " 2"]:
        places = _seen_from_above(self.scene, self.path, k)
        seen = np.flatnonzero(~np.isnan(places[:, 0]))
        return places[seen[0]] if len(seen) else self.scene.truth.motion.position[0, k, :2]

    def stays_outside(self) -> Outcome:
        """The one neither stands inside the other nor comes out behind it, while the other stays where it was."""
        both = clear(self.scene, self.i) & clear(self.scene, self.j)
        inside = both & (self.gap < THROUGH * self.reach)
        if inside.any():
            return "PHY-PEN", int(np.argmax(inside))
        known = np.flatnonzero(_found_well(self.scene, self.j))
        times = np.flatnonzero(_found_well(self.scene, self.i))
        if len(times) < 2 or not len(known):
            return None
        # who is hidden by the one that comes is where it was last seen
        there = self.two[known[np.maximum(np.searchsorted(known, times, side="right") - 1, 0)]]
        way = _way(self.scene, self.path, self.event, self.i, int(times[0]))
        gap = there - self.one[times]
        ahead, across = gap @ way, np.abs(gap @ np.array([-way[1], way[0]]))
        stayed = np.linalg.norm(there - there[0], axis=1) < THROUGH * self.reach
        behind = stayed & (across < 0.6 * self.reach) & (ahead < -0.6 * self.reach)
        return ("PHY-PEN", int(times[np.argmax(behind)])) if behind.any() and ahead[0] > 0 else None


def _pile_on(spec: TableSpec, lowest: Actor) -> tuple[int, ...]:
    """The numbers of those that stand on an actor, one over the other."""
    found, below = [], lowest
    while above := [k for k, actor in enumerate(spec.actors) if spec.stacked_on(actor) == below]:
        found.append(above[0])
        below = spec.actors[above[0]]
    return tuple(found)
