"""Check that actors keep their identity: their kind, their path where two cross, their side and their speed.

`identity_stratum` says how hard a spec makes that.
"""

from __future__ import annotations

import itertools
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.attributes import Trail, step_towards
from chronotope.worlds.stage.checks.detector import CELL
from chronotope.worlds.stage.checks.permanence import foreign_cells
from chronotope.worlds.stage.checks.tracking import MIN_STRANGER_CELLS, Predicates, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.reappearance import FAST, SLOW
from chronotope.worlds.stage.render import Truth
from chronotope.worlds.stage.spec import Event, Spec

__all__ = ["MIN_SIDE_DISTANCE", "crossing", "identity_checks", "identity_stratum", "left_of"]

MAX_HIDDEN = 0.02  # of the visible pixels: the actor counts as wholly hidden
PERSISTENT_FRAMES = 3
MIN_AREA_RATIO, MAX_AREA_RATIO = 0.35, 3.0  # of a thing that replaces an actor
MAX_STEP = 0.25  # short sides from one frame to the next
MIN_EXCHANGE_DISTANCE = 0.4  # short sides, of two actors together
MIN_SIDE_DISTANCE = 0.1  # short sides: less is neither left nor right
EXTRAPOLATION_FRAMES = 6  # frames from which a path is extrapolated
SPEED_TOLERANCE = 0.3  # of the speed
SPEED_WINDOW = 0.75  # seconds


def identity_stratum(spec: Spec) -> str:
    """Return how hard it is to verify the identity of the actors, from the spec and its truth alone."""
    away, truth = absences(spec), truth_of(spec)
    hidden = truth.present & (truth.visible_fraction < MAX_HIDDEN) & (truth.x > 0) & (truth.x < spec.width)
    if any(absence.covers(event) for absence in away for event in spec.events):
        return "I5 somebody changes out of sight"
    if any(absence.gone.kind == "leave" for absence in away):
        return "I4 somebody leaves and comes back"
    if (hidden.sum(axis=0) >= PERSISTENT_FRAMES).any():
        return "I3 somebody is wholly hidden"
    pairs = itertools.combinations(range(len(spec.actors)), 2)
    if any(_alike(spec, *pair) and crossing(truth, *pair) is not None for pair in pairs):
        return "I1 two alike pass each other"
    passing = any(event.kind in ("enter", "leave") for event in spec.events)
    partly = bool((truth.visible_fraction < 0.9).any()) and not passing
    return "I2 somebody is partly hidden" if len(spec.actors) > 1 and partly else "I0 nobody hides anybody"


def _alike(spec: Spec, first: int, second: int) -> bool:
    a, b = spec.actors[first], spec.actors[second]
    return a.noun == b.noun or (a.colour is not None and a.colour == b.colour)


def crossing(truth: Truth, first: int, second: int) -> int | None:
    """Return the frame in which two actors exchange sides, one in front of the other, or None."""
    gap = truth.x[:, second] - truth.x[:, first]
    both = truth.present[:, first] & truth.present[:, second]
    if not both.all() or not gap[0] * gap[-1] < 0:
        return None
    frame = int(np.abs(gap).argmin())
    y, height = truth.y[frame], truth.height[frame]
    return frame if np.abs(y[first] - y[second]) < (height[first] + height[second]) / 2 else None


def identity_checks(scene: TrackedClip, index: int, track: TrackedActor) -> Predicates:
    """Yield the checks of an actor's identity."""
    spec, truth = scene.spec, truth_of(scene.spec)
    own = [event for event in spec.events if event.actor == track.actor.id]
    if scene.num_frames > 1 and not any(event.kind == "spin" for event in own):
        yield "keeps its kind", partial(_check_kind, scene, track)
    hides = any(event.kind == "hide" for event in spec.events)
    for number in range(index + 1, len(scene.actors)):
        moment = crossing(truth, index, number)
        if moment is not None and not hides:
            yield "is not exchanged", partial(_check_exchange, scene, track, scene.actors[number], moment)
    for event in own:
        if event.kind == "beside":
            target = next(other for other in scene.actors if other.actor.id == event.target)
            yield f"is on the {event.direction}", partial(_check_side, scene, track, target, event)
        elif event.kind in ("creep", "dash"):
            yield f"is {'slow' if event.kind == 'creep' else 'fast'}", partial(_check_speed, scene, track, event)


def _check_kind(scene: TrackedClip, track: TrackedActor) -> Outcome:
    """Check that no thing of another kind replaces the actor after its last detection, or precedes its first."""
    times = np.flatnonzero(track.found)
    for end, step in ((int(times[-1]), 1), (int(times[0]), -1)):
        frames = [end + step * number for number in range(1, PERSISTENT_FRAMES + 1)]
        if 0 <= frames[-1] < scene.num_frames and all(_is_replaced(scene, track, end, t) for t in frames):
            return "ID-SHP", max(end, frames[0])
    return None


