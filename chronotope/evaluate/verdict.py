"""All that is asked of one case's video: what its spec asks of any video, and what its prompt or its task asks beyond that."""

from __future__ import annotations

import numpy as np

from chronotope.evaluate.boundaries import boundary_checks
from chronotope.evaluate.suite import Case
from chronotope.geometry import Frames
from chronotope.worlds.check import Check
from chronotope.worlds.stage.checks.attributes import Detections, detect
from chronotope.worlds.stage.checks.detector import Detector
from chronotope.worlds.stage.checks.relations import count_checks, relation_checks
from chronotope.worlds.stage.checks.tracking import TrackedClip, track_actors, truth_of
from chronotope.worlds.table.spec import TableSpec
from chronotope.worlds.table.suite import check_on_table

__all__ = ["check_case"]


def check_case(detector: Detector, case: Case, frames: Frames) -> tuple[Check, ...]:
    """Every predicate of a case, of a video of its size and length."""
    if isinstance(case.spec, TableSpec):
        return check_on_table(case.spec, frames)
    sight, asked = detect(detector, frames), case.asked
    if case.kind == "count":
        return count_checks(sight, case.spec)
    scene = track_actors(sight, case.spec)
    # a loop of words has no beginning: its frames are judged from where the stage begins, its joint where it is
    found = relation_checks(
        track_actors(_begun(scene), case.spec) if asked and asked.no_beginning else scene, case.kind
    )
    return (*found, *boundary_checks(scene, frames, asked)) if asked else found


def _begun(scene: TrackedClip) -> Detections:
    """The frames of a cycle from that one on from which its first actor's way is most like the stage's."""
    truth, seen = truth_of(scene.spec).x[:, 0], scene.actors[0].trail.centres[:, 0]
    seen = np.where(np.isnan(seen), np.nanmedian(seen) if scene.actors[0].found.any() else 0.0, seen)
    likeness = [float((np.roll(seen, -start) - seen.mean()) @ (truth - truth.mean())) for start in range(len(seen))]
    start = int(np.argmax(likeness))
    return Detections(np.roll(scene.sight.frames, -start, axis=0), np.roll(scene.sight.likely, -start, axis=0))
