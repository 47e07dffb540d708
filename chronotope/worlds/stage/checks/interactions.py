"""What can be seen of the deeds of two: to meet, to hit, to eat; who moves when, who touches whom, and what is different afterwards.

Where the stage itself plays a thing too small to be seen (two that nearly touch from the beginning), it is not asked of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import grown
from chronotope.worlds.stage.checks.attributes import FARTHEST_STILL
from chronotope.worlds.stage.checks.tracking import WAY, TrackedActor, TrackedClip, stage_way, truth_of
from chronotope.worlds.stage.spec import Event

__all__ = ["MEETINGS", "interaction_checks"]

MEETINGS = ("meet", "hit", "eat")
SHARE = 0.4  # of the stage's way is enough, for how far is not said; but at least what can be seen
TOUCH, AT_HAND = 2, 3  # cells of 4 pixels between two that touch; between outlines that touch in a thin place only
EARLY = 0.06  # short sides: who moves more before the contact did not wait for it
THROUGH = 0.55  # of the stage's least distance: nearer than that, one stands in the other
CARRIED = 0.75  # of the way of the struck one: who goes as far along has kept its speed
GONE = 3  # frames without it: it has vanished
LATE = 2  # frames after the meal in which the eaten may still be seen
SIGN = {"left": -1.0, "right": 1.0}


def interaction_checks(scene: TrackedClip, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """The predicates of everything that an actor does to another, or suffers, by name."""
    ids = [actor.id for actor in scene.spec.actors]
    for event in scene.spec.events:
        if event.kind not in MEETINGS or one.actor.id not in (event.actor, event.target):
            continue
        passive = one.actor.id == event.target
        other = scene.actors[ids.index(event.actor if passive else event.target or "")]
        yield from (_suffered if passive else _done)(scene, one, other, event)


def _done(
    scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    side = _side(scene, event)
    wanted = stage_way(scene.spec, one.actor.id, scene.during(event)) * SIGN[side]
    if wanted >= WAY:
        yield f"{event.kind} {side}", partial(_goes, scene, one, event, side, wanted)
    yield "touches the other", partial(_touches, scene, one, other, event)
    if event.kind != "eat":
        yield "does not run through", partial(_runs_through, scene, one, other, event)


def _suffered(
    scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event
) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    side, frames = _side(scene, event), scene.during(event)
    wanted = stage_way(scene.spec, one.actor.id, frames) * SIGN[side]
    if event.kind == "meet" and -wanted >= WAY:
        yield "comes to meet", partial(_goes, scene, one, event, "left" if side == "right" else "right", -wanted)
    if event.kind == "hit" and wanted >= WAY:
        yield "is driven off", partial(_driven, scene, one, other, event, wanted)
    if event.kind == "hit":
        yield "waits for the contact", partial(_waits, scene, one, other)
    if event.kind == "eat":
        yield "is there until then", partial(_stays_until, scene, one, other)
        yield "is eaten", partial(_is_gone, scene, one, event)


def _side(scene: TrackedClip, event: Event) -> str:
    """On which side the target is."""
    return event.direction or (
        "right" if scene.spec.actor(event.target or "").x > scene.spec.actor(event.actor).x else "left"
    )


def _way(one: TrackedActor, frames: slice) -> float:
    """How far it goes to the right between the first and the last two frames in which it is found."""
    times = np.flatnonzero(one.found[frames]) + frames.start
    if len(times) < 2:
        return 0.0
    x = one.trail.centres[times, 0]
    return float(np.median(x[-2:]) - np.median(x[:2])) if len(times) >= 4 else float(x[-1] - x[0])


def _goes(scene: TrackedClip, one: TrackedActor, event: Event, side: str, wanted: float) -> Outcome:
    """It makes a good part of the way."""
    frames = scene.during(event)
    way, least = _way(one, frames) * SIGN[side], max(FARTHEST_STILL, SHARE * wanted)
    if way >= least:
        return None
    return "MOT-DIR" if way <= -FARTHEST_STILL else "MOT-STA", frames.stop - 1


def _near(one: TrackedActor, other: TrackedActor, cells: int) -> Bool[np.ndarray, " t"]:
    """The frames in which at most so many cells lie between two."""
    return np.array(
        [(grown(a, cells) & b).any() for a, b in zip(one.trail.cells, other.trail.cells, strict=True)], bool
    )


def _touches(scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """At some time it stands at the other."""
    return None if _near(one, other, AT_HAND).any() else ("TXT-ACT", scene.during(event).stop - 1)


def _runs_through(scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """They never stand in each other's place, nor change sides."""
    truth, ids = truth_of(scene.spec), [actor.id for actor in scene.spec.actors]
    first, second = (truth.x[: scene.num_frames, ids.index(name)] for name in (event.actor, event.target or ""))
    least = float(np.abs(second - first).min()) / min(scene.spec.width, scene.spec.height)
    sign = SIGN[_side(scene, event)]
    gap = (other.trail.centres[:, 0] - one.trail.centres[:, 0]) * sign
    if gap[np.argmax(~np.isnan(gap))] < 0:  # they began on the other sides: the wrong way, not through each other
        gap = -gap
    through = np.nan_to_num(gap, nan=np.inf) < THROUGH * least
    return ("PHY-PEN", int(np.argmax(through))) if through.sum() >= 2 else None


def _driven(scene: TrackedClip, one: TrackedActor, other: TrackedActor, event: Event, wanted: float) -> Outcome:
    """Struck, it goes on in the direction of the stroke, and farther than the one who struck it."""
    frames, sign = scene.during(event), SIGN[_side(scene, event)]
    way, carried = _way(one, frames) * sign, _way(other, frames) * sign
    if way >= max(FARTHEST_STILL, SHARE * wanted):
        return ("PHY-COL", frames.stop - 1) if carried > CARRIED * way else None
    return "MOT-DIR" if way <= -FARTHEST_STILL else "PHY-COL", frames.stop - 1


def _waits(scene: TrackedClip, one: TrackedActor, other: TrackedActor) -> Outcome:
    """It does not move before the other is at it."""
    contact = _near(one, other, TOUCH)
    first = int(np.argmax(contact)) if contact.any() else scene.num_frames
    early = np.flatnonzero(one.found[:first])
    if len(early) < 3:
        return None
    moved = np.abs(one.trail.centres[early, 0] - one.trail.centres[early[0], 0]) > EARLY
    return ("CAU-ORD", int(early[np.argmax(moved)])) if moved.sum() >= 2 else None


def _stays_until(scene: TrackedClip, one: TrackedActor, other: TrackedActor) -> Outcome:
    """It does not vanish before the other is at its place; a meal that comes back is another failure."""
    seen = np.flatnonzero(one.found)
    if not len(seen):
        return None
    # whoever eats it covers it first: what matters is when half of it was last seen
    half = np.median(one.areas[seen[: max(1, len(seen) // 4)]]) / 2
    large = np.nan_to_num(one.areas) >= half
    last = next(int(t) for t in np.flatnonzero(large) if not large[t + 1 : t + 1 + GONE].any())
    there = any(
        (grown(one.trail.cells[last], AT_HAND) & other.trail.cells[t]).any()
        for t in range(min(last + 2, scene.num_frames))
    )
    return None if there else ("CAU-ORD", last + 1)


def _is_gone(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """After the meal it is not seen again."""
    end = round(event.end * scene.spec.fps)
    first = min(end + LATE, scene.num_frames - 2)
    still = np.flatnonzero(one.found[first:]) + first
    return ("CAU-STA", int(still[0])) if len(still) >= 2 else None
