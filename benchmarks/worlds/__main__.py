"""How far a trained world can be trusted: its frames against those of the real clips, for the same actions.

    python -m benchmarks.worlds RUN CLIPS [--diamond 12min.safetensors 40min.safetensors] [--clips 24] [--frames 16]
        [--only steps places collapse] [--models model mapless diamond rules game] [--minutes 10 --seeds 20]
        [--json FILE]
    python -m benchmarks.worlds RUN CLIPS --only consistency        of a model and clips of Doom

RUN is a folder or the name of a model with actions, and CLIPS a folder of clips that were held out. Beside the model
are measured: the model without its map of places that were seen (`places` alone); `--diamond`, worlds of
`benchmarks.worlds.diamond`; "copy last", which repeats the last frame; "shift rule", by which a move shifts the last
frame by a cell, whatever stands in the way; and the game itself. Intervals are of 95 %, and resample whole clips. With
`--json` the rows of a file that are not measured again are kept, each section with its settings.

Delta-PSNR is the PSNR over the pixels that changed in the real clip since the frame before. Moves are right where the
map is shifted as in the real clip, by one cell or none.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.worlds.clips import Clip, Model, Rule, Truth, read_clips, rollout
from benchmarks.worlds.collapse import hazard
from benchmarks.worlds.consistency import in_three_dimensions
from benchmarks.worlds.counters import counters
from benchmarks.worlds.diamond import Diamond
from benchmarks.worlds.places import dead_reckoning, find_walks, permanence
from benchmarks.worlds.rows import Row, table
from benchmarks.worlds.steps import counterfactuals, drift, from_true_pasts, in_sessions, latency
from chronotope.generate.stored.folders import find_model, weights_of
from chronotope.geometry import Frames
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.storage import read_json, write_json

SECTIONS = ("steps", "places", "collapse")  # of Crafter
MODELS = ("model", "mapless", "diamond", "rules", "game")
GAME, MAPLESS = "the game itself", "the model without its map"


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
        yield from dead_reckoning(name, model, walks)


def draw_sheet(models: Mapping[str, Model], clips: Sequence[Clip], path: Path) -> None:
    """Draw real clips, and below each the session of every model; every other frame."""
    lines: list[Frames] = []
    for number, clip in enumerate(clips):
        actions = clip.actions.values[1 : len(clip.frames)]
        lines += [clip.frames, *(rollout(model, clip.frames[0], actions, number) for model in models.values())]
    sheet = np.concatenate([np.concatenate(list(line[::2]), axis=1) for line in lines], axis=0)
    Image.fromarray(sheet.repeat(2, axis=0).repeat(2, axis=1)).save(path)


def measured(asked: argparse.Namespace, world: WorldModel, clips: Sequence[Clip]) -> Iterator[Row]:
    """Yield the rows of what is asked, as they are measured."""
    if "consistency" in asked.only:
        yield from in_three_dimensions(world, clips, asked.sheet)
    if set(asked.only) & set(SECTIONS):
        yield from in_crafter(asked, world, clips)


def in_crafter(asked: argparse.Namespace, world: WorldModel, clips: Sequence[Clip]) -> Iterator[Row]:
    """Yield the rows of what is asked of a model of Crafter."""
    truth = Truth(clips)
    learned: dict[str, Model] = {"the model": world} if "model" in asked.models else {}
    for path in asked.diamond if "diamond" in asked.models else ():
        learned[f"DIAMOND-like, {path.stem}"] = Diamond.load(path)
    rules: dict[str, Model] = {
        "copy last": Rule(world.schema, moves=False),
        "shift rule": Rule(world.schema, moves=True),
    }
    game: dict[str, Model] = {GAME: truth} if "game" in asked.models else {}
    if asked.sheet:
        draw_sheet(learned, clips[:4], asked.sheet)
    everything = {**learned, **(rules if "rules" in asked.models else {}), **game}
    if "steps" in asked.only:
        yield from (row for row in steps(everything, truth, clips) if row.unit != "1/s" or row.model in learned)
    if "places" in asked.only:
        mapless = WorldModel(world.generator, replace(world.settings, map_side=0))
        also: dict[str, Model] = {MAPLESS: mapless} if world.map_side and "mapless" in asked.models else {}
        yield from places({**also, **everything}, truth, clips)
    if "collapse" in asked.only:
        for name, model in {**learned, **game}.items():
            yield from hazard(name, model, clips, world.fps, asked.seeds, asked.minutes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--diamond", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", dest="count", type=int, default=24)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=(*SECTIONS, "consistency"), default=SECTIONS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--history", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    started = time.process_time()
    world = WorldModel.load(asked.run, StepSettings(asked.steps, None, asked.history))
    clips = read_clips(asked.clips, world.schema, asked.count, asked.frames)
    settings = {
        "model": asked.run,
        "weights": weights_of(find_model(asked.run)),
        "clips": len(clips),
        "frames": asked.frames,
        "threads": torch.get_num_threads(),
        "steps of the sampler": world.sampling.num_steps,
    }
    collapses = {"seeds": asked.seeds, "minutes": asked.minutes}
    earlier = read_json(asked.json) if asked.json and asked.json.exists() else {"settings": {}, "rows": []}
    told = earlier["settings"] | {only: settings | (collapses if only == "collapse" else {}) for only in asked.only}
    found = {(row.measure, row.model): row for row in map(Row.read, earlier["rows"])}
    for row in measured(asked, world, clips):
        found[row.measure, row.model] = row
        print(f"{row.model}: {row.measure}, {row.unit}: {row}", file=sys.stderr)
        if asked.json:  # at once: a long measurement may be interrupted
            write_json(asked.json, {"settings": told, "rows": [each.plain() for each in found.values()]})
    print(table(found.values()))
    print(f"\n{(time.process_time() - started) / 60:.1f} minutes of processor time")


if __name__ == "__main__":
    main()
