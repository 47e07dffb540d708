"""Does somebody who went out of sight come back: the same one, once, at its place, in its time, changed only as it was asked to?

The question is asked of a video only if it passes the gate: the actor is seen to go to the cover (or the edge of the frame) and is
unseen for some frames, in which the cover looks as it always does, so that nobody stands before it. So there are two rates: how
many absences pass the gate, and how many of those that pass it are right (`coverage`). An actor has one absence:
`tracking.unsupported` refuses specs in which somebody goes out of sight twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import grown
from chronotope.worlds.stage.checks.attributes import SURE, colour_votes, core, mean_colour, perceived
from chronotope.worlds.stage.checks.detector import CELL, KINDS, NOTHING
from chronotope.worlds.stage.checks.tracking import TrackedActor, TrackedClip, truth_of
from chronotope.worlds.stage.occlusion import Absence, absences
from chronotope.worlds.stage.spec import RETURN_OF, Event

__all__ = [
    "BACK",
    "DRIFT_OF_COLOUR",
    "DRIFT_OF_SIZE",
    "GATE",
    "GROWN",
    "absence_checks",
    "fates",
    "foreign_cells",
    "permanence_checks",
    "times_away",
]

GROWN = 1.25  # times the area
DRIFT_OF_COLOUR = 20.0  # CIELAB, lightness halved
DRIFT_OF_SIZE = 1.6
UNSEEN = 3  # frames in a row: less is no absence
AT_HAND = 3  # cells between somebody and what it goes behind, or the edge of the frame
ANOTHER, FEWEST = 0.25, 4  # of its cells, and cells: more of another kind is another thing
IN_TIME = 0.5  # seconds from when the stage brings it back
OTHERWISE, SHARE_IN_FRONT = 20.0, 0.2  # CIELAB, lightness halved; of the pixels that the actor has
LEVEL = 0.2  # short sides up or down between where it went and where it comes back
SHOWING, SHOWN = 0.05, 0.9  # of its pixels: between the two it may be recognised again, sooner or later
GATE, BACK = (
    "goes out of sight",
    ("comes back", "comes back at its place", "comes back in its time", "comes back as it should be"),
)


@dataclass(frozen=True)
class Gap:
    """An absence as it is seen: from the first frame without the actor to the first one with it again, or the end of the clip."""

    first: int
    back: int | None


def permanence_checks(scene: TrackedClip, place: int, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of an actor's absences, by name; what comes after the gate is asked only of those who pass it."""
    for absence in absences(scene.spec, one.actor.id):
        gap, wanted = _gap(scene, one, absence), _due(scene, place, absence)
        yield GATE, partial(_gate, scene, absence, gap)
        if gap is None:
            continue
        yield BACK[0], partial(_comes_back, scene, one, gap, wanted)
        if gap.back is not None:
            yield BACK[1], partial(_at_its_place, scene, one, absence, gap)
            yield BACK[2], partial(_in_its_time, scene, gap, wanted)
            yield BACK[3], partial(_as_it_should_be, scene, one, absence, gap)


