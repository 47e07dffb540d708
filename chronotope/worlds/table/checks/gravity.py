"""Check falls and bounces: measure the height over time with the known camera, and fit gravity between contacts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.camera import fully_visible
from chronotope.worlds.table.checks.geometry import anchor_height, height_at, intersect_plane
from chronotope.worlds.table.checks.tracking import TrackedScene
from chronotope.worlds.table.simulate import GRAVITY
from chronotope.worlds.table.spec import Actor, Event

__all__ = ["Fall", "fall_checks"]

GRAVITY_RANGE = 0.65, 1.5  # times gravity
WIDE_GRAVITY_RANGE = 0.5, 2.0  # the same where fewer than WIDE_BELOW heights were measured
WIDE_BELOW = 6
PARABOLA_SHARE = 0.95  # of the variance that a parabola must explain
MIN_BOUNCE = 0.08  # metres of rise after a lowest point; smaller rises are no bounce
MIN_ARC = 0.15  # metres: flatter arcs cannot be measured
MIN_HEIGHTS = 4  # in an arc
MIN_FALLEN = 0.03  # metres below the height of release, from which on a fall is measured
MAX_ROLL = 0.12  # metres from the place of a fall to the last place
HEIGHT_GAIN = 0.07  # metres above the previous peak
ON_TABLE = 0.04  # metres above the resting height
NEAR_TABLE = 0.07  # metres above the lowest height: it may have had a contact
DESCENT_SHARE = 0.6  # of the expected descent in the picture
MIN_DESCENT = 0.06  # short sides: smaller expected descents are not checked
RESTITUTION_ERROR = 0.17
VISIBLE = 0.6  # of an actor in the simulation

Heights = tuple[np.ndarray, Float[np.ndarray, " n"]]  # seconds, metres


@dataclass(frozen=True)
class Fall:
    """The height of a solid's centre above its resting height, in metres, at the frames where it is fully visible."""

    times: np.ndarray
    heights: Float[np.ndarray, " n"]
    fps: float
    release: int  # frame

    @property
    def bottoms(self) -> list[int]:
        """Return the indices of the lowest points before each rise by more than MIN_BOUNCE."""
        found, low, high, falling = [], 0, 0, False
        for i, value in enumerate(self.heights):
            low = i if value <= self.heights[low] else low
            high = i if value >= self.heights[high] else high
            if falling and value - self.heights[low] > MIN_BOUNCE:
                found.append(low)
                falling, high = False, i
            elif not falling and self.heights[high] - value > MIN_BOUNCE:
                falling, low = True, i
        return found

    def arcs(self) -> Iterator[Heights]:
        """Yield seconds and heights between two contacts, without the frames nearest to a contact."""
        for first, last in itertools.pairwise([*self.bottoms, len(self.heights)]):
            times, heights = self.times[first + 1 : last], self.heights[first + 1 : last]
            if not len(heights):
                continue
            # A rise that is too small for a bounce ends an arc too.
            top = int(heights.argmax())
            ends = np.flatnonzero((np.diff(heights[top:], append=np.inf) > 0.01) | (heights[top:] < ON_TABLE))
            stop = top + int(ends[0])
            ends_in_air = last == len(self.heights) and stop == len(heights) - 1 and heights[stop] >= ON_TABLE
            if ends_in_air:
                stop += 1
            times, heights = times[:stop], heights[:stop]
            if len(heights) < MIN_HEIGHTS or np.ptp(heights) < MIN_ARC:
                continue
            if times[-1] - times[0] == len(times) - 1:  # no frame is missing
                yield times / self.fps, heights

    def first(self) -> Heights:
        """Return seconds and heights from the release to the first contact."""
        near_table = np.flatnonzero(self.heights < self.heights.min() + NEAR_TABLE)
        # The steps of a fall grow: after a step that is less than half of the one before, there was a contact.
        steps = -np.diff(self.heights)
        slowed = np.flatnonzero((steps[1:] < steps[:-1] / 2) & (steps[:-1] > 0.1)) + 2
        bottoms = self.bottoms
        stop = min(bottoms[0] if bottoms else len(self.heights), int(near_table[0]), *slowed[:1].tolist())
        released = self.times[:stop] > self.release
        return self.times[:stop][released] / self.fps, self.heights[:stop][released]

    @property
    def release_height(self) -> float | None:
        """Return the height before the release, or None if it was not visible."""
        before = self.heights[self.times <= self.release]
        return float(np.median(before)) if len(before) else None


