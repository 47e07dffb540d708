"""The checks of the table on trial, as those of the stage: true clips must pass, planted faults be caught by name, controls fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np

from chronotope.evaluate.trial import Trial
from chronotope.progress import Progress
from chronotope.worlds.table.checks.geometry import truth_of
from chronotope.worlds.table.checks.predicates import check, succeeds
from chronotope.worlds.table.faults import CONTROLS, FAULTS, inject
from chronotope.worlds.table.render import render
from chronotope.worlds.table.spec import TableSpec

__all__ = ["try_table_checks"]


def try_table_checks(specs: Sequence[TableSpec], report: Progress = lambda done, total: None) -> Trial:
    """Every spec as it is rendered, with every fault that it can have, and as every control."""
    trial = Trial(injectors=tuple(FAULTS))
    for number, spec in enumerate(specs):
        frames = render(spec, truth_of(spec).motion).frames
        trial.note_truth(check(spec, frames))
        for code in FAULTS:
            trial.note_planted(code, partial(inject, code, spec, number), partial(check, spec))
        for name, change in CONTROLS.items():
            if (changed := change(spec, frames, np.random.default_rng([number, 19]))) is not None:
                trial.note(name, not succeeds(check(spec, changed)))
        other = specs[(number + 2) % len(specs)]
        if {a.colour for a in other.actors} != {a.colour for a in spec.actors}:
            trial.note("another prompt's video", not succeeds(check(spec, _like(spec, other))))
        report(number + 1, len(specs))
    return trial


def _like(spec: TableSpec, other: TableSpec) -> np.ndarray:
    """Another spec's video at this one's size and length."""
    resized = dataclasses.replace(other, width=spec.width, height=spec.height)
    frames = render(resized, truth_of(other).motion).frames
    return frames[np.minimum(np.arange(spec.num_frames), len(frames) - 1)]
