"""The suite of the table: the first picture and words are given; physics and the spec's camera say how the clip must
go on.

Without the picture nobody could know where the camera stands. `tools/draw_table_suite.py` drew the specs beside this
file.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chronotope.config import from_dict
from chronotope.geometry import Picture
from chronotope.request import Inputs
from chronotope.worlds.case import FORMS, Case, SuiteItem, TaskInputs, hardest
from chronotope.worlds.table.checks.tracking import unsupported
from chronotope.worlds.table.render import first_picture
from chronotope.worlds.table.sample import TableScope, sample_table
from chronotope.worlds.table.simulate import simulate
from chronotope.worlds.table.spec import TableSpec

__all__ = ["TASK", "not_checkable", "strata_of", "table_specs", "table_suite", "task_inputs_of", "trial_cases"]

TASK = "animate a picture"
DRAWN = Path(__file__).with_name("suite.jsonl")
SIZES = ((128, 128), (96, 64), (64, 64), (64, 96), (128, 72))
# Which physics a clip shows, by its events; the last level that fits counts.
PHYSICS = {
    "P0 none": (),
    "P1 inertia": ("roll", "slide"),
    "P2 gravity": ("drop", "bounce"),
    "P3 two bodies": ("hit", "push", "topple"),
}
ACTIONS = ("C0 nothing happens", "C1 one deed", "C2 two deeds at once")  # by the number of events
CAMERAS = {"still": "stands", "orbit": "goes around", "round": "goes once round"}


def table_specs(count: int, first: int = 2_000_000, picture_share: float = 0.1) -> list[TableSpec]:
    """Return held-out specs that can be checked, by seed.

    Of four in a row, the second has a fall, in the fourth only the camera moves, and the others are as the scope draws
    them.
    """
    scope, seed = TableScope(sizes=SIZES, moving_camera_share=0.5, picture_share=picture_share), first
    found: list[TableSpec] = []
    while len(found) < count:
        spec, _ = sample_table(seed, scope, "heldout")
        seed += 1
        falls = any(event.kind in ("drop", "bounce") for event in spec.events)
        only_camera = not spec.events and spec.num_frames > 1 and len(spec.actors) > 1
        wanted = (True, falls, True, only_camera)[len(found) % 4]
        if wanted and unsupported(spec) is None:
            found.append(spec)
    return found


def table_suite() -> Iterator[SuiteItem]:
    """Yield the cases that were drawn, in their order."""
    for index, line in enumerate(DRAWN.read_text().splitlines()):
        row = json.loads(line)
        yield SuiteItem(index, from_dict(TableSpec, row["spec"]), row["prompt"], row["form"], TASK)


def trial_cases(count: int) -> Iterator[tuple[str, Case]]:
    """Yield held-out specs on which the checks are tried."""
    for index, spec in enumerate(table_specs(count)):
        yield "table", Case("table", spec, "as its spec says", "sentence", "heldout", 0, index, index)


def strata_of(spec: TableSpec) -> dict[str, str]:
    """Return the strata of a spec beside those that cases of every world have."""
    kinds = {event.kind for event in spec.events}
    touches = kinds & set(PHYSICS["P3 two bodies"])
    return {
        "deeds": "C4 one touches another" if touches else ACTIONS[min(len(spec.events), 2)],
        "physics": hardest(PHYSICS, kinds),
        "solids": f"{len(spec.actors)}",
        "camera": CAMERAS[spec.camera.kind],
        "place": f"{spec.table} table",
    }


@functools.lru_cache(maxsize=256)
def _first_picture(spec: TableSpec) -> Picture:
    return first_picture(spec, simulate(spec))


def task_inputs_of(spec: TableSpec) -> TaskInputs:
    """Return the first picture, and which pixels must come back."""
    first = _first_picture(spec)
    kept = np.zeros((spec.num_frames, spec.height, spec.width), bool)
    kept[0] = True
    reference = np.broadcast_to(first, (spec.num_frames, *first.shape))
    return TaskInputs(Inputs(images=((0.0, first),)), spec.num_frames, kept, reference)


def not_checkable(case: Case) -> str | None:
    """Say why the checks cannot decide about a case, or None where they can."""
    if case.task != TASK or case.kind:
        return f"a spec of the table has the task '{TASK}' and no kind, got '{case.task}' and '{case.kind}'"
    if case.form not in FORMS:
        return f"a spec of the table is worded as one of {', '.join(sorted(set(FORMS)))}, got {case.form}"
    if case.spec.num_frames < 2:
        return f"{TASK} asks for more than 1 frame"
    return unsupported(case.spec)
