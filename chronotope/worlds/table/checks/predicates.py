"""Checks compiled from a table spec: what must be true of a video of it, each with the failure it shows where it is not.

A check never reads the prompt and needs no detector: solids are found by colour (`table_tracking`), followed, and brought back to
metres by the camera of the spec (`table_geometry`). `check(spec, frames)` judges anybody's video.
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

__all__ = ["check", "succeeds", "unsupported"]

SEEN = 0.5  # of the frames in which the truth shows it
FEWEST = 3  # frames in which it is seen, of one that is gone or came late
SHOWN, HIDDEN = 0.6, 0.35  # of an actor's pixels: the truth shows it; the truth lets it be missed
GROWN = 1.6  # times the area, given the distance
STEP = 1.6, 0.1  # times the truth's longest step, and short sides
STIRS = 0.1, 0.3  # short sides; times the truth's way across the picture
INSTEAD = 0.4, 2.5  # times the area: what stands there in another colour
LOOKS = 20.0  # levels: a table this much nearer to another kind's colour is that one


def check(spec: TableSpec, frames: Frames) -> tuple[Check, ...]:
    """Everything that must be true of a video of this spec, uint8 [t, h, w, 3] of its size and length."""
    return _check_scene(track_solids(spec, frames))


def _check_scene(scene: TrackedScene) -> tuple[Check, ...]:
    """The same for a video in which everybody has been found already."""
    orbit = fit_orbit(scene)
    path = orbit.path if orbit else scene.truth.views
    found: list[Check] = []
    for i, actor in enumerate(scene.spec.actors):
        missing = _missing(scene, i)
        wanted = tuple(_predicates(scene, i)) if missing else (*_predicates(scene, i), *_deeds(scene, path, i))
        found.append(Check.of("is there", missing, actor.id))
        for name, rule in wanted:
            found.append(Check.of(name, missing or rule(), actor.id))
    complete = all(one.holds for one in found if one.name == "is there")
    return (*found, *_clip_checks(scene, orbit, complete))


def _missing(scene: TrackedScene, i: int) -> Outcome:
    """It is hardly ever seen where the truth shows it; something of its size in a colour of nobody may stand there instead."""
    one, shown = scene.actors[i], scene.truth.visible[:, i] >= SHOWN
    shown &= scene.truth.untouched[:, i] if (shown & scene.truth.untouched[:, i]).sum() >= 2 else True
    share = one.found[shown].mean() if shown.any() else 1.0
    if share >= SEEN or steadily_seen(one.found, max(FEWEST, persistent_frames(scene.spec.fps))):
        return None
    first = int(np.argmax(shown))
    return ("TXT-ATT" if _instead(scene, i, shown) else "TXT-CNT"), first


def _instead(scene: TrackedScene, i: int, frames: Bool[np.ndarray, " t"]) -> str | None:
    """The colour of a patch of about its size that is there in most of these frames, and belongs to nobody."""
    low, high = INSTEAD
    size = scene.truth.whole[:, i] * scene.truth.visible[:, i]
    for stranger in scene.others:
        fits = stranger.found & (stranger.areas > low * size) & (stranger.areas < high * size)
        if frames.any() and fits[frames].mean() >= SEEN:
            return stranger.colour
    return None


def _predicates(scene: TrackedScene, i: int) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """What is asked of everybody."""
    one = scene.actors[i]
    yield "is one", lambda: first_run("OBJ-DUP", one.duplicates, scene.spec.fps)
    if scene.num_frames > 1:
        yield "stays in being", lambda: _persists(scene, i)
        yield "keeps its size", lambda: _keeps_size(scene, i)
        yield "moves without a jump", lambda: _smooth(scene, i)


def _deeds(scene: TrackedScene, path: tuple[View, ...], i: int) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """What is asked of this one by the spec's events, or by their absence."""
    spec, actor = scene.spec, scene.spec.actors[i]
    for event in (event for event in spec.events if event.actor == actor.id):
        yield from (
            action_checks(scene, path, event) if event.kind in TRAVEL_EVENTS else fall_checks(scene, path, i, event)
        )
    if scene.num_frames > 2:
        yield "is seen to move", lambda: _stirs(scene, i)
    if scene.truth.rests[i] and spec.camera.kind == "still" and scene.num_frames > 2:
        yield "rests", lambda: stays_still(scene, i)


def _persists(scene: TrackedScene, i: int) -> Outcome:
    """Seen from the beginning to the end, but where it may be hidden; after a meeting, wherever another could hide it."""
    one, truth = scene.actors[i], scene.truth
    excused = truth.visible[:, i] < HIDDEN
    times = np.flatnonzero(one.found)
    if not len(times):
        return None
    for t in np.flatnonzero(~one.found & ~excused):
        nearest = int(times[np.abs(times - t).argmin()])
        free = not truth.untouched[t, i]  # to go where the truth does not, behind another or out of the picture
        covered = any(_covers(other, int(t), one.centres[nearest]) for other in scene.actors if other is not one)
        excused[t] = covered or (free and bool(one.touched[nearest].any() or one.at_edge[nearest]))
    missing = ~one.found & ~excused
    fault = first_run("OBJ-DIS", missing, scene.spec.fps)
    if fault is None:
        return None
    if _instead(scene, i, missing):
        return "ID-COL", fault[1]
    return ("OBJ-APP", int(times[0])) if fault[1] < times[0] else fault


