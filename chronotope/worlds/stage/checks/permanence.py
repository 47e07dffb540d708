"""Check that an actor that went out of sight comes back: once, in place, in time, and changed only as requested.

The return is checked only if the video passes the gate: the actor goes to the cover or the edge of the frame and is
unseen for some frames, in which the cover looks as before, so that the actor is not in front of it. `coverage` reports
how many absences pass the gate, and how many of those are right. `tracking.unsupported` refuses specs in which an actor
goes out of sight twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import dilate
from chronotope.worlds.stage.checks.attributes import (
    MIN_PROBABILITY,
    dominant_colour,
    inner_cells,
    mean_colour,
    to_lab,
    to_pixels,
)
from chronotope.worlds.stage.checks.detector import CELL, KINDS, NOTHING
from chronotope.worlds.stage.checks.tracking import Predicates, TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.occlusion import Absence, absences
from chronotope.worlds.stage.spec import RETURN_OF, Event

__all__ = [
    "GATE_CHECK",
    "MAX_COLOUR_CHANGE",
    "MAX_SIZE_CHANGE",
    "MIN_GROWTH",
    "RETURN_CHECKS",
    "absence_checks",
    "absent_frames",
    "event_kinds",
    "foreign_cells",
    "permanence_checks",
    "same_colour",
]

MIN_GROWTH = 1.25  # times the area
MAX_COLOUR_CHANGE = 20.0  # CIELAB, lightness halved
MAX_SIZE_CHANGE = 1.6  # times the area
MIN_UNSEEN_FRAMES = 3  # consecutive frames
NEAR_CELLS = 3  # cells between an actor and its cover, or the edge of the frame
MIN_FOREIGN_SHARE = 0.25  # of the cells of the actor: another thing has replaced it
MIN_FOREIGN_CELLS = 4
TIME_TOLERANCE = 0.5  # seconds before or after the true return
MAX_COVER_CHANGE = 20.0  # CIELAB, lightness halved: a larger change of a pixel means that something is in front of it
MAX_SHARE_IN_FRONT = 0.2  # of the pixels of the actor
MAX_LEVEL_CHANGE = 0.2  # short sides up or down between the exit and the return
BARELY_VISIBLE, FULLY_VISIBLE = 0.05, 0.9  # of the pixels of an actor: between the two the detector may find it or not
GATE_CHECK = "goes out of sight"
RETURN_CHECKS = ("comes back", "comes back at its place", "comes back in its time", "comes back as it should be")


@dataclass(frozen=True)
class Gap:
    """A detected absence: the first frame without the actor, and the first frame with it again, if any."""

    first: int
    back: int | None


def permanence_checks(scene: TrackedClip, index: int, track: TrackedActor) -> Predicates:
    """Yield the checks of an actor's absences; the return is checked only after a passed gate."""
    for absence in absences(scene.spec, track.actor.id):
        gap, expected = _gap(scene, track, absence), _expected_return(scene, index, absence)
        yield GATE_CHECK, partial(_check_gate, scene, absence, gap)
        if gap is None:
            continue
        yield RETURN_CHECKS[0], partial(_check_return, scene, track, gap, expected)
        if gap.back is not None:
            yield RETURN_CHECKS[1], partial(_check_place, scene, track, absence, gap)
            yield RETURN_CHECKS[2], partial(_check_time, scene, gap, expected)
            yield RETURN_CHECKS[3], partial(_check_looks, scene, track, absence, gap)


def absence_checks(scene: TrackedClip, track: TrackedActor) -> Predicates:
    """Yield the checks of an actor that goes out of sight and must not come back."""
    absence = _final_absence(scene, track)
    if absence:
        gap = _gap(scene, track, absence)
        yield "goes away", partial(_check_gate, scene, absence, gap)
        if gap:
            yield "does not come back", lambda: ("TXT-NEG", gap.back) if gap.back is not None else None


def _final_absence(scene: TrackedClip, track: TrackedActor) -> Absence | None:
    own = [event for event in scene.spec.events if event.actor == track.actor.id]
    stay = next((event for event in own if event.kind == "stay"), None)
    gone = next((event for event in own if event.kind in RETURN_OF), None)
    return Absence(gone, stay) if stay and gone else None


def absent_frames(scene: TrackedClip, track: TrackedActor) -> Bool[np.ndarray, " t"]:
    """Find the frames in which an actor is out of sight as requested."""
    away = np.zeros(scene.num_frames, bool)
    for absence in (*absences(scene.spec, track.actor.id), _final_absence(scene, track)):
        gap = _gap(scene, track, absence) if absence else None
        if gap:
            away[gap.first : gap.back] = True
    return away


