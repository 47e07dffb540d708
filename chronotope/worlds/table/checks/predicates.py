"""Compile checks from a table spec: what must be true of a video of it, each with the failure that it shows otherwise.

A check reads no prompt and needs no detector: `tracking` finds solids by colour, and `geometry` converts their
positions to metres by the camera of the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool

from chronotope.geometry import Frames
from chronotope.worlds.check import Check, Outcome, succeeds
from chronotope.worlds.persistence import first_run, persistent_frames, steadily_seen
from chronotope.worlds.table.camera import View
from chronotope.worlds.table.checks.actions import TRAVEL_EVENTS, action_checks, longest_true_step, stays_still
from chronotope.worlds.table.checks.camera import (
    OrbitFit,
    closes_loop,
    fit_orbit,
    follows_path,
    fully_visible,
    is_rigid,
)
from chronotope.worlds.table.checks.gravity import fall_checks
from chronotope.worlds.table.checks.tracking import ColourTrack, TrackedScene, track_solids, unsupported
from chronotope.worlds.table.materials import TABLE_COLOURS
from chronotope.worlds.table.spec import TableSpec

__all__ = ["check", "check_tracked", "succeeds", "unsupported"]

MIN_SEEN_SHARE = 0.5  # of the frames in which the truth shows the actor
MIN_FRAMES = 3  # frames with detections, of an actor that disappears or appears late
MIN_SHOWN, MAX_HIDDEN = 0.6, 0.35  # of an actor's pixels: with more the truth shows it; with less it may be missed
MAX_SIZE_CHANGE = 1.6  # times the area expected at this distance
JUMP_FACTOR, JUMP_MARGIN = 1.6, 0.1  # times the longest true step, plus short sides
MIN_TRUE_MOTION = 0.1  # short sides: smaller motion is not checked
MIN_MOTION_SHARE = 0.3  # of the true motion in the picture
MIN_AREA_RATIO, MAX_AREA_RATIO = 0.4, 2.5  # of a patch in another colour that replaces an actor
TABLE_MARGIN = 20.0  # levels by which another table colour must be nearer
Predicates = Iterator[tuple[str, Callable[[], Outcome]]]


def check(spec: TableSpec, frames: Frames) -> tuple[Check, ...]:
    """Check a video of a spec; the clip has the size and the number of frames of the spec."""
    return check_tracked(track_solids(spec, frames))


def check_tracked(scene: TrackedScene) -> tuple[Check, ...]:
    """Check a video in which all solids have been tracked."""
    orbit = fit_orbit(scene)
    path = orbit.path if orbit else scene.truth.views
    found: list[Check] = []
    for i, actor in enumerate(scene.spec.actors):
        missing = _check_missing(scene, i)
        found.append(Check.of("is there", missing, actor.id))
        for name, evaluate in (*_predicates(scene, i), *(() if missing else _event_checks(scene, path, i))):
            found.append(Check.of(name, missing or evaluate(), actor.id))
    complete = all(result.holds for result in found if result.name == "is there")
    return (*found, *_clip_checks(scene, orbit, complete))


def _check_missing(scene: TrackedScene, i: int) -> Outcome:
    """Check that the actor is seen where the truth shows it; a patch of its size in another colour may replace it."""
    track, shown = scene.actors[i], scene.truth.visible[:, i] >= MIN_SHOWN
    before_contact = shown & scene.truth.untouched[:, i]
    if before_contact.sum() >= 2:
        shown = before_contact
    share = track.found[shown].mean() if shown.any() else 1.0
    if share >= MIN_SEEN_SHARE or steadily_seen(track.found, max(MIN_FRAMES, persistent_frames(scene.spec.fps))):
        return None
    first = int(np.argmax(shown))
    return ("TXT-ATT" if _replacement_colour(scene, i, shown) else "TXT-CNT"), first


def _replacement_colour(scene: TrackedScene, i: int, frames: Bool[np.ndarray, " t"]) -> str | None:
    """Return the colour of a patch of about the actor's size that is there in most of these frames, or None."""
    size = scene.truth.whole[:, i] * scene.truth.visible[:, i]
    for other in scene.others:
        fits = other.found & (other.areas > MIN_AREA_RATIO * size) & (other.areas < MAX_AREA_RATIO * size)
        if frames.any() and fits[frames].mean() >= MIN_SEEN_SHARE:
            return other.colour
    return None


def _predicates(scene: TrackedScene, i: int) -> Predicates:
    """Yield the checks that apply to every actor."""
    track = scene.actors[i]
    yield "is one", lambda: first_run("OBJ-DUP", track.duplicates, scene.spec.fps)
    if scene.num_frames > 1:
        yield "stays in being", lambda: _check_presence(scene, i)
        yield "keeps its size", lambda: _check_size(scene, i)
        yield "moves without a jump", lambda: _check_jumps(scene, i)


def _event_checks(scene: TrackedScene, path: tuple[View, ...], i: int) -> Predicates:
    """Yield the checks of an actor's events, or of their absence."""
    spec, actor = scene.spec, scene.spec.actors[i]
    for event in (event for event in spec.events if event.actor == actor.id):
        if event.kind in TRAVEL_EVENTS:
            yield from action_checks(scene, path, event)
        else:
            yield from fall_checks(scene, path, i, event)
    if scene.num_frames > 2:
        yield "is seen to move", lambda: _check_motion(scene, i)
    if scene.truth.rests[i] and spec.camera.kind == "still" and scene.num_frames > 2:
        yield "rests", lambda: stays_still(scene, i)


