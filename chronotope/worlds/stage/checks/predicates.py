"""Checks compiled from a spec: what must be true of a video of it, each with the failure it shows where it is not.

A check never reads the prompt. It looks at what `tracking` found, at the frames, and at what the stage itself does with this spec;
where the stage leaves something open (how fast, how far) so does the check.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome
from chronotope.worlds.persistence import PERSISTENT_SECONDS, first_run, persistent_frames, steadily_seen
from chronotope.worlds.stage.backdrops import flat_backdrop
from chronotope.worlds.stage.checks.actions import action_checks, until_it_stops
from chronotope.worlds.stage.checks.attributes import (
    FARTHEST_STILL,
    SEEN_SHARE,
    Detections,
    Trail,
    colour_votes,
    detect,
    mean_colour,
    perceived,
    step_towards,
)
from chronotope.worlds.stage.checks.detector import Detector, scaled
from chronotope.worlds.stage.checks.drift import ALIKE, LONG, drifts
from chronotope.worlds.stage.checks.identity import identity_checks
from chronotope.worlds.stage.checks.interactions import MEETINGS, interaction_checks
from chronotope.worlds.stage.checks.permanence import (
    DRIFT_OF_COLOUR,
    DRIFT_OF_SIZE,
    GROWN,
    absence_checks,
    fates,
    permanence_checks,
    times_away,
)
from chronotope.worlds.stage.checks.tracking import TRAVELS, TrackedActor, TrackedClip, overlaps, track_actors, truth_of
from chronotope.worlds.stage.occlusion import absences
from chronotope.worlds.stage.reappearance import FAST
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Event, Spec

__all__ = ["check", "check_scene"]

SHOWN, HIDDEN = 0.6, 0.5  # of an actor's pixels: the truth shows it; the truth lets it be missed
JUMP = 3.0, 0.12  # times the median step, and short sides
SHAKING = (
    0.03,
    0.08,
    0.15,
)  # steps that count: short sides, steps of the logarithm of the size, and the share of the whole extent
UNEVEN = 0.13  # root mean square distance from even motion, over the way that was made
STANDS, PART, LEAST = (
    0.2,
    0.35,
    0.06,
)  # of the others' speed, in the first or the last part of its frames, in which it should go so far
FLICKER, NOISE = 6.0, 4.0  # levels of 255
BLURRED = 0.5
_JUDGED = (*TRAVELS, "enter", "leave", "grow", "shrink")  # the deeds that can be seen so far


def check(detector: Detector, spec: Spec, frames: Frames) -> tuple[Check, ...]:
    """Everything that must be true of a video of this spec; the clip may have any size, and as many frames as the spec."""
    return check_scene(track_actors(detect(detector, frames), spec))


def check_scene(scene: TrackedClip) -> tuple[Check, ...]:
    """The same for a clip in which everybody has been followed already."""
    found: list[Check] = []
    for place, one in enumerate(scene.actors):
        found += _actor_checks(scene, place, one)
    missing = any(check.name == "is there" and not check.holds for check in found)
    return (*found, *_clip_checks(scene, missing))


def _actor_checks(scene: TrackedClip, place: int, one: TrackedActor) -> Iterator[Check]:
    """Everything about one actor. Of somebody who is not there nothing else can be true either."""
    visible = truth_of(scene.spec).visible_fraction[:, place]
    shown = visible >= SHOWN
    there = one.found.any() and (
        one.trail.seen_share >= SEEN_SHARE * shown.mean() or steadily_seen(one.found, persistent_frames(scene.spec.fps))
    )
    wanted = tuple(_predicates(scene, place, one))
    if not there:
        first = int(np.argmax(shown)) if shown.any() else 0
        yield from (Check(name, one.actor.id, "TXT-CNT", first) for name in ("is there", *(name for name, _ in wanted)))
        return
    yield Check("is there", one.actor.id)
    for name, look in wanted:
        yield Check.of(name, look(), one.actor.id)


def _predicates(scene: TrackedClip, place: int, one: TrackedActor) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Which predicates the spec asks of an actor, by name."""
    spec, actor = scene.spec, one.actor
    events = until_it_stops(
        sorted((e for e in spec.events if e.actor == actor.id and e.kind != "beside"), key=lambda e: e.start)
    )
    kinds = {event.kind for event in events}
    suffered = {event.kind for event in spec.events if event.target == actor.id}
    touched = any(actor.id in (e.actor, e.target) for e in spec.events)
    if actor.colour:
        yield (
            "has its colour",
            lambda: None if _coloured(scene.sight, one, actor.colour or "") else ("TXT-ATT", _first(one)),
        )
    away = absences(spec, actor.id)
    unseen = [event for event in events if any(absence.covers(event) or absence.back == event for absence in away)]
    judged = [event for event in events if event.kind in _JUDGED and event not in unseen]
    for number, event in enumerate(judged):
        yield (
            f"{event.kind} {event.direction or ''}".strip(),
            _deed(scene, one, event, judged[:number] + judged[number + 1 :]),
        )
    yield from action_checks(scene, place, one)
    yield from interaction_checks(scene, one)
    yield from permanence_checks(scene, place, one)
    yield from absence_checks(scene, one)
    yield from identity_checks(scene, place, one)
    yield "is one", lambda: first_run("OBJ-DUP", one.doubles, scene.spec.fps)
    if scene.num_frames > 1:
        fate = (
            fates(events, away)
            | ({"leave"} if "hit" in suffered else set())
            | ({"be eaten"} if "eat" in suffered else set())
        )  # struck, it may fly out
        yield "stays in being", lambda: _persists(scene, place, one, fate)
        calm = _before_contact(one) if "eat" in kinds | suffered else one
        yield "keeps its colour", lambda: _keeps_colour(scene, calm)
        yield (
            "moves without a jump",
            lambda: _smooth(
                scene,
                place,
                one,
                "bounce" in kinds,
                bool((kinds | suffered) & set(MEETINGS)),
                FAST[1] / spec.fps if "dash" in kinds else 0.0,
            ),
        )
        if not (kinds | suffered) & {"bounce", "spin", "hit"}:
            yield "does not shake", lambda: _shakes(one, [event for event in events if event.kind != "stop"])
        if not kinds & {"grow", "shrink", "enter", "leave", "bounce", "hide"}:
            yield "keeps its size", lambda: _keeps_size(scene, place, calm)
        if touched and kinds and kinds <= set(TRAVELS):
            yield "moves evenly", lambda: next(filter(None, (_even(scene, one, event) for event in events)), None)


