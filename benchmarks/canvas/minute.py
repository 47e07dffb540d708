"""Measure videos of a minute: compute and memory per second of video, and drift from beginning to end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.canvas.cases import Case, cases, keep, settings, simple
from benchmarks.harness import Options, Row, in_own_process, peak_megabytes, say
from chronotope.generate.pipeline import Generation, Generator
from chronotope.metrics.statistics import Rate
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.worlds.stage.checks.attributes import detect
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.drift import MEASURES, SPREAD, check_drift
from chronotope.worlds.stage.checks.tracking import track_actors

TITLE = "A minute"
THREADS = 1
LENGTHS = (4, 60)  # seconds
VIDEOS = 10  # videos of a minute on which drift is measured


def measure(options: Options) -> dict[str, Any]:
    """Measure costs in new processes, the lengths in turn, and drift on the first cases."""
    costs: dict[str, list[dict[str, float]]] = {str(seconds): [] for seconds in LENGTHS}
    for _ in range(options.rounds):
        for seconds in LENGTHS:
            costs[str(seconds)].append(in_own_process("benchmarks.canvas.minute", options.model, seconds))
            say(f"  {seconds} s: {costs[str(seconds)][-1]}")
    generator, found = Generator.load(options.model), cases(options, simple)
    detector, changes = load_detector(), []
    for case in found[: min(VIDEOS, options.specs)]:
        minute = made(generator, case)
        keep(options, "minute", case, minute)
        fault, numbers = check_drift(
            track_actors(detect(detector, minute.frames), replace(case.spec, num_frames=len(minute.frames)))
        )
        changes.append(
            {"seed": case.index, "drifts": fault is not None, **{name: numbers.get(name) for name in MEASURES}}
        )
        say(f"  drift: {changes[-1]}")
    about = settings(options, found, drift=f"{min(VIDEOS, options.specs)} videos", rounds=f"{options.rounds}, medians")
    return {"settings": about, "results": {"costs": costs, "drift": changes}}


def made(generator: Generator, case: Case) -> Generation:
    """Generate a minute of the case's prompt."""
    return generator.generate(case.prompt, num_frames=round(LENGTHS[1] * case.spec.fps), seed=case.index, **case.size)


def cost(model: str, seconds: int) -> dict[str, float]:
    """Generate a video in this process and discard its frames; return CPU seconds and peak memory in MiB."""
    torch.set_num_threads(THREADS)
    generator = Generator.load(model)
    num_frames = round(seconds * generator.defaults.fps)
    request = Request(read_prompts("a fox walks to the right"), num_frames=num_frames, num_steps=30, guidance_scale=3.0)
    began, frames = time.process_time(), 0
    for piece in generator.stream(generator.plan(request)).pieces:
        frames += len(piece)
    return {"frames": frames, "seconds": round(time.process_time() - began, 2), "peak": peak_megabytes()}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return ratios of medians, then drift."""
    results = section["results"]
    middle = {
        length: {key: float(np.median([run[key] for run in runs])) for key in ("frames", "seconds", "peak")}
        for length, runs in results["costs"].items()
    }
    short, long = (middle[str(seconds)] for seconds in LENGTHS)
    per_frame = [one["seconds"] / one["frames"] for one in (short, long)]
    lines = [
        Row("CPU time per second of video, 60 s over 4 s", f"{per_frame[1] / per_frame[0]:.3f}", "<= 1.1"),
        Row(
            "peak memory, 60 s over 4 s",
            f"{long['peak'] / short['peak']:.3f} ({short['peak']:.0f} and {long['peak']:.0f} MB)",
            "<= 1.1",
        ),
    ]
    found = results["drift"]
    alike = Rate(sum(not one["drifts"] for one in found), len(found))
    lines.append(Row("no drift (LNG-DRF is not raised)", str(alike)))
    for name, spread in SPREAD.items():
        changes = [one[name] for one in found if one[name] is not None]  # None where actors cover the backdrop
        if not changes:
            continue
        within = Rate(sum(abs(change) <= spread for change in changes), len(changes))
        lines.append(
            Row(
                f"{name}: change from first to last 15 %, at most {spread:g}",
                f"{within}; median {np.median(changes):+.1f}",
            )
        )
    return lines


if __name__ == "__main__":
    print(json.dumps(cost(sys.argv[1], int(sys.argv[2]))))
