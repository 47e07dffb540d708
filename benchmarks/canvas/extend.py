"""Extension both ways and the backward fan: does motion go on, does who was there stay, and do several pasts have one ending?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.canvas.cases import CONTEXT, Case, cases, keep, mover, moves, settings
from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator
from chronotope.metrics.continuity import jump
from chronotope.metrics.statistics import Rate
from chronotope.request import Task
from chronotope.worlds.stage.checks.attributes import Trail, detect, track
from chronotope.worlds.stage.checks.detector import Detector, load_detector

TITLE = "Extend, both ways"
THREADS = 1
NEW = 8  # frames
TASKS: tuple[tuple[Task, str], ...] = (("extend", "forward"), ("extend_backward", "backward"))


def measure(options: Options) -> dict[str, Any]:
    """A second of context either way; the truth itself, cut at the same place, beside it."""
    generator, detector, found = Generator.load(options.model), load_detector(), cases(options, moves)
    results: dict[str, list[dict[str, Any]]] = {name: [] for _, name in TASKS} | {"truth": [], "fan": []}
    for number, case in enumerate(found):
        results["truth"].append(looked_at(detector, case, case.frames, CONTEXT, False))
        pasts = []
        for task, name in TASKS:
            clip = case.frames[:CONTEXT] if task == "extend" else case.frames[-CONTEXT:]
            made = generator.generate(case.prompt, video=clip, task=task, num_frames=NEW, seed=case.index, **case.size)
            keep(options, name, case, made)
            joint = CONTEXT if task == "extend" else NEW
            results[name].append(looked_at(detector, case, made.frames, joint, task != "extend"))
            pasts.append(made.frames)
        again = generator.generate(case.prompt, video=clip, task=task, num_frames=NEW, seed=case.index + 1, **case.size)
        results["fan"].append(fan(case, [pasts[1], again.frames]))
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {"settings": settings(options, found, context=f"{CONTEXT} frames", new=f"{NEW} frames"), "results": results}


def looked_at(detector: Detector, case: Case, frames: np.ndarray, joint: int, backward: bool) -> dict[str, Any]:
    """The jump at the joint, and who is there on the given side and at the far end of the new one."""
    sight = detect(detector, frames)
    going = mover(case.spec)
    assert going is not None
    trails = {actor.id: track(sight, (actor.noun,)) for actor in case.spec.actors}
    centres = trails[going.id].centres
    change = jump(centres[::-1], len(centres) - joint) if backward else jump(centres, joint)
    here, there = (slice(joint, None), slice(0, 4)) if backward else (slice(0, joint), slice(-4, None))
    return {
        "seed": case.index,
        "jump": None if math.isinf(change) else change,
        "given": [_there(trail, here) for trail in trails.values()],
        "made": [_there(trail, there) for trail in trails.values()],
    }


def _there(trail: Trail, part: slice) -> bool:
    return bool(trail.found[part].mean() >= 0.5)


def fan(case: Case, pasts: list[np.ndarray]) -> dict[str, Any]:
    """Two pasts of one ending: do the videos end alike to the bit, and differ before?"""
    one, other = pasts
    apart = float(np.abs(one[:NEW].astype(np.float32) - other[:NEW]).mean())
    return {"seed": case.index, "same_ending": bool(np.array_equal(one[NEW:], other[NEW:])), "apart": apart}


def rows(section: dict[str, Any]) -> list[Row]:
    """Rates by direction, then the truth's own, then the fan."""
    results, lines = section["results"], []
    for name in ("forward", "backward", "truth"):
        found = results[name]
        smooth = Rate(sum(one["jump"] is not None and one["jump"] <= 2 for one in found), len(found))
        pairs = [(before, after) for one in found for before, after in zip(one["given"], one["made"], strict=True)]
        stays = Rate(sum(after for before, after in pairs if before), sum(before for before, _ in pairs))
        jumps = sorted(math.inf if one["jump"] is None else one["jump"] for one in found)
        label = "the truth, cut at the same place" if name == "truth" else name
        lines.append(
            Row(f"{label}: velocity jump at the joint, median step 1", f"median {jumps[len(jumps) // 2]:.2f}", "<= 2")
        )
        lines.append(Row(f"{label}: jump of at most 2", str(smooth)))
        lines.append(
            Row(f"{label}: who was there still is at the far end", str(stays), ">= 95 %" if name != "truth" else "")
        )
    fans = results["fan"]
    lines.append(
        Row("fan: two pasts have the same ending to the bit", str(Rate(sum(f["same_ending"] for f in fans), len(fans))))
    )
    lines.append(
        Row(
            "fan: two pasts differ by more than 2 levels a pixel",
            str(Rate(sum(f["apart"] > 2 for f in fans), len(fans))),
        )
    )
    return lines