def _first(one: TrackedActor) -> int:
    return int(np.argmax(one.found))


def _before_contact(one: TrackedActor) -> TrackedActor:
    """Only until another stands at it, which then covers it more and more."""
    return dataclasses.replace(one, touched=np.logical_or.accumulate(one.touched))


def _coloured(sight: Detections, one: TrackedActor, colour: str) -> bool:
    votes = colour_votes(sight, one.trail)
    return bool(votes) and max(votes, key=lambda name: votes[name]) == colour


def _deed(scene: TrackedClip, one: TrackedActor, event: Event, others: list[Event]) -> Callable[[], Outcome]:
    """Is this event seen in its time?"""

    def look() -> Outcome:
        code = _missed(scene, one, event, event)
        going = event.kind not in (
            "enter",
            "leave",
        )  # who is there already, or still, does not come or go at another time either
        if code and going and others and all(_missed(scene, one, event, other) is None for other in others):
            code = "TXT-ORD"  # it is seen, in the time of the others
        return (code, scene.during(event).stop - 1) if code else None  # until then it could still have been done

    return look


def _missed(scene: TrackedClip, one: TrackedActor, event: Event, when: Event) -> str | None:
    """How this event fails in the time of `when`."""
    frames = scene.during(when)
    found, edge, areas = one.found[frames], one.at_edge[frames], one.areas[frames]
    if event.kind in ("grow", "shrink"):
        ratio = _last_over_first(areas[~np.isnan(areas)])
        return None if (ratio >= GROWN if event.kind == "grow" else ratio <= 1 / GROWN) else "TXT-ACT"
    if event.kind == "enter" and (not found.any() or (found[0] and not edge[0])):
        return "TXT-ACT"
    if event.kind == "leave" and (not found.any() or (found[-1] and not edge[-1])):
        return "TXT-ACT"
    if event.kind in (*TRAVELS, "enter", "leave") and event.direction:
        along, across = step_towards(
            Trail(one.trail.cells[frames], one.trail.centres[frames]).travelled, event.direction
        )
        if along >= FARTHEST_STILL and along > across:
            return None
        return "MOT-STA" if max(abs(along), across) < FARTHEST_STILL else "MOT-DIR"
    return None


