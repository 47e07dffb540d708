"""Check the interactions of two actors: meeting, hitting and eating.

The checks cover who moves when, who touches whom, and what has changed afterwards. What is too small to see in the true
clip, such as the approach of two actors that nearly touch from the start, is not required of a video.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import dilate
from chronotope.worlds.stage.checks.attributes import MIN_MOTION
from chronotope.worlds.stage.checks.tracking import MIN_WAY, Predicates, TrackedActor, TrackedClip, true_way, truth_of
from chronotope.worlds.stage.spec import Event

__all__ = ["MEETINGS", "interaction_checks"]

MEETINGS = ("meet", "hit", "eat")
MIN_SHARE_OF_WAY = 0.4  # of the true displacement, because the prompt does not say how far
CONTACT_CELLS = 2  # cells between two actors in contact
NEAR_CELLS = 3  # cells between two actors whose outlines touch only at a thin part
MAX_MOTION_BEFORE_CONTACT = 0.06  # short sides
MIN_DISTANCE_SHARE = 0.55  # of the smallest true distance between the centres
MAX_CARRIED_SHARE = 0.75  # of the displacement of the struck actor: a striker that moves farther has kept its speed
VANISHED_FRAMES = 3  # frames without detection
FRAMES_AFTER_MEAL = 2  # frames in which the eaten actor may still be visible
SIGN = {"left": -1.0, "right": 1.0}


def interaction_checks(scene: TrackedClip, track: TrackedActor) -> Predicates:
    """Yield the checks of every interaction in which an actor takes part."""
    ids = [actor.id for actor in scene.spec.actors]
    for event in scene.spec.events:
        if event.kind not in MEETINGS or track.actor.id not in (event.actor, event.target):
            continue
        is_target = track.actor.id == event.target
        other = scene.actors[ids.index(event.actor if is_target else event.target or "")]
        yield from (_target_checks if is_target else _agent_checks)(scene, track, other, event)


def _agent_checks(scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event) -> Predicates:
    """Yield the checks of the actor that acts."""
    side = _side(scene, event)
    expected = true_way(scene.spec, track.actor.id, scene.during(event)) * SIGN[side]
    if expected >= MIN_WAY:
        yield f"{event.kind} {side}", partial(_check_way, scene, track, event, side, expected)
    yield "touches the other", partial(_check_contact, scene, track, other, event)
    if event.kind != "eat":
        yield "does not run through", partial(_check_no_penetration, scene, track, other, event)


def _target_checks(scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event) -> Predicates:
    """Yield the checks of the actor that is acted on."""
    side, frames = _side(scene, event), scene.during(event)
    expected = true_way(scene.spec, track.actor.id, frames) * SIGN[side]
    if event.kind == "meet" and -expected >= MIN_WAY:
        yield (
            "comes to meet",
            partial(_check_way, scene, track, event, "left" if side == "right" else "right", -expected),
        )
    if event.kind == "hit" and expected >= MIN_WAY:
        yield "is driven off", partial(_check_pushed, scene, track, other, event, expected)
    if event.kind == "hit":
        yield "waits for the contact", partial(_check_waits, scene, track, other)
    if event.kind == "eat":
        yield "is there until then", partial(_check_stays_until_contact, scene, track, other)
        yield "is eaten", partial(_check_eaten, scene, track, event)


def _side(scene: TrackedClip, event: Event) -> str:
    """Return the side on which the target is."""
    if event.direction:
        return event.direction
    return "right" if scene.spec.actor(event.target or "").x > scene.spec.actor(event.actor).x else "left"


def _displacement(track: TrackedActor, frames: slice) -> float:
    """Return the displacement to the right between the first and the last two frames with a detection."""
    times = np.flatnonzero(track.found[frames]) + frames.start
    if len(times) < 2:
        return 0.0
    x = track.trail.centres[times, 0]
    return float(np.median(x[-2:]) - np.median(x[:2])) if len(times) >= 4 else float(x[-1] - x[0])


def _check_way(scene: TrackedClip, track: TrackedActor, event: Event, side: str, expected: float) -> Outcome:
    """Check that an actor makes a sufficient part of the true displacement."""
    frames = scene.during(event)
    distance, required = _displacement(track, frames) * SIGN[side], max(MIN_MOTION, MIN_SHARE_OF_WAY * expected)
    if distance >= required:
        return None
    return "MOT-DIR" if distance <= -MIN_MOTION else "MOT-STA", frames.stop - 1


def _near(track: TrackedActor, other: TrackedActor, cells: int) -> Bool[np.ndarray, " t"]:
    """Find the frames in which at most `cells` cells lie between two actors."""
    pairs = zip(track.trail.cells, other.trail.cells, strict=True)
    return np.array([(dilate(a, cells) & b).any() for a, b in pairs], bool)


def _check_contact(scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """Check that the actor comes into contact with the other."""
    return None if _near(track, other, NEAR_CELLS).any() else ("TXT-ACT", scene.during(event).stop - 1)


def _check_no_penetration(scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event) -> Outcome:
    """Check that two actors never overlap deeply or exchange sides."""
    truth, ids = truth_of(scene.spec), [actor.id for actor in scene.spec.actors]
    first, second = (truth.x[: scene.num_frames, ids.index(name)] for name in (event.actor, event.target or ""))
    required = float(np.abs(second - first).min()) / min(scene.spec.width, scene.spec.height)
    sign = SIGN[_side(scene, event)]
    gap = (other.trail.centres[:, 0] - track.trail.centres[:, 0]) * sign
    if gap[np.argmax(~np.isnan(gap))] < 0:  # they began on exchanged sides, which is another failure
        gap = -gap
    through = np.nan_to_num(gap, nan=np.inf) < MIN_DISTANCE_SHARE * required
    return ("PHY-PEN", int(np.argmax(through))) if through.sum() >= 2 else None


def _check_pushed(
    scene: TrackedClip, track: TrackedActor, other: TrackedActor, event: Event, expected: float
) -> Outcome:
    """Check that a struck actor moves in the direction of the blow, and farther than the striker."""
    frames, sign = scene.during(event), SIGN[_side(scene, event)]
    distance, carried = _displacement(track, frames) * sign, _displacement(other, frames) * sign
    if distance >= max(MIN_MOTION, MIN_SHARE_OF_WAY * expected):
        return ("PHY-COL", frames.stop - 1) if carried > MAX_CARRIED_SHARE * distance else None
    return "MOT-DIR" if distance <= -MIN_MOTION else "PHY-COL", frames.stop - 1


def _check_waits(scene: TrackedClip, track: TrackedActor, other: TrackedActor) -> Outcome:
    """Check that a struck actor does not move before the contact."""
    contact = _near(track, other, CONTACT_CELLS)
    first = int(np.argmax(contact)) if contact.any() else scene.num_frames
    early = np.flatnonzero(track.found[:first])
    if len(early) < 3:
        return None
    moved = np.abs(track.trail.centres[early, 0] - track.trail.centres[early[0], 0]) > MAX_MOTION_BEFORE_CONTACT
    return ("CAU-ORD", int(early[np.argmax(moved)])) if moved.sum() >= 2 else None


def _check_stays_until_contact(scene: TrackedClip, track: TrackedActor, other: TrackedActor) -> Outcome:
    """Check that the target does not vanish before the eater reaches it.

    A target that is seen again after the meal is another failure.
    """
    seen = np.flatnonzero(track.found)
    if not len(seen):
        return None
    # The eater covers the target gradually, so what counts is when half of the target was last seen.
    half = np.median(track.areas[seen[: max(1, len(seen) // 4)]]) / 2
    large = np.nan_to_num(track.areas) >= half
    last = next(int(t) for t in np.flatnonzero(large) if not large[t + 1 : t + 1 + VANISHED_FRAMES].any())
    near = dilate(track.trail.cells[last], NEAR_CELLS)
    eaten_here = (near & other.trail.cells[: last + 2]).any()
    return None if eaten_here else ("CAU-ORD", last + 1)


def _check_eaten(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that the target is not seen after the meal."""
    end = round(event.end * scene.spec.fps)
    first = min(end + FRAMES_AFTER_MEAL, scene.num_frames - 2)
    still = np.flatnonzero(track.found[first:]) + first
    return ("CAU-STA", int(still[0])) if len(still) >= 2 else None
