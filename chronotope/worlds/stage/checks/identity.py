"""Does everybody stay who it is: of one kind to the end, not exchanged with another whom it passes, on the side where it was put?

Here too stands how hard a spec makes that: `identity_stratum`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.attributes import Trail, step_towards
from chronotope.worlds.stage.checks.detector import CELL
from chronotope.worlds.stage.checks.permanence import foreign_cells
from chronotope.worlds.stage.checks.tracking import FEWEST_CELLS, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.reappearance import FAST, SLOW
from chronotope.worlds.stage.render import Truth
from chronotope.worlds.stage.spec import Event, Spec

__all__ = ["ASIDE", "crossing", "identity_checks", "identity_stratum", "left_of"]

HIDDEN, PERSISTENT_SECONDS = 0.02, 3  # of its pixels, and frames: wholly hidden
LIKE_BEFORE = 0.35, 3.0  # times the cells: another kind of thing is about as large as who was there
STEP = 0.25  # short sides from one frame to the next
APART = 0.4  # short sides, of two together: who is nearer to its own way than this has not been exchanged
ASIDE = 0.1  # short sides: less is neither left nor right
RECENT = 6  # frames from which it is told where somebody is heading
AMISS = 0.3  # of the speed


def identity_stratum(spec: Spec) -> str:
    """How hard it is to see that everybody stays who it is, from the spec and its truth alone."""
    away, truth = absences(spec), truth_of(spec)
    hidden = truth.present & (truth.visible_fraction < HIDDEN) & (truth.x > 0) & (truth.x < spec.width)
    if any(absence.covers(event) for absence in away for event in spec.events):
        return "I5 somebody changes out of sight"
    if any(absence.gone.kind == "leave" for absence in away):
        return "I4 somebody leaves and comes back"
    if (hidden.sum(axis=0) >= PERSISTENT_SECONDS).any():
        return "I3 somebody is wholly hidden"
    if any(
        _alike(spec, *pair) and crossing(truth, *pair) is not None
        for pair in itertools.combinations(range(len(spec.actors)), 2)
    ):
        return "I1 two alike pass each other"
    partly = bool((truth.visible_fraction < 0.9).any()) and not any(
        event.kind in ("enter", "leave") for event in spec.events
    )
    return "I2 somebody is partly hidden" if len(spec.actors) > 1 and partly else "I0 nobody hides anybody"


def _alike(spec: Spec, first: int, second: int) -> bool:
    one, two = spec.actors[first], spec.actors[second]
    return one.noun == two.noun or (one.colour is not None and one.colour == two.colour)


def crossing(truth: Truth, first: int, second: int) -> int | None:
    """The frame in which two change sides, one before the other; nothing if they do not."""
    gap = truth.x[:, second] - truth.x[:, first]
    both = truth.present[:, first] & truth.present[:, second]
    if not both.all() or not gap[0] * gap[-1] < 0:
        return None
    frame = int(np.abs(gap).argmin())
    level = (
        np.abs(truth.y[frame, first] - truth.y[frame, second])
        < (truth.height[frame, first] + truth.height[frame, second]) / 2
    )
    return frame if level else None


def identity_checks(scene: TrackedClip, place: int, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of who an actor is, by name."""
    spec, truth = scene.spec, truth_of(scene.spec)
    own = [event for event in spec.events if event.actor == one.actor.id]
    if scene.num_frames > 1 and not any(event.kind == "spin" for event in own):
        yield "keeps its kind", partial(_keeps_kind, scene, one)
    for number, other in enumerate(scene.actors):
        if (
            number > place
            and crossing(truth, place, number) is not None
            and not any(event.kind == "hide" for event in spec.events)
        ):
            yield "is not exchanged", partial(_exchanged, scene, one, other, crossing(truth, place, number) or 0)
    for event in own:
        if event.kind == "beside":
            target = next(other for other in scene.actors if other.actor.id == event.target)
            yield f"is on the {event.direction}", partial(_on_its_side, scene, one, target, event)
        elif event.kind in ("creep", "dash"):
            yield f"is {'slow' if event.kind == 'creep' else 'fast'}", partial(_has_its_pace, scene, one, event)


def _keeps_kind(scene: TrackedClip, one: TrackedActor) -> Outcome:
    """Where it was seen last (or first), no thing of another kind stands in the next frames (or stood in those before)."""
    times = np.flatnonzero(one.found)
    for end, step in ((int(times[-1]), 1), (int(times[0]), -1)):
        there = [end + step * away for away in range(1, PERSISTENT_SECONDS + 1)]
        if 0 <= there[-1] < scene.num_frames and all(_became_another(scene, one, end, t) for t in there):
            return "ID-SHP", max(end, there[0])
    return None