def event_kinds(events: Sequence[Event], away: Sequence[Absence]) -> set[str]:
    """Return the kinds of an actor's events, with every absence as one `come back` instead of its two events."""
    ends = [event for absence in away for event in (absence.gone, absence.back)]
    return {event.kind for event in events if event not in ends} | ({"come back"} if away else set())


def _expected_return(scene: TrackedClip, index: int, absence: Absence) -> tuple[int, int]:
    """Return the frames in which the truth shows some of the actor again, and almost all of it."""
    start, last = round(absence.back.start * scene.spec.fps), scene.num_frames - 1
    visible = truth_of(scene.spec).visible_fraction[start:, index]
    first, full = (np.flatnonzero(visible >= share) for share in (BARELY_VISIBLE, FULLY_VISIBLE))
    return (start + int(first[0]) if len(first) else last), (start + int(full[0]) if len(full) else last)


def _gap(scene: TrackedClip, track: TrackedActor, absence: Absence) -> Gap | None:
    """Find the first absence that begins at the cover or the edge of the frame."""
    found = track.found
    t = int(np.argmax(found))
    while t < scene.num_frames - MIN_UNSEEN_FRAMES:
        if found[t] and not found[t + 1 : t + 1 + MIN_UNSEEN_FRAMES].any() and _at_the_exit(scene, track, absence, t):
            later = np.flatnonzero(found[t + 1 :]) + t + 1
            # A detection in a single frame may be false.
            back = next((int(r) for r in later if r == scene.num_frames - 1 or found[r + 1]), None)
            gap = Gap(t + 1, back)
            in_front = absence.gone.kind != "leave" and _covered_from_front(scene, track, _cover(scene, absence), gap)
            return None if in_front else gap
        t += 1
    return None


def _at_the_exit(scene: TrackedClip, track: TrackedActor, absence: Absence, t: int) -> bool:
    """Tell whether the actor is where it should go out of sight, and from where it should return."""
    if absence.gone.kind == "leave":
        return _at_side(track.trail.cells[t], absence.gone.direction or "")
    cover = _cover(scene, absence)
    seen = cover.trail.cells[max(0, t - 2) : t + 3].any(axis=0)
    return bool((dilate(track.trail.cells[t], NEAR_CELLS) & seen).any())


def _covered_from_front(scene: TrackedClip, track: TrackedActor, cover: TrackedActor, gap: Gap) -> bool:
    """Tell whether something covers the cover during the absence, so that the actor is probably in front."""
    frames, away = scene.frames, np.zeros(scene.num_frames, bool)
    away[gap.first : gap.back] = True
    steady = inner_cells((cover.trail.cells.mean(axis=0) >= 0.5)[None])[0]
    inside = to_pixels(steady, frames)
    if not inside.any() or away.all():
        return False
    cover_colours = to_lab(np.median(frames[~away][:, inside], axis=0).round().astype(np.uint8))
    changes = [np.linalg.norm(to_lab(frame[inside]) - cover_colours, axis=1) for frame in frames[away]]
    changed = np.median([(change > MAX_COVER_CHANGE).sum() for change in changes])
    return float(changed) > MAX_SHARE_IN_FRONT * float(np.nanmedian(track.areas)) * CELL**2


def _cover(scene: TrackedClip, absence: Absence) -> TrackedActor:
    return next(other for other in scene.actors if other.actor.id == absence.gone.target)


def _at_side(cells: Bool[np.ndarray, "rows columns"], side: str) -> bool:
    """Tell whether some of the cells are near this side of the frame."""
    strips = {
        "left": cells[:, :NEAR_CELLS],
        "right": cells[:, -NEAR_CELLS:],
        "up": cells[:NEAR_CELLS],
        "down": cells[-NEAR_CELLS:],
    }
    return bool(strips[side].any())


def _check_gate(scene: TrackedClip, absence: Absence, gap: Gap | None) -> Outcome:
    """Check that the actor goes out of sight as requested."""
    return None if gap else ("TXT-ACT", scene.during(absence.gone).stop - 1)


def _check_return(scene: TrackedClip, track: TrackedActor, gap: Gap, expected: tuple[int, int]) -> Outcome:
    """Check that the actor is seen again before the end, and has not been replaced by another thing."""
    if gap.back is not None:
        return None
    background = dilate(foreign_cells(scene, track, gap.first))  # false detections in the scenery
    replaced = [t for t in range(gap.first, scene.num_frames) if _is_replaced(scene, track, t, background)]
    return ("PRM-RET", replaced[0]) if len(replaced) >= MIN_UNSEEN_FRAMES else ("PRM-OCC", expected[1])