def _is_replaced(scene: TrackedClip, track: TrackedActor, before: int, t: int) -> bool:
    """Tell whether frame t shows a thing of another kind near the actor's position, about as large and in full view."""
    cells = foreign_cells(scene, track, t)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    unit = min(scene.frames.shape[1:3]) / CELL  # cells in a short side
    centre = track.trail.centres[before] * unit - 0.5
    truth = truth_of(scene.spec)
    in_view = truth.visible_fraction[t, truth.actors.index(track.actor.id)] >= 0.98
    for number in range(1, count):
        area = stats[number, cv2.CC_STAT_AREA]
        ratio = area / max(float(np.nanmedian(track.areas)), 1.0)
        large = area >= MIN_STRANGER_CELLS and MIN_AREA_RATIO <= ratio <= MAX_AREA_RATIO
        near = np.linalg.norm(centres[number] - centre) / unit <= MAX_STEP * abs(t - before)
        whole = in_view or not _at_edge(labels == number)  # at the edge, a part of an actor may look like another kind
        if large and near and whole:
            return True
    return False


def _at_edge(cells: Bool[np.ndarray, "rows columns"]) -> bool:
    return bool(cells[[0, -1]].any() or cells[:, [0, -1]].any())


def _check_exchange(scene: TrackedClip, track: TrackedActor, other: TrackedActor, moment: int) -> Outcome:
    """Check that after a crossing each actor is nearer to its own extrapolated path than to the other one."""
    together = np.flatnonzero((track.touched & other.touched) | ~track.found | ~other.found)
    if not len(together):
        return None
    middle = int(together[np.abs(together - moment).argmin()])
    apart = np.ones(scene.num_frames, bool)
    apart[together] = False
    before, after = np.flatnonzero(apart[:middle])[-EXTRAPOLATION_FRAMES:], np.flatnonzero(apart[middle:]) + middle
    if len(before) < PERSISTENT_FRAMES or len(after) < PERSISTENT_FRAMES:
        return None
    expected = [_extrapolate(actor.trail, before, after, scene) for actor in (track, other)]
    observed = [actor.trail.centres[after, 0] for actor in (track, other)]
    own = sum(float(np.abs(index - e).mean()) for index, e in zip(observed, expected, strict=True))
    exchanged = sum(float(np.abs(index - e).mean()) for index, e in zip(observed, reversed(expected), strict=True))
    return ("ID-SWP", int(after[0])) if own > MIN_EXCHANGE_DISTANCE and exchanged < own / 2 else None


def _extrapolate(trail: Trail, before: np.ndarray, after: np.ndarray, scene: TrackedClip) -> Float[np.ndarray, " n"]:
    """Extrapolate the horizontal path of an actor, inside the frame."""
    slope, start = np.polyfit(before, trail.centres[before, 0], 1)
    height, width = scene.frames.shape[1:3]
    return np.clip(slope * after + start, 0.2, width / min(height, width) - 0.2)


def _check_side(scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """Check that the actor is on this side of the other until either of them has another event."""
    pair = (track.actor.id, other.actor.id)
    starts = [e.start for e in scene.spec.events if e.kind != "beside" and e.actor in pair]
    last = max(PERSISTENT_FRAMES, round(min(starts, default=scene.spec.seconds) * scene.spec.fps))
    left, right = (other, track) if event.direction == "right" else (track, other)
    return left_of(left, right, slice(last)) if (track.found & other.found)[:last].any() else None


def left_of(track: TrackedActor, other: TrackedActor, frames: slice = slice(None)) -> Outcome:
    """Check that one actor is clearly left of the other, by the median over the frames in which both are found."""
    both = np.flatnonzero((track.found & other.found)[frames])
    if not len(both):
        return "TXT-REL", 0
    gap = float(np.median((other.trail.centres - track.trail.centres)[both, 0]))
    return None if gap >= MIN_SIDE_DISTANCE else ("TXT-REL", int(both[0]))


def _check_speed(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check the third largest speed over 0.75 s: a slow actor is always slow, a fast one is fast at some time."""
    fps, direction = scene.spec.fps, event.direction or "right"
    window = max(2, round(SPEED_WINDOW * fps))
    whole = track.found & ~track.at_edge
    times = np.flatnonzero(whole[:-window] & whole[window:])
    steps = track.trail.centres[times + window] - track.trail.centres[times]
    speeds = sorted(step_towards((float(x), float(y)), direction)[0] * fps / window for x, y in steps)
    if len(speeds) < PERSISTENT_FRAMES:
        return None
    fastest = speeds[-PERSISTENT_FRAMES]  # a false detection makes one or two speeds wrong
    if event.kind == "creep":
        wrong = fastest > (1 + SPEED_TOLERANCE) * SLOW[1]
    else:
        wrong = fastest < (1 - SPEED_TOLERANCE) * FAST[0]
    return ("MOT-SPD", scene.during(event).start) if wrong else None
