"""Run every check of one case: those of its spec, of its kind and of its task."""

from __future__ import annotations

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.case import Case, TaskInputs
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.attributes import Detections, detect
from chronotope.worlds.stage.checks.boundaries import boundary_checks
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.relations import count_checks, relation_checks
from chronotope.worlds.stage.checks.tracking import TrackedClip, track_actors, truth_of

__all__ = ["check_case"]


def check_case(case: Case, frames: Frames, task: TaskInputs | None) -> tuple[Check, ...]:
    """Check a video of the size and length of the case's spec; `task` holds the inputs of its task."""
    detections = detect(load_detector(), frames)
    if case.kind == "count":
        return count_checks(detections, case.spec)
    tracked = track_actors(detections, case.spec)
    if task is None:
        return relation_checks(tracked, case.kind)
    # A loop generated from text alone may start at any phase: its frames are checked from the phase of the truth.
    aligned = track_actors(_from_start(tracked), case.spec) if task.any_start else tracked
    return (*relation_checks(aligned, case.kind), *boundary_checks(tracked, frames, task))


def _from_start(tracked: TrackedClip) -> Detections:
    """Rotate the frames of a loop so that the path of its first actor correlates best with the true one."""
    truth, seen = truth_of(tracked.spec).x[:, 0], tracked.actors[0].trail.centres[:, 0]
    fill = np.nanmedian(seen) if tracked.actors[0].found.any() else 0.0
    seen = np.where(np.isnan(seen), fill, seen)
    likeness = [float((np.roll(seen, -start) - seen.mean()) @ (truth - truth.mean())) for start in range(len(seen))]
    start = int(np.argmax(likeness))
    found = tracked.detections
    return Detections(np.roll(found.frames, -start, axis=0), np.roll(found.probability, -start, axis=0))
