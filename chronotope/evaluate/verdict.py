"""All that is asked of one case's video: what its spec asks of any video, and what its prompt or its task asks beyond that."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from chronotope.evaluate.canvas_tasks import asked_of
from chronotope.evaluate.checks import Check
from chronotope.evaluate.joins import join_checks
from chronotope.evaluate.probe import Probe
from chronotope.evaluate.relations import count_checks, relation_checks
from chronotope.evaluate.suite import Case
from chronotope.evaluate.tracking import follow_all
from chronotope.evaluate.words import watch

__all__ = ["check_case"]


def check_case(probe: Probe, case: Case, frames: UInt8[np.ndarray, "t h w 3"]) -> tuple[Check, ...]:
    """Every predicate of a case, of a video of its size and length."""
    sight = watch(probe, frames)
    if case.kind == "count":
        return count_checks(sight, case.spec)
    scene = follow_all(sight, case.spec)
    found = relation_checks(scene, case.kind)
    return (*found, *join_checks(scene, frames, asked_of(case.task, case.spec))) if case.task else found
