"""Measure `edit` at several strengths: does the colour change, and does the actor keep its place?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.canvas.cases import Case, cases, keep, settings
from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate
from chronotope.worlds.stage.checks.attributes import detect, judge_detections, track
from chronotope.worlds.stage.checks.detector import Detector, load_detector
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Actor, Spec

TITLE = "Edit: another colour, the same scene"
THREADS = 1
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def coloured(spec: Spec) -> Actor | None:
    """Return the first actor that has a colour."""
    return next((actor for actor in spec.actors if actor.colour), None)


def recoloured(case: Case, colours: tuple[str, ...]) -> Case:
    """Return the same spec with another colour for that actor: the one after the next in the list."""
    actor = coloured(case.spec)
    assert actor is not None and actor.colour is not None
    colour = colours[(colours.index(actor.colour) + 2) % len(colours)]
    actors = tuple(replace(other, colour=colour) if other is actor else other for other in case.spec.actors)
    return replace(case, spec=replace(case.spec, actors=actors))


def measure(options: Options) -> dict[str, Any]:
    """Edit every clip at every strength, with the same seed."""
    generator, detector = Generator.load(options.model), load_detector()
    found = cases(options, lambda spec: spec.num_frames >= 8 and coloured(spec) is not None)
    results: dict[str, list[dict[str, Any]]] = {str(strength): [] for strength in STRENGTHS}
    for number, case in enumerate(found):
        wanted = recoloured(case, SCOPES[options.scope].colours)
        for strength in STRENGTHS:
            made = generator.generate(
                wanted.prompt, video=case.frames, task="edit", strength=strength, seed=case.index, **case.size
            )
            keep(options, f"edit-{strength}", wanted, made)
            results[str(strength)].append({"seed": case.index, **compared(detector, case, wanted, made.frames)})
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {"settings": settings(options, found), "results": results}


def compared(detector: Detector, case: Case, wanted: Case, frames: np.ndarray) -> dict[str, Any]:
    """Return whether the actor has the new colour, and the overlap (IoU) of its places in the two videos."""
    actor = coloured(case.spec)
    assert actor is not None
    before, after = detect(detector, case.frames), detect(detector, frames)
    (verdict,) = (one for one in judge_detections(after, wanted.spec) if one.actor == actor.id)
    one, other = (track(sight, (actor.noun,)).cells for sight in (before, after))
    union = (one | other).sum()
    return {"changed": bool(verdict.colour), "overlap": float((one & other).sum() / union) if union else 0.0}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return one row per strength."""
    lines = []
    for strength, found in section["results"].items():
        changed = Rate(sum(one["changed"] for one in found), len(found))
        overlap = np.mean([one["overlap"] for one in found])
        lines.append(
            Row(
                f"strength {strength}: the colour changes",
                f"{changed}; overlap (IoU) with the old place {overlap:.2f}",
                "monotone",
            )
        )
    return lines