def absence_checks(scene: TrackedClip, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of somebody who goes out of sight and is said not to come back."""
    if absence := _for_good(scene, one):
        gap = _gap(scene, one, absence)
        yield "goes away", partial(_gate, scene, absence, gap)
        if gap:
            yield "does not come back", lambda: ("TXT-NEG", gap.back) if gap.back is not None else None


def _for_good(scene: TrackedClip, one: TrackedActor) -> Absence | None:
    own = [event for event in scene.spec.events if event.actor == one.actor.id]
    stay, gone = (next((e for e in own if e.kind in kinds), None) for kinds in (("stay",), tuple(RETURN_OF)))
    return Absence(gone, stay) if stay and gone else None


def times_away(scene: TrackedClip, one: TrackedActor) -> Bool[np.ndarray, " t"]:
    """The frames in which an actor is out of sight as it was asked to be."""
    away = np.zeros(scene.num_frames, bool)
    stay = _for_good(scene, one)
    for absence in [*absences(scene.spec, one.actor.id), *([stay] if stay else [])]:
        if gap := _gap(scene, one, absence):
            away[gap.first : gap.back] = True
    return away


def fates(events: Sequence[Event], away: Sequence[Absence]) -> set[str]:
    """What happens to somebody; to leave and to come back again is one thing, neither to be new nor to be gone for good."""
    ends = [event for absence in away for event in (absence.gone, absence.back)]
    return {event.kind for event in events if event not in ends} | ({"come back"} if away else set())


def _due(scene: TrackedClip, place: int, absence: Absence) -> tuple[int, int]:
    """The frames in which the stage shows something of it again, and almost all."""
    start, last = round(absence.back.start * scene.spec.fps), scene.num_frames - 1
    visible = truth_of(scene.spec).visible_fraction[start:, place]
    some, most = (
        start + int(np.argmax(visible >= share)) if (visible >= share).any() else last for share in (SHOWING, SHOWN)
    )
    return some, most


def _gap(scene: TrackedClip, one: TrackedActor, absence: Absence) -> Gap | None:
    """The first time it is unseen for long enough after having been seen at the cover, or at the edge of the frame."""
    found = one.found
    t = int(np.argmax(found))
    while t < scene.num_frames - UNSEEN:
        if found[t] and not found[t + 1 : t + 1 + UNSEEN].any() and _at_the_exit(scene, one, absence, t):
            later = np.flatnonzero(found[t + 1 :]) + t + 1
            # a single frame may be a slip of the detector
            back = next((int(r) for r in later if r == scene.num_frames - 1 or found[r + 1]), None)
            gap = Gap(t + 1, back)
            return (
                gap if absence.gone.kind == "leave" or not _in_front(scene, one, _cover(scene, absence), gap) else None
            )
        t += 1
    return None


def _at_the_exit(scene: TrackedClip, one: TrackedActor, absence: Absence, t: int) -> bool:
    """Whether it is where it should go out of sight, or come back from there."""
    if absence.gone.kind == "leave":
        return _at_side(one.trail.cells[t], absence.gone.direction or "")
    cover = _cover(scene, absence)
    seen = cover.trail.cells[max(0, t - 2) : t + 3].any(axis=0)
    return bool((grown(one.trail.cells[t], AT_HAND) & seen).any())


def _in_front(scene: TrackedClip, one: TrackedActor, cover: TrackedActor, gap: Gap) -> bool:
    """Whether the cover looks otherwise while the actor is unseen: then something stands before it, which the detector did not recognise."""
    frames, away = scene.sight.frames, np.zeros(scene.num_frames, bool)
    away[gap.first : gap.back] = True
    steady = core((cover.trail.cells.mean(axis=0) >= 0.5)[None])[0]
    inside = np.repeat(np.repeat(steady, CELL, axis=0), CELL, axis=1)[: frames.shape[1], : frames.shape[2]]
    if not inside.any() or away.all():
        return False
    usual = perceived(np.median(frames[~away][:, inside], axis=0).round().astype(np.uint8))
    other = [
        float((np.linalg.norm(perceived(frame[inside]) - usual, axis=1) > OTHERWISE).sum()) for frame in frames[away]
    ]
    return float(np.median(other)) > SHARE_IN_FRONT * float(np.nanmedian(one.areas)) * CELL**2


def _cover(scene: TrackedClip, absence: Absence) -> TrackedActor:
    return next(other for other in scene.actors if other.actor.id == absence.gone.target)


def _at_side(cells: Bool[np.ndarray, "rows columns"], side: str) -> bool:
    """Whether some of the cells are close to this side of the frame."""
    strip = {"left": cells[:, :AT_HAND], "right": cells[:, -AT_HAND:], "up": cells[:AT_HAND], "down": cells[-AT_HAND:]}[
        side
    ]
    return bool(strip.any())


def _gate(scene: TrackedClip, absence: Absence, gap: Gap | None) -> Outcome:
    """It goes where it was asked to go, and is unseen from then on."""
    return None if gap else ("TXT-ACT", scene.during(absence.gone).stop - 1)


def _comes_back(scene: TrackedClip, one: TrackedActor, gap: Gap, wanted: tuple[int, int]) -> Outcome:
    """It is there again before the end; if something else came instead, it came back as another."""
    if gap.back is not None:
        return None
    usual = grown(foreign_cells(scene, one, gap.first))  # what the detector takes the scenery for
    instead = [t for t in range(gap.first, scene.num_frames) if _is_another(scene, one, t, usual)]
    return ("PRM-RET", instead[0]) if len(instead) >= UNSEEN else ("PRM-OCC", wanted[1])


def _is_another(scene: TrackedClip, one: TrackedActor, t: int, usual: Bool[np.ndarray, "rows columns"]) -> bool:
    """Whether a thing of a kind that is nobody's here is in this frame, about as large."""
    return bool((foreign_cells(scene, one, t) & ~usual).sum() >= max(FEWEST, ANOTHER * float(np.nanmedian(one.areas))))


def foreign_cells(scene: TrackedClip, one: TrackedActor, t: int) -> Bool[np.ndarray, "rows columns"]:
    """Cells in which somebody stands who is neither of this actor's kind nor another actor."""
    likely = scene.sight.likely[t]
    others = np.any(
        [np.zeros_like(one.trail.cells[t]), *(other.trail.cells[t] for other in scene.actors if other is not one)],
        axis=0,
    )
    taken = likely[NOTHING] < SURE
    return np.asarray(
        taken
        & (likely.argmax(axis=0) != KINDS.index(one.actor.noun))
        & (likely.argmax(axis=0) != NOTHING)
        & ~grown(others)
    )


def _at_its_place(scene: TrackedClip, one: TrackedActor, absence: Absence, gap: Gap) -> Outcome:
    """It comes out where it should: on the asked side of the cover and close to it, or from the edge by which it went; at its level."""
    back = gap.back or 0
    before, after = (_whole(one, part) for part in (slice(0, gap.first), slice(back, scene.num_frames)))
    level = abs(float(np.median(one.trail.centres[before, 1])) - float(np.median(one.trail.centres[after, 1])))
    aside = absence.gone.direction in ("left", "right") and level > LEVEL
    return None if _comes_out_there(scene, one, absence, back) and not aside else ("PRM-RET", back)


def _comes_out_there(scene: TrackedClip, one: TrackedActor, absence: Absence, back: int) -> bool:
    # the first frame may show no more than a speck of it
    if not any(_at_the_exit(scene, one, absence, t) for t in range(back, min(back + 2, scene.num_frames))):
        return False
    if absence.gone.kind == "leave":
        return True
    ahead = one.trail.centres[back, 0] - np.nanmedian(_cover(scene, absence).trail.centres[:, 0])
    return bool((ahead > 0) == (absence.back.direction == "right"))


def _in_its_time(scene: TrackedClip, gap: Gap, wanted: tuple[int, int]) -> Outcome:
    """Not more than half a second before the stage shows something of it, or after it shows almost all."""
    back, spare = gap.back or 0, IN_TIME * scene.spec.fps
    return None if wanted[0] - spare <= back <= wanted[1] + spare else ("PRM-RET", min(back, wanted[1]))


def _as_it_should_be(scene: TrackedClip, one: TrackedActor, absence: Absence, gap: Gap) -> Outcome:
    """As large and of the same colour as before, but for what it was asked to change meanwhile."""
    back = gap.back or 0
    before, after = (_whole(one, part) for part in (slice(0, gap.first), slice(back, scene.num_frames)))
    ratio = float(np.median(one.areas[after]) / np.median(one.areas[before]))
    changes = {event.kind for event in scene.spec.events if absence.covers(event)}
    low = GROWN if "grow" in changes else 0.0 if "shrink" in changes else 1 / DRIFT_OF_SIZE
    high = 1 / GROWN if "shrink" in changes else np.inf if "grow" in changes else DRIFT_OF_SIZE
    return None if low <= ratio <= high and _same_colour(scene, one, before, after) else ("PRM-RET", back)


def _whole(one: TrackedActor, part: slice) -> np.ndarray:
    """The three frames of this part in which most of it is seen."""
    times = np.flatnonzero(one.found[part]) + part.start
    return times[np.argsort(one.areas[times], kind="stable")[-3:]]


def _same_colour(scene: TrackedClip, one: TrackedActor, before: np.ndarray, after: np.ndarray) -> bool:
    first, last = one.trail.only(before), one.trail.only(after)
    if one.actor.colour:
        votes = [colour_votes(scene.sight, part) for part in (first, last)]
        return len({max(vote, key=lambda name: vote[name]) for vote in votes if vote}) == 1
    return bool(np.linalg.norm(mean_colour(scene.sight, first) - mean_colour(scene.sight, last)) <= DRIFT_OF_COLOUR)
