"""Measure extension in both directions: continuous motion, actors that stay, and several pasts of one ending."""

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
    """Extend every clip from one second of context in both directions; rendered clips are the control."""
    generator, detector, found = Generator.load(options.model), load_detector(), cases(options, moves)
    results: dict[str, list[dict[str, Any]]] = {name: [] for _, name in TASKS} | {"truth": [], "fan": []}
    for number, case in enumerate(found):
        results["truth"].append(measured(detector, case, case.frames, CONTEXT, False))
        pasts = []
        for task, name in TASKS:
            clip = case.frames[:CONTEXT] if task == "extend" else case.frames[-CONTEXT:]
            made = generator.generate(case.prompt, video=clip, task=task, num_frames=NEW, seed=case.index, **case.size)
            keep(options, name, case, made)
            joint = CONTEXT if task == "extend" else NEW
            results[name].append(measured(detector, case, made.frames, joint, task != "extend"))
            pasts.append(made.frames)
        again = generator.generate(case.prompt, video=clip, task=task, num_frames=NEW, seed=case.index + 1, **case.size)
        results["fan"].append(fan(case, [pasts[1], again.frames]))
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {"settings": settings(options, found, context=f"{CONTEXT} frames", new=f"{NEW} frames"), "results": results}


def measured(detector: Detector, case: Case, frames: np.ndarray, joint: int, backward: bool) -> dict[str, Any]:
    """Measure the velocity jump at the boundary, and detect actors on the known side and at the end of the new one."""
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
    """Compare two pasts of one ending: equal to the bit in the ending, different before it."""
    one, other = pasts
    apart = float(np.abs(one[:NEW].astype(np.float32) - other[:NEW]).mean())
    return {"seed": case.index, "same_ending": bool(np.array_equal(one[NEW:], other[NEW:])), "apart": apart}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return rates by direction, of rendered clips, and of pairs of pasts."""
    results, lines = section["results"], []
    for name in ("forward", "backward", "truth"):
        found = results[name]
        smooth = Rate(sum(one["jump"] is not None and one["jump"] <= 2 for one in found), len(found))
        pairs = [(before, after) for one in found for before, after in zip(one["given"], one["made"], strict=True)]
        stays = Rate(sum(after for before, after in pairs if before), sum(before for before, _ in pairs))
        jumps = sorted(math.inf if one["jump"] is None else one["jump"] for one in found)
        label = "rendered clips, at the same frame" if name == "truth" else name
        lines.append(
            Row(
                f"{label}: velocity jump at the boundary, in median steps",
                f"median {jumps[len(jumps) // 2]:.2f}",
                "<= 2",
            )
        )
        lines.append(Row(f"{label}: jump of at most 2", str(smooth)))
        lines.append(
            Row(
                f"{label}: actors of the known frames are at the end of the new ones",
                str(stays),
                ">= 95 %" if name != "truth" else "",
            )
        )
    fans = results["fan"]
    lines.append(
        Row(
            "two pasts of one ending: the ending is equal to the bit",
            str(Rate(sum(f["same_ending"] for f in fans), len(fans))),
        )
    )
    lines.append(
        Row(
            "two pasts of one ending: they differ by more than 2 levels per pixel",
            str(Rate(sum(f["apart"] > 2 for f in fans), len(fans))),
        )
    )
    return lines