def _check_presence(scene: TrackedScene, i: int) -> Outcome:
    """Check that the actor is seen in every frame, except where it may be hidden or, after a contact, covered."""
    track, truth = scene.actors[i], scene.truth
    excused = truth.visible[:, i] < MAX_HIDDEN
    times = np.flatnonzero(track.found)
    if not len(times):
        return None
    for t in np.flatnonzero(~track.found & ~excused):
        nearest = int(times[np.abs(times - t).argmin()])
        clear = not truth.untouched[t, i]  # after a contact it may go where the truth does not
        covered = any(_covers(other, int(t), track.centres[nearest]) for other in scene.actors if other is not track)
        excused[t] = covered or (clear and bool(track.touched[nearest].any() or track.at_edge[nearest]))
    missing = ~track.found & ~excused
    fault = first_run("OBJ-DIS", missing, scene.spec.fps)
    if fault is None:
        return None
    if _replacement_colour(scene, i, missing):
        return "ID-COL", fault[1]
    return ("OBJ-APP", int(times[0])) if fault[1] < times[0] else fault


def _covers(other: ColourTrack, t: int, position: np.ndarray) -> bool:
    """Tell whether another solid covers the position where the actor was last seen."""
    left, top, right, bottom = other.boxes[t]
    return bool(left - 2 <= position[0] <= right + 2 and top - 2 <= position[1] <= bottom + 2)


def _check_size(scene: TrackedScene, i: int) -> Outcome:
    """Check that the ratio of the area to that of the true outline stays constant, up to the first contact."""
    clear = fully_visible(scene, i) & (scene.truth.visible[:, i] >= 0.97)
    clear &= scene.truth.untouched[:, i] | scene.truth.rests[i]
    seen = np.flatnonzero(clear)
    if len(seen) < 4:
        return None
    ratios, quarter = scene.actors[i].areas[seen] / np.maximum(scene.truth.whole[seen, i], 1), max(1, len(seen) // 4)
    change = float(np.median(ratios[-quarter:]) / np.median(ratios[:quarter]))
    return None if 1 / MAX_SIZE_CHANGE <= change <= MAX_SIZE_CHANGE else ("ID-SIZ", int(seen[-quarter]))


def _check_motion(scene: TrackedScene, i: int) -> Outcome:
    """Check that an actor whose true picture moves far, by its own motion or the camera's, moves in the video."""
    truth = scene.truth.centres[:, i]
    times = np.flatnonzero(scene.actors[i].found & ~np.isnan(truth[:, 0]) & scene.truth.untouched[:, i])
    if len(times) < 3:
        return None
    expected, found = (float(np.hypot(*np.ptp(centres[times], axis=0))) for centres in (truth, scene.actors[i].centres))
    if expected < MIN_TRUE_MOTION * scene.short or found >= MIN_MOTION_SHARE * expected:
        return None
    return "CAM-DIR" if scene.truth.rests[i] else "MOT-STA", int(times[-1])


def _check_jumps(scene: TrackedScene, i: int) -> Outcome:
    """Check that no step is far longer than the longest true step of any actor."""
    seen, centres = fully_visible(scene, i), scene.actors[i].centres
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    limit = JUMP_FACTOR * longest_true_step(scene) + JUMP_MARGIN * scene.short
    jumps = seen[1:] & seen[:-1] & (steps > limit)
    return ("MOT-JMP", int(np.argmax(jumps)) + 1) if jumps.any() else None


def _clip_checks(scene: TrackedScene, orbit: OrbitFit | None, complete: bool) -> Iterator[Check]:
    """Yield the checks of the whole picture."""
    if complete:  # a thing in place of a missing actor belongs to that failure
        yield Check.of("nobody else is there", _check_strangers(scene))
    yield Check.of("is on its table", _check_table(scene))
    if scene.spec.camera.kind == "still":
        yield Check.of("the camera stands", _check_still_camera(scene))
    if orbit is None:
        return
    yield Check.of("the camera goes as asked", follows_path(scene, orbit))
    if len(orbit.resting) > 1 and scene.spec.camera.kind != "still":
        yield Check.of("what rests fits one camera", is_rigid(scene, orbit))
    if scene.spec.camera.kind == "round":
        yield Check.of("ends as it began", closes_loop(scene, orbit))


def _check_still_camera(scene: TrackedScene) -> Outcome:
    """Check that the resting actors do not all move at once."""
    resting = np.flatnonzero(scene.truth.rests)
    faults = [stays_still(scene, int(i)) for i in resting] if scene.num_frames > 2 else []
    return ("CAM-DIR", min(fault[1] for fault in faults if fault)) if len(faults) > 1 and all(faults) else None


def _check_strangers(scene: TrackedScene) -> Outcome:
    """Check that no patch has a colour of no actor, away from all actors.

    A patch that replaces an actor in the middle of the clip belongs to that failure.
    """
    for other in scene.others:
        fault = first_run("TXT-EXT", other.found & ~other.touched.any(axis=1), scene.spec.fps)
        if fault and all(_check_presence(scene, i) is None for i in range(len(scene.actors))):
            late = np.argmax(other.found) > persistent_frames(scene.spec.fps)
            return ("OBJ-APP" if late else "TXT-EXT"), fault[1]
    return None


def _check_table(scene: TrackedScene) -> Outcome:
    """Check that the lower half of the picture, mostly table, is nearest to the colour of the requested table."""
    lower = scene.frames[:: max(1, scene.num_frames // 4), scene.spec.height // 2 :]
    ground = np.median(lower.reshape(-1, 3), axis=0)
    distance = {name: float(np.linalg.norm(ground - np.array(colour))) for name, colour in TABLE_COLOURS.items()}
    return ("TXT-PLC", 0) if min(distance.values()) < distance[scene.spec.table] - TABLE_MARGIN else None
