"""Cases of the table: its first picture and words are given; physics and the spec's camera say how it must go on.

Without the picture nobody could know where the camera stands. A spec has to be played before it is known to go as it tells, so specs
were drawn once and lie beside this file; `python -m chronotope.worlds.table.suite` draws them again, in minutes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from chronotope.config import from_dict, to_dict
from chronotope.errors import UsageError
from chronotope.evaluate.boundaries import inputs_come_back
from chronotope.geometry import Frames, Picture
from chronotope.metrics.continuity import cuts
from chronotope.request import Inputs
from chronotope.worlds.check import Check
from chronotope.worlds.stage.suites.specs import FORMS, SuiteItem, form_of, hardest
from chronotope.worlds.stage.suites.tasks import TaskInputs
from chronotope.worlds.table.camera import angles
from chronotope.worlds.table.captions import captions
from chronotope.worlds.table.checks.geometry import truth_of
from chronotope.worlds.table.checks.predicates import check
from chronotope.worlds.table.checks.tracking import unsupported
from chronotope.worlds.table.opengl import can_draw
from chronotope.worlds.table.render import first_picture
from chronotope.worlds.table.sample import TableScope, sample_table
from chronotope.worlds.table.spec import TableSpec

__all__ = [
    "TASK",
    "asked_on_table",
    "cannot_draw",
    "check_on_table",
    "table_suite",
    "table_levels",
    "table_specs",
    "table_unfit",
]

TASK = "animate a picture"
DRAWN = Path(__file__).with_name("suite.jsonl")
SIZES = ((128, 128), (96, 64), (64, 64), (64, 96), (128, 72))
SPECS, FIRST_SEED = 64, 6_000_000
FORM = {"paragraph": "sentence"}  # those of the table can be longer than a model reads
# What of physics a clip shows, by its deeds; the last that fits
PHYSICS = {
    "P0 none": (),
    "P1 inertia": ("roll", "slide"),
    "P2 gravity": ("drop", "bounce"),
    "P3 two bodies": ("hit", "push", "topple"),
}


def table_specs(count: int, first: int = 2_000_000, picture_share: float = 0.1) -> list[TableSpec]:
    """Held-out specs that can be judged, by seed: half as the scope draws them, but half of those with a moving camera; a quarter
    with a fall, a quarter in which only the camera moves."""
    scope, seed = TableScope(sizes=SIZES, moving_camera_share=0.5, picture_share=picture_share), first
    found: list[TableSpec] = []
    while len(found) < count:
        spec, _ = sample_table(seed, scope, "heldout")
        seed += 1
        falls = any(event.kind in ("drop", "bounce") for event in spec.events)
        circled = not spec.events and spec.num_frames > 1 and len(spec.actors) > 1
        wanted = (True, falls, True, circled)[len(found) % 4]
        found += [spec] if wanted and unsupported(spec) is None else []
    return found


def table_suite() -> Iterator[SuiteItem]:
    """The cases that were drawn, in their order."""
    for index, line in enumerate(DRAWN.read_text().splitlines()):
        row = json.loads(line)
        yield SuiteItem(index, from_dict(TableSpec, row["spec"]), row["prompt"], row["form"], TASK)


def draw_again(count: int = SPECS) -> Iterator[dict[str, object]]:
    """Rows of the first so many, from the seeds: held-out clips that can be judged, in words that say all they are judged by."""
    for index, spec in enumerate(table_specs(count, FIRST_SEED, picture_share=0.0)):
        form = FORM.get(form_of(index), form_of(index))
        yield {"form": form, "prompt": _worded(spec, form), "spec": to_dict(spec)}


def _worded(spec: TableSpec, form: str) -> str:
    """The first wording that names the table; captions never say how far a camera goes, so that is added."""
    motion = truth_of(spec).motion
    text = next((text for text in captions(spec, motion, 12)[form] if f"{spec.table} table" in text), None)
    if text is None:
        raise UsageError(f"no wording of twelve names the {spec.table} table")
    if spec.camera.kind != "orbit":
        return text
    far = f"{abs(float(angles(spec)[-1])):.0f} degrees"
    return f"{text.rstrip('.')}, by {far}"


def table_levels(spec: TableSpec) -> dict[str, str]:
    """The levels by which a case of the table is reported, beside those that every case has."""
    kinds = {event.kind for event in spec.events}
    touching = kinds & set(PHYSICS["P3 two bodies"])
    deeds = (
        "C4 one touches another"
        if touching
        else ("C0 nothing happens", "C1 one deed", "C2 two deeds at once")[min(len(spec.events), 2)]
    )
    camera = {"still": "stands", "orbit": "goes around", "round": "goes once round"}[spec.camera.kind]
    physics = hardest(PHYSICS, kinds)
    return {
        "deeds": deeds,
        "physics": physics,
        "solids": f"{len(spec.actors)}",
        "camera": camera,
        "place": f"{spec.table} table",
    }


@functools.lru_cache(maxsize=256)
def _first_picture(spec: TableSpec) -> Picture:
    return first_picture(spec, truth_of(spec).motion)


def asked_on_table(spec: TableSpec) -> TaskInputs:
    """What is given of a spec, and which pixels must come back."""
    first = _first_picture(spec)
    kept = np.zeros((spec.num_frames, spec.height, spec.width), bool)
    kept[0] = True
    return TaskInputs(
        Inputs(images=((0.0, first),)), spec.num_frames, kept, np.broadcast_to(first, (spec.num_frames, *first.shape))
    )


def check_on_table(spec: TableSpec, frames: Frames) -> tuple[Check, ...]:
    """Every predicate of a case of the table, of a video of its size and length."""
    goes_on = Check("goes on smoothly", "", "SEAM" if 1 in cuts(frames) else None, 1)
    return (*check(spec, frames), *inputs_come_back(frames, asked_on_table(spec)), goes_on)


def cannot_draw(specs: Iterable[object]) -> str:
    """Why no video of these specs can be asked for here, or nothing: the table's need MuJoCo and OpenGL."""
    return can_draw() if any(isinstance(spec, TableSpec) for spec in specs) else ""


def table_unfit(task: str, kind: str, form: str, spec: TableSpec) -> str | None:
    """Why a case of the table cannot be judged, or nothing."""
    if task != TASK or kind:
        return f"a spec of the table goes with the task '{TASK}' and no kind, got task '{task}' and kind '{kind}'"
    if form not in FORMS:
        return f"a spec of the table is worded as one of {', '.join(sorted(set(FORMS)))}, got {form}"
    if spec.num_frames < 2:
        return f"{TASK} asks for more than 1 frame"
    return unsupported(spec)


if __name__ == "__main__":
    DRAWN.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in draw_again()))
