"""What falls: its height over time by the known camera, the pieces between contacts, and the gravity that bends them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.camera import clear
from chronotope.worlds.table.checks.geometry import anchor_height, on_line, on_plane
from chronotope.worlds.table.checks.tracking import TableScene
from chronotope.worlds.table.simulate import GRAVITY
from chronotope.worlds.table.spec import Actor, Event

__all__ = ["Fall", "falls_of"]

WEIGHT = 0.65, 1.5  # times gravity
SLOW = 0.5, 2.0  # the same where only one short fall was seen
ROUND = 0.95  # of the variance that a parabola explains
BOUNCE = 0.08  # metres up from a lowest point: less is no bounce
ARC = 0.15  # metres: lower arcs are too flat to be measured
ROLLED = 0.12  # metres
GAIN = 0.07  # metres higher than before
DOWN, ARRIVES = 0.04, 0.07  # metres above where it lies: it is down; it may have touched already
COMES_DOWN = 0.6  # of its lift
LIVELY = 0.17  # of the restitution


@dataclass(frozen=True)
class Fall:
    """The height of a solid's middle above where it lies when it is down, in metres, at the frames in which it is seen whole."""

    times: np.ndarray
    heights: Float[np.ndarray, " n"]
    fps: float
    begins: int  # the frame at which it is let go

    @property
    def bottoms(self) -> list[int]:
        """Where it turns upwards again, or arrives: lower than what lies on both sides of it by more than a little."""
        found, low, high, falling = [], 0, 0, False
        for i, value in enumerate(self.heights):
            low = i if value <= self.heights[low] else low
            high = i if value >= self.heights[high] else high
            if falling and value - self.heights[low] > BOUNCE:
                found.append(low)
                falling, high = False, i
            elif not falling and self.heights[high] - value > BOUNCE:
                falling, low = True, i
        return found

    def arcs(self) -> Iterator[tuple[np.ndarray, Float[np.ndarray, " n"]]]:
        """The pieces between one contact and the next: seconds and heights, without the frames nearest to a contact."""
        for first, last in itertools.pairwise([*self.bottoms, len(self.heights)]):
            times, heights = self.times[first + 1 : last], self.heights[first + 1 : last]
            if not len(heights):
                continue
            top = int(heights.argmax())
            # a small bounce ends an arc too, though it is none of the bottoms
            down = np.flatnonzero((np.diff(heights[top:], append=np.inf) > 0.01) | (heights[top:] < DOWN))
            stop = top + int(down[0])
            stop += int(
                last == len(self.heights) and stop == len(heights) - 1 and heights[stop] >= DOWN
            )  # the video ends in the air
            times, heights = times[:stop], heights[:stop]
            if len(heights) >= 4 and np.ptp(heights) >= ARC and times[-1] - times[0] == len(times) - 1:
                yield times / self.fps, heights

    def first(self) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
        """Seconds and heights from its release to the first contact."""
        lies = np.flatnonzero(self.heights < self.heights.min() + ARRIVES)
        # in a fall each step is longer than the one before: where one is not half as long, it has touched
        steps = -np.diff(self.heights)
        slowed = np.flatnonzero((steps[1:] < steps[:-1] / 2) & (steps[:-1] > 0.1)) + 2
        stop = min(self.bottoms[0] if self.bottoms else len(self.heights), int(lies[0]), *slowed[:1].tolist())
        here = self.times[:stop] > self.begins
        return self.times[:stop][here] / self.fps, self.heights[:stop][here]

    @property
    def hung(self) -> float | None:
        """How high it hung before it was let go, if that was seen."""
        before = self.heights[self.times <= self.begins]
        return float(np.median(before)) if len(before) else None


