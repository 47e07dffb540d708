"""Measure `loop`: is the step from the last frame to the first like the steps inside the video?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.canvas.cases import Case, cases, keep, settings
from benchmarks.harness import Options, Row, say
from chronotope.data.latents import encode_frames
from chronotope.generate.pipeline import Generator
from chronotope.metrics.continuity import FLOW_NOISE, LEVEL_NOISE, differences, flow_changes, seam_ratio, wrap_ratio
from chronotope.metrics.statistics import Rate

TITLE = "Loops"
THREADS = 1
FRAMES = 16
WAYS = ("words", "picture", "clip", "not a loop")
WHOLE = ("words", "not a loop")  # moving slices only, from the first frame on


def measure(options: Options) -> dict[str, Any]:
    """Make loops from a prompt, a picture and a clip; ordinary videos are the control."""
    generator = Generator.load(options.model)
    found = cases(options, lambda spec: spec.num_frames >= 9)
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    ceiling = []
    for number, case in enumerate(found):
        ceiling.append({"seed": case.index, "seam": _ceiling(generator, case)})
        for way in WAYS:
            made = loop(generator, case, way)
            keep(options, f"loop-{way.replace(' ', '-')}", case, made)
            steps = differences(made.frames, cyclic=True)
            frame = wrap_ratio(steps, LEVEL_NOISE)
            seam = seam_ratio(steps, generator.geometry.stride[0], LEVEL_NOISE) if way in WHOLE else None
            flow = wrap_ratio(flow_changes(made.frames), FLOW_NOISE)
            results[way].append({"seed": case.index, "frame": frame, "flow": flow, "seam": seam})
        if (number + 1) % 20 == 0:
            say(f"  {number + 1}/{len(found)}")
    return {
        "settings": settings(options, found, frames=f"{FRAMES}, or a clip and 8 new ones"),
        "results": {**results, "ceiling": ceiling},
    }


def _ceiling(generator: Generator, case: Case) -> float:
    """Return the step ratio between slices of a reconstructed clip, which bounds what a loop can reach."""
    length = generator.geometry.stride[0]
    frames = case.frames[: len(case.frames) // length * length]
    height, width = frames.shape[1:3]
    latents = encode_frames(generator.autoencoder, generator.geometry, frames)
    back = (
        generator.autoencoder.decode(latents, generator.geometry.slices(len(frames)))[:, :height, :width].cpu().numpy()
    )
    return seam_ratio(differences(back, cyclic=True), length, LEVEL_NOISE)


def loop(generator: Generator, case: Case, way: str) -> Any:
    """Generate one loop."""
    inputs: dict[str, Any] = {
        "words": {"num_frames": FRAMES, "task": "loop"},
        "picture": {"num_frames": FRAMES + 1, "task": "loop", "image": case.frames[0]},
        "clip": {"num_frames": 8, "task": "loop", "video": case.frames},
        "not a loop": {"num_frames": FRAMES},
    }[way]
    return generator.generate(case.prompt, seed=case.index, **inputs, **case.size)


def rows(section: dict[str, Any]) -> list[Row]:
    """Return medians and rates by kind of loop."""
    lines = []
    for way in WAYS:
        found = section["results"][way]
        for kind, label in (("frame", "frame difference"), ("flow", "change of flow")):
            ratios = np.array([one[kind] for one in found])
            aim = "" if way == "not a loop" else "<= 1.2"
            rate = Rate(int((ratios <= 1.2).sum()), len(ratios))
            lines.append(
                Row(
                    f"{way}: {label} at the wrap over the median inside",
                    f"median {np.median(ratios):.2f}; at most 1.2: {rate}",
                    aim,
                )
            )
        seams = [one["seam"] for one in found if one["seam"] is not None]
        if seams:
            lines.append(
                Row(
                    f"{way}: frame difference between slices, without the wrap, over that inside slices",
                    f"median {np.median(seams):.2f}",
                )
            )
    ceiling = [one["seam"] for one in section["results"]["ceiling"]]
    return [
        *lines,
        Row(
            "reconstructed clips: frame difference between slices over that inside slices",
            f"median {np.median(ceiling):.2f}",
        ),
    ]