def _covers(other: ColourTrack, t: int, place: np.ndarray) -> bool:
    """Whether another stands before the place where somebody was last seen."""
    left, top, right, bottom = other.boxes[t]
    return bool(left - 2 <= place[0] <= right + 2 and top - 2 <= place[1] <= bottom + 2)


def _keeps_size(scene: TrackedScene, i: int) -> Outcome:
    """Its area beside that of the truth's outline is at the end what it was at the beginning, until it meets somebody."""
    free = fully_visible(scene, i) & (scene.truth.visible[:, i] >= 0.97)
    free &= scene.truth.untouched[:, i] | scene.truth.rests[i]
    seen = np.flatnonzero(free)
    if len(seen) < 4:
        return None
    ratios, quarter = scene.actors[i].areas[seen] / np.maximum(scene.truth.whole[seen, i], 1), max(1, len(seen) // 4)
    change = float(np.median(ratios[-quarter:]) / np.median(ratios[:quarter]))
    return None if 1 / GROWN <= change <= GROWN else ("ID-SIZ", int(seen[-quarter]))


def _stirs(scene: TrackedScene, i: int) -> Outcome:
    """Where the truth's picture of it goes far, because it moves or the camera does, so does the video's."""
    truth = scene.truth.centres[:, i]
    times = np.flatnonzero(scene.actors[i].found & ~np.isnan(truth[:, 0]) & scene.truth.untouched[:, i])
    if len(times) < 3:
        return None
    wanted, found = (float(np.hypot(*np.ptp(centres[times], axis=0))) for centres in (truth, scene.actors[i].centres))
    if wanted < STIRS[0] * scene.short or found >= STIRS[1] * wanted:
        return None
    return "CAM-DIR" if scene.truth.rests[i] else "MOT-STA", int(times[-1])


def _smooth(scene: TrackedScene, i: int) -> Outcome:
    """No step is far longer than the longest that anybody makes where physics plays the spec."""
    seen, centres = fully_visible(scene, i), scene.actors[i].centres
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    times, least = STEP
    far = seen[1:] & seen[:-1] & (steps > times * longest_true_step(scene) + least * scene.short)
    return ("MOT-JMP", int(np.argmax(far)) + 1) if far.any() else None


def _clip_checks(scene: TrackedScene, orbit: OrbitFit | None, complete: bool) -> Iterator[Check]:
    """What must be true of the whole picture."""
    if complete:  # what is there instead of somebody is that failure already
        yield Check.of("nobody else is there", _nobody_else(scene))
    yield Check.of("is on its table", _table(scene))
    if scene.spec.camera.kind == "still":
        yield Check.of("the camera stands", _stands(scene))
    if orbit is None:
        return
    yield Check.of("the camera goes as asked", follows_path(scene, orbit))
    if len(orbit.resting) > 1 and scene.spec.camera.kind != "still":
        yield Check.of("what rests fits one camera", is_rigid(scene, orbit))
    if scene.spec.camera.kind == "round":
        yield Check.of("ends as it began", closes_loop(scene, orbit))


def _stands(scene: TrackedScene) -> Outcome:
    """Not all that rests moves at once."""
    resting = np.flatnonzero(scene.truth.rests)
    faults = [stays_still(scene, int(i)) for i in resting] if scene.num_frames > 2 else []
    return ("CAM-DIR", min(fault[1] for fault in faults if fault)) if len(faults) > 1 and all(faults) else None


def _nobody_else(scene: TrackedScene) -> Outcome:
    """No patch of a colour that nobody has, away from all of them; recoloured in the middle, an actor is no stranger."""
    for stranger in scene.others:
        if fault := first_run("TXT-EXT", stranger.found & ~stranger.touched.any(axis=1), scene.spec.fps):
            changed = any(_persists(scene, i) is not None for i in range(len(scene.actors)))
            if not changed:
                return (
                    "OBJ-APP" if np.argmax(stranger.found) > persistent_frames(scene.spec.fps) else "TXT-EXT"
                ), fault[1]
    return None


def _table(scene: TrackedScene) -> Outcome:
    """The lower half of the picture, most of which is table, is nearest to the asked table's colour."""
    lower = scene.frames[:: max(1, scene.num_frames // 4), scene.spec.height // 2 :]
    ground = np.median(lower.reshape(-1, 3), axis=0)
    far = {name: float(np.linalg.norm(ground - np.array(colour))) for name, colour in TABLE_COLOURS.items()}
    nearest = min(far, key=lambda name: far[name])
    return ("TXT-PLC", 0) if far[nearest] < far[scene.spec.table] - LOOKS else None
