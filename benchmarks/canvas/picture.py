"""Measure `animate a picture`: does the video begin with the picture and keep its actors?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.canvas.cases import cases, keep, settings, simple
from benchmarks.harness import Options, Row
from benchmarks.words import through
from chronotope.generate.pipeline import Generator
from chronotope.metrics.similarity import psnr
from chronotope.metrics.statistics import Rate
from chronotope.worlds.stage.checks.attributes import judge
from chronotope.worlds.stage.checks.detector import load_detector

TITLE = "Picture: the first frame and what follows"
THREADS = 1


def measure(options: Options) -> dict[str, Any]:
    """Measure the PSNR of the first frame and of the reconstructed picture, and detect actors in later frames."""
    generator, detector, found, results = Generator.load(options.model), load_detector(), cases(options, simple), []
    for case in found:
        picture = case.frames[:1]
        made = generator.generate(case.prompt, image=picture[0], num_frames=9, seed=case.index, **case.size)
        keep(options, "picture", case, made)
        trip, first = (psnr(picture, frames) for frames in (through(generator, picture), made.frames[:1]))
        who = all(verdict.who for verdict in judge(detector, case.spec, made.frames[1:]))
        results.append({"seed": case.index, "round_trip": trip, "first_frame": first, "who": who})
    return {"settings": settings(options, found), "results": results}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return medians and rates."""
    found = section["results"]
    loss = np.array([one["round_trip"] - one["first_frame"] for one in found])
    within = Rate(int((loss <= 0.5).sum()), len(loss))
    return [
        Row("first frame below the reconstructed picture: median", f"{np.median(loss):.2f} dB", "<= 0.5 dB"),
        Row("first frame within 0.5 dB of the reconstructed picture", str(within)),
        Row("actors of the picture are in the video", str(Rate(sum(one["who"] for one in found), len(found)))),
    ]
