"""Compare the memory that `--dry-run` predicts with the peak of a process, for thirty shapes."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from benchmarks.harness import Options, Row, in_own_process, peak_megabytes, say
from chronotope.generate.memory import process_bytes, return_large_blocks
from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate
from chronotope.prompt import read_prompts
from chronotope.request import Request

TITLE = "Memory: predicted and measured"
THREADS = 1
# width, height, frames, guidance
SHAPES = (
    (96, 64, 17, 3), (64, 64, 1, 3), (64, 96, 9, 1), (192, 128, 17, 3), (128, 192, 33, 3), (96, 64, 480, 3),
    (384, 256, 17, 3), (384, 256, 1, 3), (256, 384, 17, 1), (512, 512, 1, 3), (512, 512, 9, 1), (512, 512, 17, 1),
    (512, 288, 17, 3), (288, 512, 9, 3), (1024, 1024, 1, 3), (1024, 1024, 1, 1), (1280, 720, 1, 3), (720, 1280, 1, 1),
    (1920, 1080, 1, 3), (1080, 1920, 1, 1), (2048, 2048, 1, 1), (768, 512, 5, 3), (512, 768, 9, 1), (333, 200, 17, 3),
    (1000, 100, 9, 3), (100, 1000, 17, 1), (640, 640, 4, 3), (320, 320, 33, 3), (1280, 720, 4, 1), (1920, 1080, 4, 1),
)  # fmt: skip


def measure(options: Options) -> dict[str, Any]:
    """Generate with one step each, because memory does not depend on the number of steps."""
    results = []
    for shape in SHAPES:
        results.append({"shape": shape, **in_own_process("benchmarks.canvas.memory", options.model, *shape)})
        say(f"  {results[-1]}")
    return {"settings": {"model": options.model, "steps": 1}, "results": results}


def one(model: str, width: int, height: int, num_frames: int, guidance: float) -> dict[str, float]:
    """Predict memory, generate in this process, and measure its peak; in MiB."""
    torch.set_num_threads(THREADS)
    return_large_blocks()  # as the command line does
    generator = Generator.load(model)
    prompts = read_prompts("a red ball")
    size = {"height": height, "width": width, "num_frames": num_frames, "fps": 8.0}
    plan = generator.plan(Request(prompts, num_steps=1, guidance_scale=guidance, **size))
    predicted = process_bytes() + generator.memory(plan)
    for _ in generator.stream(plan).pieces:
        pass
    return {"foretold": round(predicted / 2**20, 1), "peak": peak_megabytes()}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return the share of shapes within 15 %, and the extremes."""
    ratios = [found["foretold"] / found["peak"] for found in section["results"]]
    within = Rate(sum(abs(ratio - 1) <= 0.15 for ratio in ratios), len(ratios))
    return [
        Row("shapes whose peak was predicted within 15 %", str(within), "all"),
        Row("predicted over measured, lowest and highest", f"{min(ratios):.2f} and {max(ratios):.2f}"),
    ]


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], *map(int, sys.argv[2:]))))
