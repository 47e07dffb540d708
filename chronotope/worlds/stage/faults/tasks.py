"""Faults of what a task or a prompt asks beyond its spec, planted in true clips: a joint that shows, another number, the wrong side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.evaluate.suite import Case
from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.relations import absent_of
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["TASK_FAULTS", "inject_into_case"]

LEAP = 0.18, 4.0, 0.4  # short sides and steps of the actor at least, short sides of each way at most
AMISS = 0.36  # short sides: the size of what shall not be there


def inject_into_case(code: str, case: Case, seed: int) -> Frames | None:
    """The true clip of a case with this fault, or nothing where it cannot have it."""
    return TASK_FAULTS[code](case, np.random.default_rng([seed, 17]))


def _aside(spec: Spec, made: np.ndarray, turn: int) -> Frames | None:
    """The clip with its actor elsewhere, far enough for a leap: to a side, up or down, or obliquely, by turns, as there is room."""
    if len(spec.actors) > 1:
        return None
    truth, short, (actor,) = truth_of(spec), min(spec.width, spec.height), spec.actors
    right = _room(truth.x[made], truth.width.max(), float(spec.width))
    down = _room(truth.y[made], truth.height.max(), float(spec.height))
    step = np.hypot(np.diff(truth.x[:, 0]), np.diff(truth.y[:, 0])).max()
    ways = [(right, 0.0), (0.0, down), (right, down)]
    for way in (np.array(ways[(turn + more) % len(ways)]) for more in range(len(ways))):
        if np.hypot(*way) >= max(LEAP[0] * short, LEAP[1] * step):
            x, y = np.clip(way, -LEAP[2] * short, LEAP[2] * short) / (spec.width, spec.height)
            return render(
                dataclasses.replace(spec, actors=(dataclasses.replace(actor, x=actor.x + x, y=actor.y + y),))
            ).frames
    return None


def _room(places: np.ndarray, size: float, side: float) -> float:
    """How far somebody can be moved along one side of the frame and stays in it, the longer of the two ways."""
    before, after = places.min() - size / 2, side - size / 2 - places.max()
    return max(0.0, float(after)) if after >= before else -max(0.0, float(before))


def _leaps(case: Case, rng: np.random.Generator) -> Frames | None:
    """What is made stands beside where it should; of a loop, its last quarter."""
    asked = case.asked
    if asked is None or not (asked.joints or asked.wraps):
        return None
    made = np.arange(case.stage.num_frames) >= case.stage.num_frames * 3 // 4
    if asked.kept is not None:
        made = np.logical_not(asked.kept.all(axis=(1, 2)))
    elsewhere = _aside(case.stage, made, case.index)
    return None if elsewhere is None else np.where(made[:, None, None, None], elsewhere, render(case.stage).frames)


def _given_anew(case: Case, rng: np.random.Generator) -> Frames | None:
    """What was given comes back with its actors elsewhere, or at another place."""
    asked = case.asked
    if asked is None or asked.kept is None:
        return None
    spec, frames = case.stage, render(case.stage).frames
    other = _aside(spec, np.ones(spec.num_frames, bool), case.index) if rng.random() < 0.5 else None
    if other is None:
        other = render(dataclasses.replace(spec, backdrop="white" if spec.backdrop != "white" else "black")).frames
    return np.where(asked.kept[..., None], other, frames)


def _other_side(case: Case, rng: np.random.Generator) -> Frames | None:
    """The two have changed places."""
    if case.kind != "spatial relation":
        return None
    one, two = case.stage.actors
    changed = (dataclasses.replace(one, x=two.x), dataclasses.replace(two, x=one.x))
    return render(dataclasses.replace(case.stage, actors=changed)).frames


def _other_number(case: Case, rng: np.random.Generator) -> Frames | None:
    """One less; of one, a second."""
    if case.kind != "count":
        return None
    actors = case.stage.actors
    if len(actors) > 1:
        return render(dataclasses.replace(case.stage, actors=actors[:-1])).frames
    second = dataclasses.replace(actors[0], id="second", x=(actors[0].x + 0.33) % 1.0)
    return render(dataclasses.replace(case.stage, actors=(*actors, second))).frames


def _there_after_all(case: Case, rng: np.random.Generator) -> Frames | None:
    """What is ruled out stands there."""
    x = _clear_of(case.stage) if case.kind == "absence" else None
    if x is None:
        return None
    other = Actor("another", absent_of(case.stage), "emoji", x, 0.5, AMISS, depth=0.4)
    return render(dataclasses.replace(case.stage, actors=(*case.stage.actors, other))).frames


def _clear_of(spec: Spec) -> float | None:
    """Where on the left or the right another thing has room beside those who are there, in widths."""
    truth, short = truth_of(spec), min(spec.width, spec.height)
    for x in (0.2, 0.8):
        reach = (truth.width + AMISS * short) / 2 + 6 * short / 64
        if bool((np.abs(truth.x - x * spec.width) > reach).all()):
            return x
    return None


def _other_camera(case: Case, rng: np.random.Generator) -> Frames | None:
    """It goes the other way, or stands still."""
    camera = case.stage.camera
    if case.kind != "camera motion":
        return None
    back = {"left": "right", "right": "left", "in": "out", "out": "in"}[camera.direction or "left"]
    other = dataclasses.replace(camera, direction=back)  # type: ignore[arg-type]
    still = dataclasses.replace(camera, kind="still", direction=None, actor=None, amount=None)
    return render(dataclasses.replace(case.stage, camera=other if rng.random() < 0.5 else still)).frames


TASK_FAULTS: dict[str, Callable[[Case, np.random.Generator], Frames | None]] = {
    "GIV-CHG": _given_anew,
    "SEAM": _leaps,
    "TXT-REL": _other_side,
    "TXT-NUM": _other_number,
    "TXT-NEG": _there_after_all,
    "CAM-DIR": _other_camera,
}
