"""A minute: what a second of video costs, what memory it takes, and whether the end still looks like the beginning."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.canvas.cases import Case, cases, keep, settings, simple
from benchmarks.harness import Options, Row, in_own_process, peak_megabytes, say
from chronotope.evaluate.statistics import Rate
from chronotope.generate.pipeline import Generation, Generator
from chronotope.generate.settings import Settings, read_prompts

TITLE = "A minute"
THREADS = 1
LENGTHS = (4, 60)  # seconds
VIDEOS = 10  # of a minute, for the drift
MEASURES = ("brightness", "contrast", "saturation", "sharpness")
EDGE = 0.15  # share of the frames that are the beginning, and the end


def measure(options: Options) -> dict[str, Any]:
    """Costs in processes of their own, the lengths in turns; drift over the first cases, beside what real clips do from end to end."""
    costs: dict[str, list[dict[str, float]]] = {str(seconds): [] for seconds in LENGTHS}
    for _ in range(options.rounds):
        for seconds in LENGTHS:
            costs[str(seconds)].append(in_own_process("benchmarks.canvas.minute", options.model, seconds))
            say(f"  {seconds} s: {costs[str(seconds)][-1]}")
    generator, found = Generator.load(options.model), cases(options, simple)
    truth = [drift(case.frames) for case in found if case.spec.num_frames >= 14]
    spread = {name: float(np.quantile([abs(one[name]) for one in truth], 0.95)) for name in MEASURES}
    drifts = []
    for case in found[: min(VIDEOS, options.specs)]:
        minute = made(generator, case)
        keep(options, "minute", case, minute)
        drifts.append({"seed": case.index, **drift(minute.frames)})
        say(f"  drift: {drifts[-1]}")
    about = settings(options, found, drift=f"{min(VIDEOS, options.specs)} videos", rounds=f"{options.rounds}, medians")
    return {"settings": about, "results": {"costs": costs, "spread": spread, "drift": drifts}}


def made(generator: Generator, case: Case) -> Generation:
    """A minute of the case's prompt."""
    return generator.generate(case.prompt, num_frames=round(LENGTHS[1] * case.spec.fps), seed=case.index, **case.size)


def drift(frames: np.ndarray) -> dict[str, float]:
    """The mean of each measure over the last frames less that over the first ones."""
    values = np.array([look(frame) for frame in frames])
    edge = max(1, round(EDGE * len(values)))
    change = values[-edge:].mean(axis=0) - values[:edge].mean(axis=0)
    return dict(zip(MEASURES, change.tolist(), strict=True))


def look(frame: np.ndarray) -> list[float]:
    """The measures of one frame."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    saturation = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)[..., 1]
    return [float(grey.mean()), float(grey.std()), float(saturation.mean()), float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())]


def cost(model: str, seconds: int) -> dict[str, float]:
    """In this process: make a video and throw it away piece by piece."""
    torch.set_num_threads(THREADS)
    generator = Generator.load(model)
    defaults = generator.defaults
    wanted = Settings(
        read_prompts("a fox walks to the right"), defaults.height, defaults.width, round(seconds * defaults.fps), defaults.fps
    )
    began, frames = time.process_time(), 0
    for piece in generator.stream(wanted).pieces:
        frames += len(piece)
    return {"frames": frames, "seconds": round(time.process_time() - began, 2), "peak": peak_megabytes()}


def rows(section: dict[str, Any]) -> list[Row]:
    """Ratios of medians, then drift."""
    results = section["results"]
    middle = {
        length: {key: float(np.median([run[key] for run in runs])) for key in ("frames", "seconds", "peak")}
        for length, runs in results["costs"].items()
    }
    short, long = (middle[str(seconds)] for seconds in LENGTHS)
    per_frame = [one["seconds"] / one["frames"] for one in (short, long)]
    lines = [
        Row("compute for a second of video, 60 s over 4 s", f"{per_frame[1] / per_frame[0]:.3f}", "<= 1.1"),
        Row("peak memory, 60 s over 4 s", f"{long['peak'] / short['peak']:.3f} ({short['peak']:.0f} and {long['peak']:.0f} MB)", "<= 1.1"),
    ]
    for name in MEASURES:
        changes = [one[name] for one in results["drift"]]
        within = Rate(sum(abs(change) <= results["spread"][name] for change in changes), len(changes))
        spread = results["spread"][name]
        lines.append(
            Row(f"{name}: last against first 15 %, within what truth does ({spread:.1f})", f"{within}; mean {np.mean(changes):+.1f}")
        )
    return lines


if __name__ == "__main__":
    print(json.dumps(cost(sys.argv[1], int(sys.argv[2]))))
