"""Compile checks from a spec: what must be true of a video of it, each with the failure that it shows otherwise.

A check never reads the prompt. It compares what `tracking` found, and the frames, with the true clip of the spec; what
the prompt leaves open, such as speed and distance, the checks leave open too.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from chronotope.geometry import Frames
from chronotope.worlds.check import DRIFT_CHECK, Check, Outcome
from chronotope.worlds.persistence import PERSISTENT_SECONDS, first_run, persistent_frames, steadily_seen
from chronotope.worlds.stage.backdrops import flat_backdrop
from chronotope.worlds.stage.checks.actions import action_checks, end_at_stops
from chronotope.worlds.stage.checks.attributes import (
    MIN_MOTION,
    MIN_SEEN_SHARE,
    Trail,
    detect,
    dominant_colour,
    step_towards,
    to_lab,
)
from chronotope.worlds.stage.checks.detector import Detector, scaled
from chronotope.worlds.stage.checks.drift import MIN_SECONDS, check_drift, gradients
from chronotope.worlds.stage.checks.identity import identity_checks
from chronotope.worlds.stage.checks.interactions import MEETINGS, interaction_checks
from chronotope.worlds.stage.checks.likeness import check_form, stands_malformed
from chronotope.worlds.stage.checks.permanence import (
    MAX_SIZE_CHANGE,
    MIN_GROWTH,
    absence_checks,
    absent_frames,
    event_kinds,
    permanence_checks,
    same_colour,
)
from chronotope.worlds.stage.checks.tracking import (
    TRAVELS,
    Predicates,
    TrackedActor,
    TrackedClip,
    overlaps,
    track_actors,
    truth_of,
)
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.reappearance import FAST
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Event, Spec

__all__ = ["check", "check_scene"]

MIN_SHOWN, MAX_HIDDEN = 0.6, 0.5  # of an actor's pixels: with more the truth shows it; with less it may be missed
JUMP_FACTOR = 3.0  # times the median step
JUMP_MARGIN = 0.12  # short sides beyond that
SHAKE_STEP = 0.03  # short sides: smaller steps do not count as shaking
SHAKE_SIZE_STEP = 0.08  # of the logarithm of the size
SHAKE_SHARE = 0.15  # of the whole extent
MAX_UNEVENNESS = 0.13  # root mean square deviation from even motion, relative to the distance
MIN_DEVIATION = 0.02  # short sides
NEAR, NEAR_WHEN_TOUCHED = 0.3, 0.6  # short sides between an unseen actor and one that may cover it
HALT_SPEED = 0.2  # relative to the speed in the other frames
HALT_PART = 0.35  # of the frames: the first or the last part
HALT_DISTANCE = 0.06  # short sides: the distance that the actor should make in that part
MAX_FLICKER, MAX_NOISE = 6.0, 4.0  # levels of 255
MIN_SHARPNESS = 0.5  # of the steepness of the true edges
_CHECKED_EVENTS = (*TRAVELS, "enter", "leave", "grow", "shrink")


def check(detector: Detector, spec: Spec, frames: Frames) -> tuple[Check, ...]:
    """Check a video of a spec; the clip may have any size, and as many frames as the spec."""
    return check_scene(track_actors(detect(detector, frames), spec))


def check_scene(scene: TrackedClip) -> tuple[Check, ...]:
    """Check a clip in which all actors have been tracked."""
    found: list[Check] = []
    for index, track in enumerate(scene.actors):
        found += _actor_checks(scene, index, track)
    missing = any(check.name == "is there" and not check.holds for check in found)
    return (*found, *_clip_checks(scene, missing))


def _actor_checks(scene: TrackedClip, index: int, track: TrackedActor) -> Iterator[Check]:
    """Run the checks of one actor; those of a missing actor all fail."""
    visible = truth_of(scene.spec).visible_fraction[:, index]
    shown = visible >= MIN_SHOWN
    seen = track.trail.seen_share >= MIN_SEEN_SHARE * shown.mean()
    there = track.found.any() and (seen or steadily_seen(track.found, persistent_frames(scene.spec.fps)))
    missing = None
    if not there:
        missing = ("ID-FRM" if stands_malformed(scene) else "TXT-CNT", int(np.argmax(shown)))
    predicates = tuple(_predicates(scene, index, track))
    yield Check.of("is there", missing, track.actor.id)
    for name, evaluate in predicates:
        yield Check.of(name, missing or evaluate(), track.actor.id)


def _predicates(scene: TrackedClip, index: int, track: TrackedActor) -> Predicates:
    """Yield the checks that the spec requires of an actor."""
    spec, actor = scene.spec, track.actor
    own = [event for event in spec.events if event.actor == actor.id and event.kind != "beside"]
    events = end_at_stops(sorted(own, key=lambda event: event.start))
    kinds = {event.kind for event in events}
    target_kinds = {event.kind for event in spec.events if event.target == actor.id}
    touched = any(actor.id in (e.actor, e.target) for e in spec.events)
    if actor.colour:
        yield "has its colour", partial(_has_colour, scene, track)
    away = absences(spec, actor.id)
    unseen = [event for event in events if any(absence.covers(event) or absence.back == event for absence in away)]
    checked = [event for event in events if event.kind in _CHECKED_EVENTS and event not in unseen]
    for number, event in enumerate(checked):
        others = checked[:number] + checked[number + 1 :]
        yield f"{event.kind} {event.direction or ''}".strip(), partial(_check_event, scene, track, event, others)
    yield from action_checks(scene, index, track)
    yield from interaction_checks(scene, track)
    yield from permanence_checks(scene, index, track)
    yield from absence_checks(scene, track)
    yield from identity_checks(scene, index, track)
    if "spin" not in kinds:  # the detector knows upright drawings
        yield "keeps its form", partial(check_form, scene, index)
    yield "is one", lambda: first_run("OBJ-DUP", track.doubles, scene.spec.fps)
    if scene.num_frames > 1:
        all_kinds = event_kinds(events, away)
        if "hit" in target_kinds:
            all_kinds.add("leave")  # a struck actor may leave the frame
        if "eat" in target_kinds:
            all_kinds.add("be eaten")
        yield "stays in being", lambda: _check_presence(scene, index, track, all_kinds)
        uncovered = _before_contact(track) if "eat" in kinds | target_kinds else track
        yield "keeps its colour", lambda: _check_colour(scene, uncovered)
        yield "moves without a jump", lambda: _check_jumps(scene, index, track, kinds, target_kinds)
        if not (kinds | target_kinds) & {"bounce", "spin", "hit"}:
            yield "does not shake", lambda: _check_shaking(track, [event for event in events if event.kind != "stop"])
        if not kinds & {"grow", "shrink", "enter", "leave", "bounce", "hide"}:
            yield "keeps its size", lambda: _check_size(scene, index, uncovered)
        if touched and kinds and kinds <= set(TRAVELS):
            outcomes = (_check_evenness(scene, track, event) for event in events)
            yield "moves evenly", lambda: next(filter(None, outcomes), None)


def _before_contact(track: TrackedActor) -> TrackedActor:
    """Mark all frames after the first contact as touched, because the eater then covers the actor more and more."""
    return dataclasses.replace(track, touched=np.logical_or.accumulate(track.touched))


def _has_colour(scene: TrackedClip, track: TrackedActor) -> Outcome:
    """Check that most pixels of the actor have its colour."""
    right = dominant_colour(scene.detections, track.trail) == track.actor.colour
    return None if right else ("TXT-ATT", int(np.argmax(track.found)))


def _check_event(scene: TrackedClip, track: TrackedActor, event: Event, others: list[Event]) -> Outcome:
    """Check that an event happens during its own time."""
    code = _missed(scene, track, event, event)
    if code is None:
        return None
    # An actor that is present too early or too late has no other time of entering or leaving.
    ordered = event.kind not in ("enter", "leave") and bool(others)
    if ordered and all(_missed(scene, track, event, other) is None for other in others):
        code = "TXT-ORD"
    return code, scene.during(event).stop - 1  # up to the last frame the event could still happen


def _missed(scene: TrackedClip, track: TrackedActor, event: Event, when: Event) -> str | None:
    """Return the failure code of an event during the time of `when`, or None."""
    frames = scene.during(when)
    found, edge, areas = track.found[frames], track.at_edge[frames], track.areas[frames]
    if event.kind in ("grow", "shrink"):
        ratio = _last_over_first(areas[~np.isnan(areas)])
        done = ratio >= MIN_GROWTH if event.kind == "grow" else ratio <= 1 / MIN_GROWTH
        return None if done else "TXT-ACT"
    if event.kind == "enter" and (not found.any() or (found[0] and not edge[0])):
        return "TXT-ACT"
    if event.kind == "leave" and (not found.any() or (found[-1] and not edge[-1])):
        return "TXT-ACT"
    if event.kind in (*TRAVELS, "enter", "leave") and event.direction:
        trail = Trail(track.trail.cells[frames], track.trail.centres[frames])
        along, across = step_towards(trail.travelled, event.direction)
        if along >= MIN_MOTION and along > across:
            return None
        return "MOT-STA" if max(abs(along), across) < MIN_MOTION else "MOT-DIR"
    return None


def _last_over_first(values: np.ndarray) -> float:
    """Return the median of the last quarter over that of the first, with at least one frame in each."""
    if len(values) < 2:
        return 1.0
    quarter = max(1, len(values) // 4)
    return float(np.median(values[-quarter:]) / max(float(np.median(values[:quarter])), 1e-6))


def _check_presence(scene: TrackedClip, index: int, track: TrackedActor, kinds: set[str]) -> Outcome:
    """Check that the actor is seen in every frame, except where it may be out of the frame or hidden."""
    truth = truth_of(scene.spec).visible_fraction[: scene.num_frames, index]
    excused = truth < MAX_HIDDEN
    times = np.flatnonzero(track.found)
    others = [other for other in scene.actors if other is not track]
    for t in np.flatnonzero(~track.found):
        nearest = times[np.abs(times - t).argmin()]
        here, reach = track.trail.centres[nearest], NEAR_WHEN_TOUCHED if track.touched[nearest] else NEAR
        close = any(np.linalg.norm(other.trail.centres[t] - here) < reach for other in others if other.found[t])
        passing = bool(track.at_edge[nearest]) and bool(kinds & {"enter", "leave", "come back"})
        excused[t] |= close or passing
    # Another actor covers this one, or has the same colour behind it.
    found = np.array([other.found for other in scene.actors]).T
    excused |= (overlaps(scene.spec, scene.num_frames)[:, index] & found).any(axis=1)
    away = absent_frames(scene, track)  # the return is another check
    excused |= away
    if "be eaten" in kinds:
        excused |= np.logical_or.accumulate(track.touched)  # the eater covers it gradually
    missing = ~track.found & ~excused
    may_end_unseen = track.found[-1] or away[-1] or kinds & {"leave", "be eaten"}
    longest_hidden = _longest(truth < MIN_SHOWN) + 2 * persistent_frames(scene.spec.fps)
    if not may_end_unseen and scene.num_frames - times[-1] > longest_hidden:
        missing[times[-1] + 1 :] = True
    if "enter" in kinds:
        missing[: times[0]] = False
        if not track.near_edge[times[0]]:
            return "OBJ-APP", int(times[0])
    if "leave" in kinds:
        missing[times[-1] :] = False
        if not track.near_edge[times[-1]] and not track.found[-1]:
            return "OBJ-DIS", int(times[-1]) + 1
    fault = first_run("OBJ-DIS", missing, scene.spec.fps)
    return ("OBJ-APP", int(times[0])) if fault and fault[1] < times[0] else fault


def _longest(flags: Bool[np.ndarray, " t"]) -> int:
    """Return the length of the longest run of true frames."""
    runs = "".join("x" if flag else " " for flag in flags).split()
    return max(map(len, runs), default=0)


def _check_colour(scene: TrackedClip, track: TrackedActor) -> Outcome:
    """Check that the actor has the same colour in its first and its last quarter."""
    seen = np.flatnonzero(track.found & ~track.touched)
    if len(seen) < 4:
        return None
    quarter = max(1, len(seen) // 4)
    same = same_colour(scene, track, seen[:quarter], seen[-quarter:])
    return None if same else ("ID-COL", int(seen[-quarter]))


def _check_size(scene: TrackedClip, index: int, track: TrackedActor) -> Outcome:
    """Check that the area in the last quarter is about that in the first."""
    seen = np.flatnonzero(track.alone & ~overlaps(scene.spec, scene.num_frames)[:, index].any(axis=1))
    if len(seen) < 4:
        return None
    ratio = _last_over_first(track.areas[seen])
    return ("ID-SIZ", int(seen[-1])) if not 1 / MAX_SIZE_CHANGE <= ratio <= MAX_SIZE_CHANGE else None


def _check_jumps(
    scene: TrackedClip, index: int, track: TrackedActor, kinds: set[str], target_kinds: set[str]
) -> Outcome:
    """Check that no step is far larger than the median step.

    For a bouncing actor only horizontal steps count; for one that meets another, only steps between neighbouring frames
    in full view; an actor that dashes after a rest may take the steps of a dash.
    """
    meeting = bool((kinds | target_kinds) & set(MEETINGS))
    allowed = FAST[1] / scene.spec.fps if "dash" in kinds else 0.0
    # The centre of the visible part shifts while another actor covers the rest.
    crossed = np.asarray(overlaps(scene.spec, scene.num_frames)[:, index].any(axis=1) & (not meeting))
    times = np.flatnonzero(track.alone if meeting else track.found & ~track.touched & ~crossed)
    if len(times) < 3:
        return None
    gaps = np.diff(times)
    axes = 1 if "bounce" in kinds else 2
    steps = np.linalg.norm(np.diff(track.trail.centres[times][:, :axes], axis=0), axis=1) / gaps
    jumps = steps * gaps > JUMP_FACTOR * np.median(steps) * gaps + JUMP_MARGIN + allowed * gaps
    jumps &= (gaps == 1) | (not meeting)
    jumps &= np.array([not crossed[a:b].any() for a, b in itertools.pairwise(times)])
    return ("MOT-JMP", int(times[1 + np.argmax(jumps)])) if jumps.any() else None


def _check_shaking(track: TrackedActor, events: list[Event]) -> Outcome:
    """Check that the actor does not reverse more often than its events do.

    Vertical motion counts only for an actor with vertical events, because gaits move up and down.
    """
    apart = track.found & ~track.touched
    times = np.flatnonzero(apart if apart.sum() >= 5 else track.found)
    if len(times) < 5:
        return None
    x, y = track.trail.centres[times].T
    rows = [(x, SHAKE_STEP)]
    if any(event.direction in ("up", "down") for event in events):
        rows.append((y, SHAKE_STEP))
    if any(event.kind in ("grow", "shrink") for event in events):
        rows.append((np.log(track.areas[times]) / 2, SHAKE_SIZE_STEP))
    for values, least in rows:
        steps = np.diff(values)
        large = np.abs(steps) >= max(least, SHAKE_SHARE * np.ptp(values))
        turns = (steps[:-1] * steps[1:] < 0) & large[:-1] & large[1:]
        if turns.sum() > max(1, len(events)):
            return "MOT-SHK", int(times[1 + np.argmax(turns)])
    return None


def _check_evenness(scene: TrackedClip, track: TrackedActor, event: Event) -> Outcome:
    """Check that the position is linear in time, along the direction of the event."""
    frames = scene.during(event)
    times = np.flatnonzero((track.found & ~track.at_edge)[frames]) + frames.start
    if event.direction is None or len(times) < 5:
        return None
    place = track.trail.centres[times, 0 if event.direction in ("left", "right") else 1]
    slope, start = np.polyfit(times, place, 1)
    distance = abs(slope) * (times[-1] - times[0])
    residual = place - (slope * times + start)
    if np.sqrt((residual**2).mean()) > max(MAX_UNEVENNESS * distance, MIN_DEVIATION):
        return "PHY-INR", int(times[np.abs(residual).argmax()])
    # A prompt does not say when an actor starts or turns, so only one that should move all the time must not halt.
    whole = event.start < PERSISTENT_SECONDS and event.end > scene.spec.seconds - PERSISTENT_SECONDS
    return _check_halt(times, place) if whole else None


def _check_halt(times: Int[np.ndarray, " n"], place: Float[np.ndarray, " n"]) -> Outcome:
    """Check that an actor that is always in view does not halt in its first or last frames."""
    few = max(4, round(HALT_PART * len(times)))
    if len(times) < few + 6 or np.diff(times).max() > 2:
        return None
    for part, others in ((slice(-few, None), slice(None, -few)), (slice(None, few), slice(few, None))):
        here, there = (float(np.polyfit(times[some], place[some], 1)[0]) for some in (part, others))
        if abs(there) * np.ptp(times[part]) >= HALT_DISTANCE and here * np.sign(there) < HALT_SPEED * abs(there):
            return "PHY-INR", int(times[part][0])
    return None


def _clip_checks(scene: TrackedClip, missing: bool) -> Iterator[Check]:
    """Run the checks of the whole picture."""
    if not missing:  # a thing in place of a missing actor belongs to that failure
        yield Check.of("nobody else is there", _check_strangers(scene))
    yield Check.of("is at its place", None if _nearest_backdrop(scene) == scene.spec.backdrop else ("TXT-PLC", 0))
    yield Check.of("is sharp", _check_sharpness(scene))
    if scene.num_frames > 1 and scene.spec.camera.kind == "still":
        jumps, grain = _flicker_and_noise(scene)
        yield Check.of(
            "does not flicker", ("VIS-FLK", int(jumps.argmax()) + 1) if np.max(jumps) > MAX_FLICKER else None
        )
        yield Check.of(
            "is free of noise", ("VIS-NSE", int(grain.argmax()) + 1) if np.median(grain) > MAX_NOISE else None
        )
    if scene.spec.seconds >= MIN_SECONDS and scene.spec.camera.kind == "still":
        fault, numbers = check_drift(scene)
        yield dataclasses.replace(Check.of(DRIFT_CHECK, fault), measured=numbers)


def _check_strangers(scene: TrackedClip) -> Outcome:
    struck = [event.target for event in scene.spec.events if event.kind == "hit"]
    # An actor that is half out of the frame may look like another kind.
    half_out = np.zeros(scene.num_frames, bool)
    for index, track in enumerate(scene.actors):
        visible = truth_of(scene.spec).visible_fraction[: scene.num_frames, index]
        passing = (visible > 0) & (visible < MIN_SHOWN) & _enters_or_leaves(scene, track)
        half_out |= ~track.found & ((track.actor.id in struck) | passing)
    fault = first_run("TXT-EXT", scene.strangers & ~half_out, scene.spec.fps)
    return ("OBJ-APP", fault[1]) if fault and fault[1] > persistent_frames(scene.spec.fps) else fault


def _enters_or_leaves(scene: TrackedClip, track: TrackedActor) -> bool:
    return any(event.kind in ("enter", "leave") and event.actor == track.actor.id for event in scene.spec.events)


def _nearest_backdrop(scene: TrackedClip) -> str:
    """Return the backdrop that is most similar to the picture without the actors, row by row."""
    empty = _without_actors(scene)
    seen = ~np.isnan(empty[..., 0])
    rows = seen.mean(axis=1) >= 0.2
    if not rows.any():
        return scene.spec.backdrop  # everything is hidden
    found = _profile(empty, seen, rows)
    distances = {}
    for name in SCOPES["wide"].backdrops:
        # Clouds and hills vary with the seed, so the nearest of three variations counts.
        truths = (_profile(_cached_backdrop(name, *seen.shape[::-1], seed), seen, rows) for seed in range(3))
        distances[name] = min(float(np.linalg.norm(found - truth, axis=1).mean()) for truth in truths)
    return min(distances, key=lambda name: distances[name])


def _profile(picture: np.ndarray, seen: Bool[np.ndarray, "h w"], rows: np.ndarray) -> Float[np.ndarray, "r 3"]:
    """Return the median colour of the visible pixels of each row."""
    medians = [np.median(picture[y][seen[y]], axis=0) for y in np.flatnonzero(rows)]
    return to_lab(np.array(medians).round().astype(np.uint8))


@functools.lru_cache(maxsize=256)
def _cached_backdrop(name: str, width: int, height: int, seed: int) -> np.ndarray:
    return flat_backdrop(name, width, height, seed)


def _without_actors(scene: TrackedClip) -> Float[np.ndarray, "h w 3"]:
    """Return the median over time of the background at every pixel, NaN where it is never visible."""
    frames = np.where(scene.backdrop[..., None], scene.frames.astype(np.float32), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN is a valid result
        return np.nanmedian(frames, axis=0)


def _check_sharpness(scene: TrackedClip) -> Outcome:
    """Check that the edges are at least half as steep as those of the true clip."""
    whole = np.flatnonzero(np.all([np.ones(scene.num_frames, bool), *(track.found for track in scene.actors)], axis=0))
    whole = whole if len(whole) else np.arange(scene.num_frames)
    some = whole[:: max(1, len(whole) // 4)]
    truth = scaled(render(scene.spec).frames[some])
    ratio = _steepness(scene.frames[some]) / max(_steepness(truth), 1e-6)
    return ("VIS-BLR", 0) if ratio < MIN_SHARPNESS else None


def _steepness(frames: Frames) -> float:
    """Return the 98th percentile of the gradient of brightness."""
    return float(np.percentile(gradients(frames.astype(np.float32).mean(axis=3)), 98))


def _flicker_and_noise(scene: TrackedClip) -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """Return the change of the mean of the background at each step, and the mean deviation of its pixels from that."""
    grey, mask = scene.frames.astype(np.float32).mean(axis=3), scene.backdrop
    jumps, grain = np.zeros(scene.num_frames - 1), np.zeros(scene.num_frames - 1)
    for t in range(scene.num_frames - 1):
        change = (grey[t + 1] - grey[t])[mask[t] & mask[t + 1]]
        if len(change):
            jumps[t] = abs(change.mean())
            grain[t] = np.abs(change - change.mean()).mean()
    return jumps, grain
