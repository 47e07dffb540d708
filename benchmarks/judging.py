"""Measure the speed of the checks: all of `check` on rendered clips of 128 x 128, on one thread.

python -m benchmarks.judging            frames per second of CPU time and of wall time, medians of the rounds
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time

import torch

from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.predicates import check
from chronotope.worlds.stage.checks.tracking import truth_of, unsupported
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.specs import specs_of

SIZE = 128
AIM = 50.0  # frames per second
SPECS = 16  # held-out specs, of these scopes in turn
TURNS = ("small", "acts", "deeds", "returns")


def judged() -> list[Spec]:
    """Return the specs, made square, which is possible because places and sizes in a spec are relative."""
    specs = [next(specs_of(2_000_000 + index, SCOPES[TURNS[index % len(TURNS)]], "heldout")) for index in range(SPECS)]
    square = [dataclasses.replace(spec, width=SIZE, height=SIZE) for spec in specs]
    return [spec for spec in square if not unsupported(spec)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_detector()
    clips = [(spec, render(spec).frames) for spec in judged()]
    check(detector, *clips[0])
    per_cpu, per_wall = [], []
    for _ in range(options.rounds):
        cpu, clock = time.process_time(), time.perf_counter()
        for spec, frames in clips:
            truth_of.cache_clear()  # so that every video is judged without cached results
            check(detector, spec, frames)
        frames = sum(len(frames) for _, frames in clips)
        per_cpu.append(frames / (time.process_time() - cpu))
        per_wall.append(frames / (time.perf_counter() - clock))
    found = {
        "clips": len(clips),
        "frames": frames,
        "size": SIZE,
        "frames per second of CPU time": round(statistics.median(per_cpu), 1),
        "frames per second of wall time": round(statistics.median(per_wall), 1),
        "aim": AIM,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
