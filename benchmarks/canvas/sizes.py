"""Measure quality by size, cost of very large pictures, and agreement of drafts with full videos."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch

from benchmarks.canvas.cases import Case, cases, keep, settings, simple, with_size
from benchmarks.harness import Options, Row, in_own_process, peak_megabytes, say
from chronotope.generate.memory import process_bytes, return_large_blocks
from chronotope.generate.pipeline import Generator
from chronotope.media.picture import resize
from chronotope.metrics.statistics import Rate
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.worlds.stage.checks.attributes import detect, judge, track
from chronotope.worlds.stage.checks.detector import Detector, load_detector

TITLE = "Any size"
THREADS = 1
TRAINED = ((64, 64), (96, 64), (64, 96))
OTHER = ((128, 64), (128, 128))
LARGE = ((1920, 1080), (1080, 1920), (2048, 2048))
DRAFTED = ((96, 64), (192, 128))  # the default size, where a draft only has fewer steps, and twice that size
LARGE_STEPS = 2


def measure(options: Options) -> dict[str, Any]:
    """Generate the cases at each size; generate large pictures in new processes, with two steps each."""
    generator, detector, found = Generator.load(options.model), load_detector(), cases(options, simple)
    good: dict[str, list[bool]] = {}
    for width, height in (*TRAINED, *OTHER):
        verdicts = []
        for case in (with_size(one, width, height) for one in found):
            made = generator.generate(case.prompt, num_frames=8, seed=case.index, **case.size)
            keep(options, f"size-{width}x{height}", case, made)
            verdicts.append(all(verdict.who for verdict in judge(detector, case.spec, made.frames)))
        good[f"{width}x{height}"] = verdicts
        say(f"  {width}x{height}: {Rate(sum(verdicts), len(verdicts))}")
    drafts = {
        f"{width}x{height}": [agreement(generator, detector, with_size(case, width, height)) for case in found]
        for width, height in DRAFTED
    }
    large = {}
    for width, height in LARGE:
        large[f"{width}x{height}"] = in_own_process("benchmarks.canvas.sizes", options.model, width, height)
        say(f"  {width}x{height}: {large[f'{width}x{height}']}")
    about = settings(
        options,
        found,
        large=f"pictures, {LARGE_STEPS} steps",
    )
    return {"settings": about, "results": {"who": good, "drafts": drafts, "large": large}}


def agreement(generator: Generator, detector: Detector, case: Case) -> dict[str, float]:
    """Return the IoU of the actor's place in the full video and in drafts of the same and of another seed."""
    (actor,) = case.spec.actors
    common = {"num_frames": 4, **case.size}
    full = generator.generate(case.prompt, seed=case.index, **common).frames
    cells = track(detect(detector, full), (actor.noun,)).cells
    found = {}
    for name, seed in (("same_seed", case.index), ("other_seed", case.index + 1)):
        draft = generator.generate(case.prompt, seed=seed, draft=True, **common).frames
        other = track(detect(detector, resize(draft, *full.shape[1:3])), (actor.noun,)).cells
        union = (cells | other).sum()
        found[name] = float((cells & other).sum() / union) if union else 0.0
    return found


def large_picture(model: str, width: int, height: int) -> dict[str, float]:
    """Generate one picture in this process; return CPU seconds and measured and predicted peak memory in MiB."""
    torch.set_num_threads(THREADS)
    return_large_blocks()  # as the command line does
    generator = Generator.load(model)
    prompts = read_prompts("a red circle on the sea")
    size = {"height": height, "width": width, "num_frames": 1, "fps": 8.0}
    plan = generator.plan(Request(prompts, num_steps=LARGE_STEPS, guidance_scale=3.0, **size))
    predicted = process_bytes() + generator.memory(plan)
    began = time.process_time()
    for _ in generator.stream(plan).pieces:
        pass
    return {"seconds": round(time.process_time() - began, 1), "peak": peak_megabytes(), "foretold": predicted / 2**20}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return rates by size, then large pictures."""
    results, lines = section["results"], []
    for size, verdicts in results["who"].items():
        known = size in {f"{width}x{height}" for width, height in TRAINED}
        lines.append(
            Row(
                f"{size}, {'trained' if known else 'not trained'}: right actors",
                str(Rate(sum(verdicts), len(verdicts))),
            )
        )
    for size, found in results["drafts"].items():
        same, other = (np.mean([one[name] for one in found]) for name in ("same_seed", "other_seed"))
        claim = f"{size}, draft and full video: overlap (IoU) of the actor's place"
        lines.append(Row(claim, f"{same:.2f}; with a draft of another seed {other:.2f}"))
    for size, found in results["large"].items():
        took = f"{found['seconds']:.0f} s, {found['peak']:.0f} MB (predicted {found['foretold']:.0f})"
        lines.append(Row(f"{size}: a picture in {LARGE_STEPS} steps", took, "runs"))
    return lines


if __name__ == "__main__":
    print(json.dumps(large_picture(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