def _height_of(scene: TableScene, path: tuple[View, ...], i: int, event: Event) -> Fall | None:
    """Measure how high a dropped solid is, or nothing where the camera cannot tell."""
    actor, centres = scene.spec.actors[i], scene.actors[i].centres
    low = anchor_height(scene.spec, actor) - actor.lift
    times = np.flatnonzero(clear(scene, i) & scene.truth.untouched[:, i])
    if len(times) < 5:
        return None
    lands = scene.truth.motion.position[times, i, 2].min() < scene.truth.motion.position[0, i, 2] - actor.lift + 0.1
    if lands:
        places = _places(path, centres, times, low, event)
        rolled = np.linalg.norm(scene.truth.motion.position[times[-1], i, :2] - scene.truth.motion.position[0, i, :2])
        if event.kind == "drop" and rolled > ROLLED:
            return None  # it tumbles away from under the place where it fell
    else:  # onto somebody: then it hangs as high as asked at first
        hung = on_plane(path[times[0]], centres[times[:1]], low + actor.lift)
        places = np.repeat(hung, len(times), axis=0) if event.direction is None else None
    if places is None:
        return None
    heights = np.array([on_line(path[t], centres[t, 1], place) for t, place in zip(times, places, strict=True)]) - low
    return Fall(times, heights, scene.spec.fps, round(event.start * scene.spec.fps))