def _measure(scene: TrackedScene, path: tuple[View, ...], i: int, event: Event) -> Fall | None:
    """Measure the height of a dropped solid over time; None where the camera cannot tell."""
    actor, centres = scene.spec.actors[i], scene.actors[i].centres
    low = anchor_height(scene.spec, actor) - actor.lift
    times = np.flatnonzero(fully_visible(scene, i) & scene.truth.untouched[:, i])
    if len(times) < 5:
        return None
    expected = scene.truth.trajectory.position[:, i]
    lands_on_table = expected[times, 2].min() < expected[0, 2] - actor.lift + 0.1
    places: np.ndarray | None = None
    if lands_on_table:
        places = _ground_places(path, centres, times, low, event)
        rolled = np.linalg.norm(expected[times[-1], :2] - expected[0, :2])
        if event.kind == "drop" and rolled > MAX_ROLL:
            return None  # its last place is not the place of the fall
    elif event.direction is None:  # it lands on another solid: its place follows from the asked height of release
        places = np.repeat(intersect_plane(path[times[0]], centres[times[:1]], low + actor.lift), len(times), axis=0)
    if places is None:
        return None
    heights = [height_at(path[t], centres[t, 1], place) for t, place in zip(times, places, strict=True)]
    return Fall(times, np.array(heights) - low, scene.spec.fps, round(event.start * scene.spec.fps))


