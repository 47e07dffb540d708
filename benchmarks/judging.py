"""How fast videos are judged: true clips at 128 x 128 on one thread, everything that `check` does.

python -m benchmarks.judging            frames a second of CPU time and of the clock, median of the rounds
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
AIM = 50.0
SPECS = 16  # held out, in turns of these scopes: always the same, whatever the trial of the checks grows by
TURNS = ("small", "acts", "deeds", "returns")


def judged() -> list[Spec]:
    """The specs, square; places and sizes in a spec are relative."""
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
    of_cpu, of_clock = [], []
    for _ in range(options.rounds):
        cpu, clock = time.process_time(), time.perf_counter()
        for spec, frames in clips:
            truth_of.cache_clear()  # every video is judged for the first time
            check(detector, spec, frames)
        frames = sum(len(frames) for _, frames in clips)
        of_cpu.append(frames / (time.process_time() - cpu))
        of_clock.append(frames / (time.perf_counter() - clock))
    print(json.dumps({"clips": len(clips), "frames": frames, "size": SIZE, "a second of CPU": round(statistics.median(of_cpu), 1),
                      "a second of the clock": round(statistics.median(of_clock), 1), "aim": AIM}))  # fmt: skip


if __name__ == "__main__":
    main()
