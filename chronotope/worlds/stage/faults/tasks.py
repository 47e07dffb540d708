"""Inject faults into tasks and kinds of prompts: boundaries, inputs, counts, sides, exclusions, camera motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case
from chronotope.worlds.stage.checks.relations import absent_of
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.faults.edits import changed, played
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.suites.tasks import task_inputs_of

__all__ = ["TASK_FAULTS", "inject_into_case"]

MIN_LEAP, MAX_LEAP = 0.18, 0.4  # short sides
MIN_LEAP_STEPS = 4.0  # largest steps of the actor
EXTRA_SIZE = 0.36  # short sides: the size of an actor that should be absent


def inject_into_case(code: str, case: Case) -> Frames | None:
    """Return the true clip of a case with this fault of its task or kind, or None where it cannot have it."""
    return TASK_FAULTS[code](case, np.random.default_rng([case.index, 17]))


def _displaced(spec: Spec, generated: np.ndarray, first: int) -> Frames | None:
    """Displace the only actor far enough for a leap, or return None where there is no room.

    The directions are horizontal, vertical and diagonal; `first` is the index of the one that is tried first.
    """
    if len(spec.actors) > 1:
        return None
    truth, short, (actor,) = truth_of(spec), min(spec.width, spec.height), spec.actors
    right = _room(truth.x[generated], truth.width.max(), float(spec.width))
    down = _room(truth.y[generated], truth.height.max(), float(spec.height))
    step = np.hypot(np.diff(truth.x[:, 0]), np.diff(truth.y[:, 0])).max()
    shifts = [(right, 0.0), (0.0, down), (right, down)]
    for shift in (np.array(shifts[(first + offset) % len(shifts)]) for offset in range(len(shifts))):
        if np.hypot(*shift) >= max(MIN_LEAP * short, MIN_LEAP_STEPS * step):
            x, y = np.clip(shift, -MAX_LEAP * short, MAX_LEAP * short) / (spec.width, spec.height)
            return played(changed(spec, actor.id, x=actor.x + x, y=actor.y + y))
    return None


def _room(positions: np.ndarray, size: float, side: float) -> float:
    """Return the larger of the two shifts that keep an actor inside the frame."""
    before, after = positions.min() - size / 2, side - size / 2 - positions.max()
    return max(0.0, float(after)) if after >= before else -max(0.0, float(before))


def _displaced_generation(case: Case, rng: np.random.Generator) -> Frames | None:
    """Displace the actor in the generated frames; of a loop from text, in the last quarter."""
    task = task_inputs_of(case.task, case.spec) if case.task else None
    if task is None or not (task.boundaries or task.wraps):
        return None
    generated = np.arange(case.spec.num_frames) >= case.spec.num_frames * 3 // 4
    if task.kept is not None:
        generated = np.logical_not(task.kept.all(axis=(1, 2)))
    elsewhere = _displaced(case.spec, generated, case.index)
    return None if elsewhere is None else np.where(generated[:, None, None, None], elsewhere, played(case.spec))


def _changed_inputs(case: Case, rng: np.random.Generator) -> Frames | None:
    """Displace the actor or change the backdrop in the input frames."""
    task = task_inputs_of(case.task, case.spec) if case.task else None
    if task is None or task.kept is None:
        return None
    spec, frames = case.spec, played(case.spec)
    other = _displaced(spec, np.ones(spec.num_frames, bool), case.index) if rng.random() < 0.5 else None
    if other is None:
        other = played(spec, backdrop="white" if spec.backdrop != "white" else "black")
    return np.where(task.kept[..., None], other, frames)


def _exchanged_sides(case: Case, rng: np.random.Generator) -> Frames | None:
    """Exchange the sides of two actors."""
    if case.kind != "spatial relation":
        return None
    one, two = case.spec.actors
    return played(changed(changed(case.spec, one.id, x=two.x), two.id, x=one.x))


def _other_number(case: Case, rng: np.random.Generator) -> Frames | None:
    """Remove one actor, or add a second to a single one."""
    if case.kind != "count":
        return None
    actors = case.spec.actors
    if len(actors) > 1:
        return played(case.spec, actors=actors[:-1])
    second = dataclasses.replace(actors[0], id="second", x=(actors[0].x + 0.33) % 1.0)
    return played(case.spec, actors=(*actors, second))


def _present_after_all(case: Case, rng: np.random.Generator) -> Frames | None:
    """Add the thing that the prompt rules out."""
    x = _free_x(case.spec) if case.kind == "absence" else None
    if x is None:
        return None
    other = Actor("another", absent_of(case.spec), "emoji", x, 0.5, EXTRA_SIZE, depth=0.4)
    return played(case.spec, actors=(*case.spec.actors, other))


def _free_x(spec: Spec) -> float | None:
    """Return an x on the left or the right with room for another actor, in widths, or None."""
    truth, short = truth_of(spec), min(spec.width, spec.height)
    for x in (0.2, 0.8):
        reach = (truth.width + EXTRA_SIZE * short) / 2 + 6 * short / 64
        if bool((np.abs(truth.x - x * spec.width) > reach).all()):
            return x
    return None


def _other_camera(case: Case, rng: np.random.Generator) -> Frames | None:
    """Move the camera in the opposite direction, or not at all."""
    camera = case.spec.camera
    if case.kind != "camera motion":
        return None
    opposite = {"left": "right", "right": "left", "in": "out", "out": "in"}[camera.direction or "left"]
    other = dataclasses.replace(camera, direction=opposite)  # type: ignore[arg-type]
    still = dataclasses.replace(camera, kind="still", direction=None, actor=None, amount=None)
    return played(case.spec, camera=other if rng.random() < 0.5 else still)


TASK_FAULTS: dict[str, Callable[[Case, np.random.Generator], Frames | None]] = {
    "GIV-CHG": _changed_inputs,
    "SEAM": _displaced_generation,
    "TXT-REL": _exchanged_sides,
    "TXT-NUM": _other_number,
    "TXT-NEG": _present_after_all,
    "CAM-DIR": _other_camera,
}