def _last_over_first(values: np.ndarray) -> float:
    """The median of the last quarter over that of the first, at least a frame each."""
    if len(values) < 2:
        return 1.0
    quarter = max(1, len(values) // 4)
    return float(np.median(values[-quarter:]) / max(float(np.median(values[:quarter])), 1e-6))


def _persists(scene: TrackedClip, place: int, one: TrackedActor, kinds: set[str]) -> Outcome:
    """Seen from the beginning to the end, but where it may be out of the frame or hidden."""
    truth = truth_of(scene.spec).visible_fraction[: scene.num_frames, place]
    excused = truth < HIDDEN
    times = np.flatnonzero(one.found)
    others = [other for other in scene.actors if other is not one]
    for t in np.flatnonzero(~one.found):
        nearest = times[np.abs(times - t).argmin()]
        here = one.trail.centres[nearest]
        close = [
            np.linalg.norm(other.trail.centres[t] - here) < (0.6 if one.touched[nearest] else 0.3)
            for other in others
            if other.found[t]
        ]
        excused[t] |= any(close)
        excused[t] |= bool(one.at_edge[nearest]) and bool(kinds & {"enter", "leave", "come back"})
    # somebody stands before it, or it before somebody of its colour
    excused |= (
        overlaps(scene.spec, scene.num_frames)[:, place] & np.array([other.found for other in scene.actors]).T
    ).any(axis=1)
    away = times_away(scene, one)  # whether it comes back from there is another question
    excused |= away
    if "be eaten" in kinds:
        excused |= np.logical_or.accumulate(one.touched)  # whoever eats it covers it first
    missing = ~one.found & ~excused
    if (
        not one.found[-1]
        and not away[-1]
        and not kinds & {"leave", "be eaten"}
        and scene.num_frames - times[-1] > _longest(truth < SHOWN) + 2 * persistent_frames(scene.spec.fps)
    ):
        missing[times[-1] + 1 :] = True  # longer than anybody could be hidden here
    if "enter" in kinds:
        missing[: times[0]] = False
        if not one.near_edge[times[0]]:
            return "OBJ-APP", int(times[0])
    if "leave" in kinds:
        missing[times[-1] :] = False
        if not one.near_edge[times[-1]] and not one.found[-1]:
            return "OBJ-DIS", int(times[-1]) + 1
    fault = first_run("OBJ-DIS", missing, scene.spec.fps)
    return ("OBJ-APP", int(times[0])) if fault and fault[1] < times[0] else fault


def _longest(flags: Bool[np.ndarray, " t"]) -> int:
    """The length of the longest run of true frames."""
    runs = "".join("x" if flag else " " for flag in flags).split()
    return max(map(len, runs), default=0)


def _keeps_colour(scene: TrackedClip, one: TrackedActor) -> Outcome:
    """A shape has one colour, which must be the same at both ends; of other things, whose sides differ, the mean may not go far."""
    seen = np.flatnonzero(one.found & ~one.touched)
    if len(seen) < 4:
        return None
    quarter = max(1, len(seen) // 4)
    first, last = (one.trail.only(part) for part in (seen[:quarter], seen[-quarter:]))
    if one.actor.colour:
        before, after = (colour_votes(scene.sight, part) for part in (first, last))
        same = max(before, key=lambda name: before[name]) == max(after, key=lambda name: after[name])
    else:
        same = bool(np.linalg.norm(mean_colour(scene.sight, first) - mean_colour(scene.sight, last)) <= DRIFT_OF_COLOUR)
    return None if same else ("ID-COL", int(seen[-quarter]))


def _keeps_size(scene: TrackedClip, place: int, one: TrackedActor) -> Outcome:
    seen = np.flatnonzero(one.alone & ~overlaps(scene.spec, scene.num_frames)[:, place].any(axis=1))
    if len(seen) < 4:
        return None
    ratio = _last_over_first(one.areas[seen])
    return ("ID-SIZ", int(seen[-1])) if not 1 / DRIFT_OF_SIZE <= ratio <= DRIFT_OF_SIZE else None


def _smooth(
    scene: TrackedClip,
    place: int,
    one: TrackedActor,
    falling: bool = False,
    meeting: bool = False,
    allowed: float = 0.0,
) -> Outcome:
    """No step is far larger than the others; of who falls, sideways; of who meets somebody, only neighbouring frames in full view count.

    Who rushes after a rest may take steps as large as `allowed` all the same.
    """
    # what is seen of it while it crosses another has another middle
    crossed = np.asarray(overlaps(scene.spec, scene.num_frames)[:, place].any(axis=1) & (not meeting))
    times = np.flatnonzero(one.alone if meeting else one.found & ~one.touched & ~crossed)
    if len(times) < 3:
        return None
    steps = np.linalg.norm(np.diff(one.trail.centres[times][:, : 1 if falling else 2], axis=0), axis=1) / np.diff(times)
    times_of_median, floor = JUMP
    far = steps * np.diff(times) > times_of_median * np.median(steps) * np.diff(times) + floor + allowed * np.diff(
        times
    )
    far &= (np.diff(times) == 1) | (not meeting)
    far &= np.array([not crossed[a:b].any() for a, b in itertools.pairwise(times)])
    return ("MOT-JMP", int(times[1 + np.argmax(far)])) if far.any() else None


def _shakes(one: TrackedActor, events: list[Event]) -> Outcome:
    """It turns back more often than its deeds do; up and down only where it is sent there, for steps and hops go up and down too."""
    apart = one.found & ~one.touched
    times = np.flatnonzero(apart if apart.sum() >= 5 else one.found)
    if len(times) < 5:
        return None
    x, y = one.trail.centres[times].T
    step, size_step, share = SHAKING
    rows = [(x, step)]
    rows += [(y, step)] if any(event.direction in ("up", "down") for event in events) else []
    rows += (
        [(np.log(one.areas[times]) / 2, size_step)] if any(event.kind in ("grow", "shrink") for event in events) else []
    )
    for values, least in rows:
        steps = np.diff(values)
        large = np.abs(steps) >= max(least, share * np.ptp(values))
        turns = (steps[:-1] * steps[1:] < 0) & large[:-1] & large[1:]
        if turns.sum() > max(1, len(events)):
            return "MOT-SHK", int(times[1 + np.argmax(turns)])
    return None


def _even(scene: TrackedClip, one: TrackedActor, event: Event) -> Outcome:
    """A straight line through place over time, in the direction of the event (gaits move up and down)."""
    frames = scene.during(event)
    times = np.flatnonzero((one.found & ~one.at_edge)[frames]) + frames.start
    if event.direction is None or len(times) < 5:
        return None
    place = one.trail.centres[times, 0 if event.direction in ("left", "right") else 1]
    slope, start = np.polyfit(times, place, 1)
    way = abs(slope) * (times[-1] - times[0])
    rest = place - (slope * times + start)
    if np.sqrt((rest**2).mean()) > max(UNEVEN * way, 0.02):
        return "PHY-INR", int(times[np.abs(rest).argmax()])
    # words do not say when somebody sets out or turns, so only who should be under way all the time may not stand
    whole = event.start < PERSISTENT_SECONDS and event.end > scene.spec.seconds - PERSISTENT_SECONDS
    return _stands(times, place) if whole else None


def _stands(times: Int[np.ndarray, " n"], place: Float[np.ndarray, " n"]) -> Outcome:
    """In its first or its last frames it hardly moves, while it goes far in the others; asked of who is in view all the time."""
    few = max(4, round(PART * len(times)))
    if len(times) < few + 6 or np.diff(times).max() > 2:
        return None
    for part, others in ((slice(-few, None), slice(None, -few)), (slice(None, few), slice(few, None))):
        here, there = (float(np.polyfit(times[some], place[some], 1)[0]) for some in (part, others))
        if abs(there) * np.ptp(times[part]) >= LEAST and here * np.sign(there) < STANDS * abs(there):
            return "PHY-INR", int(times[part][0])
    return None


def _clip_checks(scene: TrackedClip, missing: bool) -> Iterator[Check]:
    """What must be true of the whole picture."""
    if not missing:  # what is there instead of somebody is that failure already
        yield Check.of("nobody else is there", _nobody_else(scene))
    yield Check.of("is at its place", None if _place(scene) == scene.spec.backdrop else ("TXT-PLC", 0))
    yield Check.of("is sharp", _sharp(scene))
    if scene.num_frames > 1 and scene.spec.camera.kind == "still":
        jumps, grain = _restlessness(scene)
        yield Check.of("does not flicker", ("VIS-FLK", int(jumps.argmax()) + 1) if np.max(jumps) > FLICKER else None)
        yield Check.of("is free of noise", ("VIS-NSE", int(grain.argmax()) + 1) if np.median(grain) > NOISE else None)
    if scene.spec.seconds >= LONG and scene.spec.camera.kind == "still":
        fault, numbers = drifts(scene)
        yield dataclasses.replace(Check.of(ALIKE, fault), measured=numbers)


def _nobody_else(scene: TrackedClip) -> Outcome:
    struck = [event.target for event in scene.spec.events if event.kind == "hit"]
    # who is half out of the frame looks like something else
    half_out = np.zeros(scene.num_frames, bool)
    for place, one in enumerate(scene.actors):
        visible = truth_of(scene.spec).visible_fraction[: scene.num_frames, place]
        half_out |= ~one.found & (
            (one.actor.id in struck) | ((visible > 0) & (visible < SHOWN) & _comes_and_goes(scene, one))
        )
    fault = first_run("TXT-EXT", scene.strangers & ~half_out, scene.spec.fps)
    return ("OBJ-APP", fault[1]) if fault and fault[1] > persistent_frames(scene.spec.fps) else fault


def _comes_and_goes(scene: TrackedClip, one: TrackedActor) -> bool:
    return any(event.kind in ("enter", "leave") and event.actor == one.actor.id for event in scene.spec.events)


def _place(scene: TrackedClip) -> str:
    """The backdrop of the stage that the picture without the actors is most like, row by row."""
    empty = _without_actors(scene)
    seen = ~np.isnan(empty[..., 0])
    rows = seen.mean(axis=1) >= 0.2
    if not rows.any():
        return scene.spec.backdrop  # everything is hidden: nothing can be said
    found = _profile(empty, seen, rows)
    distances = {}
    for name in SCOPES["wide"].backdrops:
        # clouds and the like stand elsewhere each time: the nearest of a few counts
        truths = (_profile(_backdrop(name, *seen.shape[::-1], seed), seen, rows) for seed in range(3))
        distances[name] = min(float(np.linalg.norm(found - truth, axis=1).mean()) for truth in truths)
    return min(distances, key=lambda name: distances[name])


def _profile(
    picture: np.ndarray, seen: Bool[np.ndarray, "h w"], rows: Bool[np.ndarray, " h"]
) -> Float[np.ndarray, "r 3"]:
    """The median colour of what is seen of each row."""
    medians = [np.median(picture[y][seen[y]], axis=0) for y in np.flatnonzero(rows)]
    return perceived(np.array(medians).round().astype(np.uint8))


@functools.lru_cache(maxsize=256)
def _backdrop(name: str, width: int, height: int, seed: int) -> np.ndarray:
    return flat_backdrop(name, width, height, seed)


def _without_actors(scene: TrackedClip) -> Float[np.ndarray, "h w 3"]:
    """The median over time of every pixel where nobody stands; NaN where somebody always does."""
    frames = np.where(scene.backdrop[..., None], scene.sight.frames.astype(np.float32), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN, which is an answer
        return np.nanmedian(frames, axis=0)


def _sharp(scene: TrackedClip) -> Outcome:
    """The steepest edges beside those of the truth, both as the detector sees them."""
    whole = (
        np.flatnonzero(np.all([one.found for one in scene.actors], axis=0))
        if scene.actors
        else np.arange(scene.num_frames)
    )
    whole = whole if len(whole) else np.arange(scene.num_frames)
    some = whole[:: max(1, len(whole) // 4)]
    truth = scaled(render(scene.spec).frames[some])
    ratio = _steepness(scene.sight.frames[some]) / max(_steepness(truth), 1e-6)
    return ("VIS-BLR", 0) if ratio < BLURRED else None


def _steepness(frames: Frames) -> float:
    """The 98th percentile of the size of the gradient of brightness."""
    grey = frames.astype(np.float32).mean(axis=3)
    return float(np.percentile(np.hypot(np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]), 98))


def _restlessness(scene: TrackedClip) -> tuple[Float[np.ndarray, " steps"], Float[np.ndarray, " steps"]]:
    """Of each step between frames, over the resting backdrop: how far its mean moves, and the mean size of what is left of each pixel."""
    grey, mask = scene.sight.frames.astype(np.float32).mean(axis=3), scene.backdrop
    jumps, grain = np.zeros(scene.num_frames - 1), np.zeros(scene.num_frames - 1)
    for t in range(scene.num_frames - 1):
        change = (grey[t + 1] - grey[t])[mask[t] & mask[t + 1]]
        if len(change):
            jumps[t] = abs(change.mean())
            grain[t] = np.abs(change - change.mean()).mean()
    return jumps, grain