def _ground_places(
    path: tuple[View, ...], centres: np.ndarray, times: np.ndarray, low: float, event: Event
) -> np.ndarray | None:
    """Return x, y of a falling solid at each of these frames; None if they cannot be known."""
    rows = centres[times, 1]
    lowest = np.argsort(-rows)[: max(1, len(rows) // 8)]
    if event.direction is None:
        # A drop is above its last place. A bounce is above the place where it is lowest in the picture.
        on_table = np.array([intersect_plane(path[t], centres[t : t + 1], low)[0] for t in times])
        place = np.median(on_table[-3:] if event.kind == "drop" else on_table[lowest], axis=0)
        return np.repeat(place[None], len(times), axis=0)
    if event.direction in ("left", "right"):  # it stays in a vertical plane that faces the first camera
        y = float(np.median([intersect_plane(path[t], centres[t : t + 1], low)[0, 1] for t in times[lowest]]))
        return _on_vertical_plane(path, centres, times, y)
    contacts = _local_bottoms(rows)
    if len(contacts) < 2:
        return None
    # Its horizontal speed changes only a little at contacts: interpolate between them.
    at = times[contacts]
    known = np.array([intersect_plane(path[t], centres[t : t + 1], low)[0] for t in at])
    first_speed = (known[1] - known[0]) / (at[1] - at[0])
    last_speed = (known[-1] - known[-2]) / (at[-1] - at[-2])
    before, after = known[0] - first_speed * (at[0] - times[0]), known[-1] + last_speed * (times[-1] - at[-1])
    anchors = np.vstack([before, known, after])
    when = np.concatenate([[times[0] - 1e-6], at, [times[-1] + 1e-6]])
    return np.column_stack([np.interp(times, when, anchors[:, axis]) for axis in (0, 1)])


def _on_vertical_plane(path: tuple[View, ...], centres: np.ndarray, times: np.ndarray, y: float) -> np.ndarray | None:
    """Return where lines of sight meet the vertical plane at this y; None if the camera looks along it."""
    found = []
    for t in times:
        view = path[t]
        way = intersect_plane(view, centres[t : t + 1], view.place[2] - 1.0)[0] - view.place[:2]
        if not abs(way[1]) > 0.5 * np.hypot(*way):
            return None
        found.append([view.place[0] + way[0] * (y - view.place[1]) / way[1], y])
    return np.array(found)


def _local_bottoms(rows: Float[np.ndarray, " n"]) -> list[int]:
    """Return the indices at which a track is locally lowest in the picture."""
    found = []
    for k in range(1, len(rows) - 1):
        is_bottom = rows[k] >= rows[k - 1] and rows[k] > rows[k + 1]
        if is_bottom and rows[k] - min(rows[max(0, k - 3) : k + 4]) > 0.02 * np.ptp(rows) + 1:
            found.append(k)
    return found


def fall_checks(
    scene: TrackedScene, path: tuple[View, ...], i: int, event: Event
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Yield name and rule of each check of a drop or a bounce."""
    fall, actor = _measure(scene, path, i, event), scene.spec.actors[i]
    yield "comes down", partial(_comes_down, scene, i)
    if fall is None:
        return
    yield "falls as things fall", partial(_has_gravity, fall)
    yield "gains no height", partial(_gains_no_height, fall)
    if event.kind == "bounce" and actor.noun == "ball" and _peaks(_expected_fall(scene, i, fall)):
        yield "bounces", partial(_bounces, fall)
        yield "bounces as high as it should", partial(_has_restitution, fall, actor)


def _expected_fall(scene: TrackedScene, i: int, fall: Fall) -> Fall:
    z = scene.truth.trajectory.position[fall.times, i, 2]
    return Fall(fall.times, z - z.min(), fall.fps, fall.release)


def _comes_down(scene: TrackedScene, i: int) -> Outcome:
    """Check that the solid descends in the picture by a good part of the expected distance."""
    track, rows = scene.actors[i], scene.actors[i].centres[:, 1]
    times = np.flatnonzero(track.found & (scene.truth.visible[:, i] >= VISIBLE))
    if len(times) < 2:
        return None
    expected_rows = scene.truth.centres[times, i, 1]
    lowest = int(expected_rows.argmax())
    expected = expected_rows[lowest] - expected_rows[0]
    if expected < MIN_DESCENT * scene.short:
        return None
    descent = np.nanmax(rows[times[0] : times[lowest] + 3]) - rows[times[0]]
    return None if descent >= DESCENT_SHARE * expected else ("MOT-STA", int(times[lowest]))


def _has_gravity(fall: Fall) -> Outcome:
    """Check that the height between contacts is a parabola with the curvature of gravity."""
    estimates: list[tuple[float, int]] = []  # m/s2, number of heights
    for seconds, heights in fall.arcs():
        curve = np.polyfit(seconds, heights, 2)
        residual = heights - np.polyval(curve, seconds)
        if residual.var() > (1 - PARABOLA_SHARE) * heights.var():
            return "PHY-GRV", round(seconds[0] * fall.fps)
        estimates.append((-2 * curve[0], len(seconds)))
    seconds, heights = fall.first()
    if fall.release_height is None:
        if len(seconds) >= MIN_HEIGHTS:
            estimates.append((-2 * np.polyfit(seconds, heights, 2)[0], len(seconds)))
    else:
        # From rest, the square root of the fallen distance grows linearly.
        fallen = fall.release_height - heights
        seconds, roots = seconds[fallen > MIN_FALLEN], np.sqrt(fallen[fallen > MIN_FALLEN])
        if len(seconds) >= 3:
            slope, start = np.polyfit(seconds, roots, 1)
            residual = roots - (slope * seconds + start)
            if residual.var() > (1 - PARABOLA_SHARE) * roots.var():
                return "PHY-GRV", round(seconds[0] * fall.fps)
            estimates.append((2 * slope * abs(slope), len(seconds)))
    if not estimates:
        return None
    counts = np.array([count for _, count in estimates], float)
    ratio = float(np.average([gravity for gravity, _ in estimates], weights=counts)) / GRAVITY
    low, high = WIDE_GRAVITY_RANGE if counts.sum() < WIDE_BELOW else GRAVITY_RANGE
    return None if low <= ratio <= high else ("PHY-GRV", int(fall.times[-1]))


def _peaks(fall: Fall) -> list[float]:
    """Return the greatest height before the first contact and after each contact."""
    ends = fall.bottoms
    if not ends:
        return []
    peaks = [float(fall.heights[: ends[0] + 1].max())]
    for start, end in itertools.pairwise([*ends, len(fall.heights)]):
        peaks.append(float(fall.heights[start:end].max()))
    return peaks


def _gains_no_height(fall: Fall) -> Outcome:
    """Check that no peak is higher than the one before."""
    for number, (before, after) in enumerate(itertools.pairwise(_peaks(fall))):
        if after > before + HEIGHT_GAIN:
            return "PHY-NRG", int(fall.times[fall.bottoms[number]])
    return None


def _bounces(fall: Fall) -> Outcome:
    return None if fall.bottoms else ("TXT-ACT", int(fall.times[-1]))


def _has_restitution(fall: Fall, actor: Actor) -> Outcome:
    """Check that a bounce has the restitution of the spec: the square root of the ratio of two peaks.

    Bounces during which a frame is missing are not measured.
    """
    ends, times = fall.bottoms, fall.times
    ratios: list[float] = []
    first_bounce = 0
    for number, (before, after) in enumerate(itertools.pairwise(_peaks(fall))):
        is_last = number + 1 == len(ends)
        begin = ends[number - 1] if number else 0
        end = len(fall.heights) - 1 if is_last else ends[number + 1]
        arc = fall.heights[ends[number] : end + 1]
        peak_is_inside = not is_last or (len(arc) >= MIN_HEIGHTS and int(arc.argmax()) < len(arc) - 1)
        if times[end] - times[begin] == end - begin and peak_is_inside and before > MIN_ARC:
            ratios.append(np.sqrt(max(after, 0.0) / before))
            first_bounce = first_bounce or int(times[ends[number]])
    if not ratios or abs(float(np.median(ratios)) - actor.restitution) <= RESTITUTION_ERROR:
        return None
    return "PHY-RST", first_bounce