def _places(
    path: tuple[View, ...], centres: np.ndarray, times: np.ndarray, low: float, event: Event
) -> np.ndarray | None:
    """Over which place of the table it is at each of these frames."""
    if event.direction is None:
        # where it lies in the end, or where it is lowest: the nearest to the camera of all places on the way
        found = np.array([on_plane(path[t], centres[t : t + 1], low)[0] for t in times])
        rows = centres[times, 1]
        lowest = found[np.argsort(-rows)[: max(1, len(rows) // 8)]]
        place = np.median(found[-3:], axis=0) if event.kind == "drop" else np.median(lowest, axis=0)
        return np.repeat(place[None], len(times), axis=0)
    if event.direction in ("left", "right"):  # the plane in which it bounces is seen from the front
        lowest = times[np.argsort(-centres[times, 1])[: max(1, len(times) // 8)]]
        across = float(np.median([on_plane(path[t], centres[t : t + 1], low)[0, 1] for t in lowest]))
        return _on_upright(path, centres, times, across)
    down = _lowest(centres[times, 1])
    if len(down) < 2:
        return None
    # sideways nothing changes its speed but a little friction at a contact: straight lines between contacts
    known = np.array([on_plane(path[times[k]], centres[times[k] : times[k] + 1], low)[0] for k in down])
    speed = (known[1] - known[0]) / (times[down[1]] - times[down[0]])
    late = (known[-1] - known[-2]) / (times[down[-1]] - times[down[-2]])
    anchors = np.vstack(
        [known[0] - speed * (times[down[0]] - times[0]), known, known[-1] + late * (times[-1] - times[down[-1]])]
    )
    when = np.concatenate([[times[0] - 1e-6], times[down], [times[-1] + 1e-6]])
    return np.column_stack([np.interp(times, when, anchors[:, axis]) for axis in (0, 1)])


def _on_upright(path: tuple[View, ...], centres: np.ndarray, times: np.ndarray, across: float) -> np.ndarray | None:
    """Where lines of sight meet the upright plane y = across; nothing where the camera comes to look along it."""
    found = []
    for t in times:
        view = path[t]
        way = on_plane(view, centres[t : t + 1], view.place[2] - 1.0)[0] - view.place[:2]
        if not abs(way[1]) > 0.5 * np.hypot(*way):
            return None
        found.append([view.place[0] + way[0] * (across - view.place[1]) / way[1], across])
    return np.array(found)


def _lowest(rows: Float[np.ndarray, " n"]) -> list[int]:
    """Local lowest points of the picture's track."""
    inner = [k for k in range(1, len(rows) - 1) if rows[k] >= rows[k - 1] and rows[k] > rows[k + 1]]
    return [k for k in inner if rows[k] - min(rows[max(0, k - 3) : k + 4]) > 0.02 * np.ptp(rows) + 1]


def falls_of(
    scene: TableScene, path: tuple[View, ...], i: int, event: Event
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of a drop or a bounce, by name."""
    fall, actor = _height_of(scene, path, i, event), scene.spec.actors[i]
    yield "comes down", partial(_comes_down, scene, i)
    if fall is None:
        return
    yield "falls as things fall", partial(_weighs, fall)
    yield "gains no height", partial(_gains, fall)
    if event.kind == "bounce" and actor.noun == "ball" and _peaks(_of_truth(scene, i, fall)):
        yield "bounces", partial(_bounces, fall)
        yield "bounces as high as it should", partial(_gives_back, fall, actor)


def _of_truth(scene: TableScene, i: int, fall: Fall) -> Fall:
    z = scene.truth.motion.position[fall.times, i, 2]
    return Fall(fall.times, z - z.min(), fall.fps, fall.begins)


def _comes_down(scene: TableScene, i: int) -> Outcome:
    """Its picture goes down, by at least half as much as the truth's."""
    one, rows = scene.actors[i], scene.actors[i].centres[:, 1]
    seen = np.flatnonzero(one.found & (scene.truth.visible[:, i] >= 0.6))
    if len(seen) < 2:
        return None
    truth = scene.truth.centres[seen, i, 1]
    lowest = int(truth.argmax())
    wanted = truth[lowest] - truth[0]
    if wanted < 0.06 * scene.short:
        return None
    down = rows[seen[0] : seen[lowest] + 3]
    return None if np.nanmax(down) - rows[seen[0]] >= COMES_DOWN * wanted else ("MOT-STA", int(seen[lowest]))


def _weighs(fall: Fall) -> Outcome:
    """Between contacts a parabola, bent as gravity bends it."""
    found: list[tuple[float, int]] = []
    for seconds, heights in fall.arcs():
        curve = np.polyfit(seconds, heights, 2)
        rest = heights - np.polyval(curve, seconds)
        if rest.var() > (1 - ROUND) * heights.var():
            return "PHY-GRV", round(seconds[0] * fall.fps)
        found.append((-2 * curve[0], len(seconds)))
    seconds, heights = fall.first()
    if fall.hung is None and len(seconds) >= 4:
        found.append((-2 * np.polyfit(seconds, heights, 2)[0], len(seconds)))
    if fall.hung is not None:
        # from rest the root of how far it has come down grows evenly
        fallen = fall.hung - heights
        seconds, roots = seconds[fallen > 0.03], np.sqrt(fallen[fallen > 0.03])
        if len(seconds) >= 3:
            slope, start = np.polyfit(seconds, roots, 1)
            rest = roots - (slope * seconds + start)
            if rest.var() > (1 - ROUND) * roots.var():
                return "PHY-GRV", round(seconds[0] * fall.fps)
            found.append((2 * slope * abs(slope), len(seconds)))
    if not found:
        return None
    weights = np.array([count for _, count in found], float)
    weight = float(np.average([g for g, _ in found], weights=weights)) / GRAVITY
    low, high = WEIGHT if weights.sum() >= 6 else SLOW
    return None if low <= weight <= high else ("PHY-GRV", int(fall.times[-1]))


def _peaks(fall: Fall) -> list[float]:
    """How high it was before the first contact, and how high it came after each."""
    ends = fall.bottoms
    if not ends:
        return []
    return [
        float(fall.heights[: ends[0] + 1].max()),
        *(float(fall.heights[a:b].max()) for a, b in itertools.pairwise([*ends, len(fall.heights)])),
    ]


def _gains(fall: Fall) -> Outcome:
    """After a contact it never comes higher than it was before."""
    peaks = _peaks(fall)
    for number, (before, after) in enumerate(itertools.pairwise(peaks)):
        if after > before + GAIN:
            return "PHY-NRG", int(fall.times[fall.bottoms[number]])
    return None


def _bounces(fall: Fall) -> Outcome:
    return None if fall.bottoms else ("TXT-ACT", int(fall.times[-1]))


def _gives_back(fall: Fall, actor: Actor) -> Outcome:
    """Of the speed, what the spec says: the square root of the heights before and after; only where every frame between was seen."""
    peaks, ends = _peaks(fall), fall.bottoms
    shares, when = [], 0
    for number, (before, after) in enumerate(itertools.pairwise(peaks)):
        begin, end = (
            ends[number - 1] if number else 0,
            ends[number + 1] if number + 1 < len(ends) else len(fall.heights) - 1,
        )
        arc = fall.heights[ends[number] : end + 1]
        gapless = fall.times[end] - fall.times[begin] == end - begin
        whole = number + 1 < len(ends) or (len(arc) >= 4 and int(arc.argmax()) < len(arc) - 1)
        if gapless and whole and before > ARC:
            shares.append(np.sqrt(max(after, 0.0) / before))
            when = when or int(fall.times[ends[number]])
    if not shares or abs(float(np.median(shares)) - actor.restitution) <= LIVELY:
        return None
    return "PHY-RST", when