def _became_another(scene: TrackedClip, one: TrackedActor, before: int, t: int) -> bool:
    """Whether another kind of thing stands in frame t near where it was in the other, about as large and in full view."""
    cells = foreign_cells(scene, one, t)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    unit = min(scene.sight.frames.shape[1:3]) / CELL  # cells in a short side
    here = one.trail.centres[before] * unit - 0.5
    truth = truth_of(scene.spec)
    in_view = truth.visible_fraction[t, truth.actors.index(one.actor.id)] >= 0.98
    for number in range(1, count):
        area = stats[number, cv2.CC_STAT_AREA] / max(float(np.nanmedian(one.areas)), 1.0)
        near = np.linalg.norm(centres[number] - here) / unit <= STEP * abs(t - before)
        whole = in_view or not _at_edge(labels == number)  # who goes out of the frame looks like something else at last
        if (
            stats[number, cv2.CC_STAT_AREA] >= FEWEST_CELLS
            and LIKE_BEFORE[0] <= area <= LIKE_BEFORE[1]
            and near
            and whole
        ):
            return True
    return False


def _at_edge(cells: Bool[np.ndarray, "rows columns"]) -> bool:
    return bool(cells[[0, -1]].any() or cells[:, [0, -1]].any())


def _exchanged(scene: TrackedClip, one: TrackedActor, other: TrackedActor, moment: int) -> Outcome:
    """After two have met, each is nearer to where its own way leads than to where the other's does."""
    together = np.flatnonzero((one.touched & other.touched) | ~one.found | ~other.found)
    if not len(together):
        return None
    middle = int(together[np.abs(together - moment).argmin()])
    apart = np.ones(scene.num_frames, bool)
    apart[together] = False
    before, after = np.flatnonzero(apart[:middle])[-RECENT:], np.flatnonzero(apart[middle:]) + middle
    if len(before) < PERSISTENT_SECONDS or len(after) < PERSISTENT_SECONDS:
        return None
    ways = [_ahead(actor.trail, before, after, scene) for actor in (one, other)]
    places = [actor.trail.centres[after, 0] for actor in (one, other)]
    own = sum(float(np.abs(place - way).mean()) for place, way in zip(places, ways, strict=True))
    crossed = sum(float(np.abs(place - way).mean()) for place, way in zip(places, reversed(ways), strict=True))
    return ("ID-SWP", int(after[0])) if own > APART and crossed < own / 2 else None


def _ahead(trail: Trail, before: np.ndarray, after: np.ndarray, scene: TrackedClip) -> Float[np.ndarray, " n"]:
    """Where it would be later if it went on as before, inside the frame."""
    slope, start = np.polyfit(before, trail.centres[before, 0], 1)
    height, width = scene.sight.frames.shape[1:3]
    return np.clip(slope * after + start, 0.2, width / min(height, width) - 0.2)


def _on_its_side(scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """Until something happens to either, it is on this side of the other."""
    pair = (one.actor.id, other.actor.id)
    starts = [e.start for e in scene.spec.events if e.kind != "beside" and e.actor in pair]
    last = max(PERSISTENT_SECONDS, round(min(starts, default=scene.spec.seconds) * scene.spec.fps))
    left, right = (other, one) if event.direction == "right" else (one, other)
    return left_of(left, right, slice(last)) if (one.found & other.found)[:last].any() else None


def left_of(one: TrackedActor, other: TrackedActor, frames: slice = slice(None)) -> Outcome:
    """In the middle of the frames in which both are found, the one is clearly left of the other."""
    both = np.flatnonzero((one.found & other.found)[frames])
    if not len(both):
        return "TXT-REL", 0
    gap = float(np.median((other.trail.centres - one.trail.centres)[both, 0]))
    return None if gap >= ASIDE else ("TXT-REL", int(both[0]))


def _has_its_pace(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """What is slow is slow all the time, what is fast is fast for a while: by the third widest of its steps of 0.75 s."""
    window = max(2, round(0.75 * scene.spec.fps))
    whole = one.found & ~one.at_edge
    times = np.flatnonzero(whole[:-window] & whole[window:])
    steps = one.trail.centres[times + window] - one.trail.centres[times]
    speeds = sorted(
        step_towards((float(x), float(y)), event.direction or "right")[0] * scene.spec.fps / window for x, y in steps
    )
    if len(speeds) < PERSISTENT_SECONDS:
        return None
    fastest = speeds[-PERSISTENT_SECONDS]  # a slip of the detector makes one or two of them wrong
    wrong = fastest > (1 + AMISS) * SLOW[1] if event.kind == "creep" else fastest < (1 - AMISS) * FAST[0]
    return ("MOT-SPD", scene.during(event).start) if wrong else None