def _is_replaced(scene: TrackedClip, track: TrackedActor, t: int, background: Bool[np.ndarray, "rows columns"]) -> bool:
    """Tell whether this frame contains a thing of a foreign kind of about the actor's size."""
    least = max(MIN_FOREIGN_CELLS, MIN_FOREIGN_SHARE * float(np.nanmedian(track.areas)))
    return bool((foreign_cells(scene, track, t) & ~background).sum() >= least)


def foreign_cells(scene: TrackedClip, track: TrackedActor, t: int) -> Bool[np.ndarray, "rows columns"]:
    """Find the foreground cells that belong neither to this actor's kind nor to another actor."""
    probability = scene.detections.probability[t]
    none = np.zeros_like(track.trail.cells[t])
    others = np.any([none, *(other.trail.cells[t] for other in scene.actors if other is not track)], axis=0)
    foreign = (probability[NOTHING] < MIN_PROBABILITY) & ~np.isin(
        probability.argmax(axis=0), [NOTHING, KINDS.index(track.actor.noun)]
    )
    return np.asarray(foreign & ~dilate(others))


def _check_place(scene: TrackedClip, track: TrackedActor, absence: Absence, gap: Gap) -> Outcome:
    """Check that the actor returns on the requested side of the cover or from the edge, and at its level."""
    back = gap.back or 0
    before, after = (_largest_views(track, part) for part in (slice(0, gap.first), slice(back, scene.num_frames)))
    level = abs(float(np.median(track.trail.centres[before, 1])) - float(np.median(track.trail.centres[after, 1])))
    aside = absence.gone.direction in ("left", "right") and level > MAX_LEVEL_CHANGE
    return None if _returns_at_exit(scene, track, absence, back) and not aside else ("PRM-RET", back)


def _returns_at_exit(scene: TrackedClip, track: TrackedActor, absence: Absence, back: int) -> bool:
    # The first frame may show only a few pixels of the actor.
    if not any(_at_the_exit(scene, track, absence, t) for t in range(back, min(back + 2, scene.num_frames))):
        return False
    if absence.gone.kind == "leave":
        return True
    ahead = track.trail.centres[back, 0] - np.nanmedian(_cover(scene, absence).trail.centres[:, 0])
    return bool((ahead > 0) == (absence.back.direction == "right"))


def _check_time(scene: TrackedClip, gap: Gap, expected: tuple[int, int]) -> Outcome:
    """Check that the actor returns within half a second of the time at which the truth shows it again."""
    back, spare = gap.back or 0, TIME_TOLERANCE * scene.spec.fps
    return None if expected[0] - spare <= back <= expected[1] + spare else ("PRM-RET", min(back, expected[1]))


def _check_looks(scene: TrackedClip, track: TrackedActor, absence: Absence, gap: Gap) -> Outcome:
    """Check that the actor has the size and colour that it had before, apart from requested changes."""
    back = gap.back or 0
    before, after = (_largest_views(track, part) for part in (slice(0, gap.first), slice(back, scene.num_frames)))
    ratio = float(np.median(track.areas[after]) / np.median(track.areas[before]))
    changes = {event.kind for event in scene.spec.events if absence.covers(event)}
    low, high = 1 / MAX_SIZE_CHANGE, MAX_SIZE_CHANGE
    if "grow" in changes:
        low, high = MIN_GROWTH, np.inf
    elif "shrink" in changes:
        low, high = 0.0, 1 / MIN_GROWTH
    return None if low <= ratio <= high and same_colour(scene, track, before, after) else ("PRM-RET", back)


def _largest_views(track: TrackedActor, part: slice) -> np.ndarray:
    """Return the three frames of this part with the largest area."""
    times = np.flatnonzero(track.found[part]) + part.start
    return times[np.argsort(track.areas[times], kind="stable")[-3:]]


def same_colour(scene: TrackedClip, track: TrackedActor, before: np.ndarray, after: np.ndarray) -> bool:
    """Tell whether an actor has the same colour in two sets of frames.

    A shape is compared by its dominant colour, any other thing by its mean colour, because its sides differ.
    """
    first, last = track.trail.only(before), track.trail.only(after)
    if track.actor.colour:
        return dominant_colour(scene.detections, first) == dominant_colour(scene.detections, last)
    return bool(
        np.linalg.norm(mean_colour(scene.detections, first) - mean_colour(scene.detections, last)) <= MAX_COLOUR_CHANGE
    )
