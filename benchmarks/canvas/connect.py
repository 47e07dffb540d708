"""Measure `connect`: known frames are unchanged, the transition has no cut and is gradual."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from benchmarks.canvas.cases import CONTEXT, cases, keep, settings
from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator
from chronotope.media.picture import fit
from chronotope.metrics.continuity import cuts
from chronotope.metrics.statistics import Rate

TITLE = "Connect two clips"
THREADS = 1
NEW = 8  # frames


def measure(options: Options) -> dict[str, Any]:
    """Connect every clip to the next one, and run the cut detector on concatenated pairs and single clips as controls.

    The next clip may have another size.
    """
    generator, results = Generator.load(options.model), []
    found = cases(options, lambda spec: spec.num_frames >= CONTEXT)
    for number, (case, other) in enumerate(zip(found, found[1:] + found[:1], strict=True)):
        first, second = case.frames, other.frames
        prompt = [(0.0, case.prompt), ((NEW - 1) / case.spec.fps, other.prompt)]
        made = generator.generate(
            prompt, video=first, into=second, task="connect", num_frames=NEW, seed=case.index, **case.size
        )
        keep(options, "connect", case, made)
        fitted = fit(second, case.spec.height, case.spec.width)[0]
        between = made.frames[len(first) - 1 : len(made.frames) - len(second) + 1]
        results.append(
            {
                "seed": case.index,
                "given_back": bool(
                    np.array_equal(made.frames[: len(first)], first)
                    and np.array_equal(made.frames[-len(second) :], fitted)
                ),
                "cuts": len(cuts(made.frames[len(first) - 4 : len(made.frames) - len(second) + 4])),
                "hard_cut_found": len(first) in cuts(np.concatenate([first, fitted])),
                "false_cuts": len(cuts(first)),
                "order": progress(between),
            }
        )
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {"settings": settings(options, found, new=f"{NEW} frames"), "results": results}


def progress(frames: np.ndarray) -> float:
    """Return the rank correlation of time and the position between the first and last frame; 1 is monotone."""
    pixels = frames.reshape(len(frames), -1).astype(np.float64)
    line = pixels[-1] - pixels[0]
    along = (pixels - pixels[0]) @ line / max(float(line @ line), 1e-9)
    return float(stats.spearmanr(np.arange(len(frames)), along).statistic)


def rows(section: dict[str, Any]) -> list[Row]:
    """Return rates."""
    found = section["results"]
    count = len(found)
    order = [one["order"] for one in found]
    return [
        Row(
            "known frames on both sides are unchanged to the bit",
            str(Rate(sum(one["given_back"] for one in found), count)),
        ),
        Row("transitions without a cut", str(Rate(sum(not one["cuts"] for one in found), count)), "no cuts"),
        Row(
            "recall of the cut detector on concatenated clips",
            str(Rate(sum(one["hard_cut_found"] for one in found), count)),
        ),
        Row(
            "false-positive rate of the cut detector on single clips",
            str(Rate(sum(one["false_cuts"] > 0 for one in found), count)),
        ),
        Row("gradual transition: median rank correlation with time", f"{np.median(order):.2f}"),
        Row("gradual transition: rank correlation of at least 0.9", str(Rate(sum(one >= 0.9 for one in order), count))),
    ]
