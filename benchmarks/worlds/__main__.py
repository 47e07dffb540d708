"""How far a trained world can be trusted: its frames against those of the real clips, for the same actions.

    python -m benchmarks.worlds RUN CLIPS [--diamond 12min.safetensors 40min.safetensors] [--clips 24] [--frames 16]
        [--only steps places collapse] [--minutes 10 --seeds 20] [--json FILE] [--sheet FILE.png]

RUN is a folder or the name of a model with actions, and CLIPS a folder of clips that were held out. Beside the model
are measured: `--diamond`, worlds of `benchmarks.worlds.diamond`; "copy last", which repeats the last frame; "shift
rule", by which a move shifts the last frame by a cell, whatever stands in the way; and the game itself. Intervals are
of 95 %, and resample whole clips. With `--json` the rows of a file that are not measured again are kept.

Delta-PSNR is the PSNR over the pixels that changed in the real clip since the frame before. Moves are right where the
map is shifted as in the real clip, by one cell or none.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.worlds.clips import Clip, Model, Rule, Truth, read_clips, rollout
from benchmarks.worlds.collapse import hazard
from benchmarks.worlds.counters import counters
from benchmarks.worlds.diamond import Diamond
from benchmarks.worlds.places import find_walks, permanence
from benchmarks.worlds.rows import Row, table
from benchmarks.worlds.steps import counterfactuals, drift, from_true_pasts, in_sessions, latency
from chronotope.geometry import Frames
from chronotope.simulate.model import StepSettings, WorldModel

SECTIONS = ("steps", "places", "collapse")
GAME = "the game itself"


def steps(models: Mapping[str, Model], truth: Truth, clips: Sequence[Clip]) -> Iterator[Row]:
    """Measure steps, sessions, counterfactuals, latency, counters and drift of every model."""
    for name, model in models.items():
        yield from from_true_pasts(name, model, clips)
        rows, sessions = in_sessions(name, model, clips)
        yield from rows
        yield from counterfactuals(name, model, truth, clips)
        yield from latency(name, model, truth, clips)
        yield from counters(name, clips, sessions)
        yield from drift(name, model, clips)


def places(models: Mapping[str, Model], truth: Truth, clips: Sequence[Clip]) -> Iterator[Row]:
    """Measure what comes back after a walk away and back."""
    walks = find_walks(truth, clips)
    for name, model in models.items():
        yield from permanence(name, model, walks)


def draw_sheet(models: Mapping[str, Model], clips: Sequence[Clip], path: Path) -> None:
    """Draw real clips, and below each the session of every model; every other frame."""
    lines: list[Frames] = []
    for number, clip in enumerate(clips):
        actions = clip.actions.values[1 : len(clip.frames)]
        lines += [clip.frames, *(rollout(model, clip.frames[0], actions, number) for model in models.values())]
    sheet = np.concatenate([np.concatenate(list(line[::2]), axis=1) for line in lines], axis=0)
    Image.fromarray(sheet.repeat(2, axis=0).repeat(2, axis=1)).save(path)


def report(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure what is asked; return the rows and how they were made."""
    world = WorldModel.load(asked.run, StepSettings(asked.steps, None, asked.history))
    clips = read_clips(asked.clips, world.schema, asked.count, asked.frames)
    truth = Truth(clips)
    learned: dict[str, Model] = {"the model": world}
    for path in asked.diamond:
        learned[f"DIAMOND-like, {path.stem}"] = Diamond.load(path)
    rules: dict[str, Model] = {
        "copy last": Rule(world.schema, moves=False),
        "shift rule": Rule(world.schema, moves=True),
    }
    if asked.sheet:
        draw_sheet(learned, clips[:4], asked.sheet)
    everything = {**learned, **rules, GAME: truth}
    rows: list[Row] = []
    if "steps" in asked.only:
        rows += steps(everything, truth, clips)
    if "places" in asked.only:
        rows += places(everything, truth, clips)
    if "collapse" in asked.only:
        for name, model in {**learned, GAME: truth}.items():
            rows += hazard(name, model, clips, world.fps, asked.seeds, asked.minutes)
    settings = {
        "run": asked.run,
        "clips": len(clips),
        "frames": asked.frames,
        "threads": torch.get_num_threads(),
        "steps of the sampler": world.sampling.num_steps,
    }
    return {"settings": settings, "rows": [dataclasses.asdict(row) for row in rows]}


def merged(before: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return earlier rows with those that were measured again in their places, and new ones behind."""
    found = {(row["measure"], row["model"]): row for row in before}
    found |= {(row["measure"], row["model"]): row for row in rows}
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--diamond", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", dest="count", type=int, default=24)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--history", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    started = time.process_time()
    found = report(asked)
    if asked.json and asked.json.exists():
        found["rows"] = merged(json.loads(asked.json.read_text())["rows"], found["rows"])
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(Row(**row) for row in found["rows"]))
    print(f"\n{(time.process_time() - started) / 60:.1f} minutes of processor time")


if __name__ == "__main__":
    main()
