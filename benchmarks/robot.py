"""A robot task: where are the stick and the solids after an action sequence, in predicted frames and in real ones?

    python -m benchmarks.robot RUN CLIPS [--clips 40] [--json FILE] [--sheet FILE.png]

CLIPS are held-out clips of `chronotope world table --policy pusher`, RUN a model that was trained on others. The model
sees the real frames up to `START`, then only the actions. In its frames stick and solids are found by colour, as in
real ones, and compared with the simulator's own positions; what is not found in a frame is where it was found last.
The same with the actions of another clip shows what the actions are worth; "copy last" leaves everything where it was
found in the last real frame. "By its actions" is a rule without a model: the stick goes as told, and solids rest.
Intervals are of 95 %, by a bootstrap over clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.worlds.clips import Clip, after, read_clips
from chronotope.geometry import Frames
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.worlds.table.checks.geometry import ExpectedScene
from chronotope.worlds.table.checks.tracking import track_solids
from chronotope.worlds.table.pusher.checks import expected
from chronotope.worlds.table.pusher.positions import positions
from chronotope.worlds.table.pusher.spec import AREA, PusherSpec, scene_of

START = 7  # the last real frame that is seen; most pushes begin after it
CONTEXT = 6  # real frames before it that are seen, too
HORIZONS = (2, 8, 16)
FRAMES = START + 1 + max(HORIZONS)
MOVED = 0.1  # metres by which a solid must have come for it to count as pushed
RESAMPLES = 2000
METHODS = ("the model", "another clip's actions", "copy last", "by its actions", "the real frames")


@dataclass(frozen=True)
class Found:
    """Where the actors of a clip are, [t, a, 2] in metres, by method, for frames from START on; and the truth."""

    truth: ExpectedScene
    places: Mapping[str, np.ndarray]
    missing: Mapping[str, np.ndarray]  # [t, a]: not found in a frame
    made: Mapping[str, Frames]


def predicted(world: WorldModel, clip: Clip, actions: np.ndarray, seed: int) -> Frames:
    """Return the frames after START for these actions [n, 2]."""
    state, made = after(world, clip, START - CONTEXT, START, seed), []
    for action in actions:
        state, frames = world.step(state, action[None])
        made.append(frames[-1])
    return np.stack(made)


def located(spec: PusherSpec, clip: Clip, made: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Return where actors are from START on, [t, a, 2], and where they were not found, of real frames and made ones."""
    frames = np.concatenate([clip.frames[: START + 1], made])
    found = positions(track_solids(scene_of(spec), frames, expected(spec)))
    missing = np.isnan(found[..., 0])
    for t in range(1, len(found)):
        found[t] = np.where(missing[t][:, None], found[t - 1], found[t])
    return found[START:], missing[START:]


def compare(world: WorldModel, clips: Sequence[Clip], number: int) -> Found:
    """Predict a clip by every method; the actions of the clip after it are the other ones."""
    clip, stop = clips[number], START + 1
    spec = replace(clip.spec, num_frames=FRAMES)
    own, other = (each.actions.values[stop:FRAMES] for each in (clip, clips[(number + 1) % len(clips)]))
    made = {
        "the model": predicted(world, clip, own, number),
        "another clip's actions": predicted(world, clip, other, number),
        "copy last": np.repeat(clip.frames[START][None], FRAMES - stop, axis=0),
        "the real frames": clip.frames[stop:FRAMES],
    }
    places, missing = {}, {}
    for method, frames in made.items():
        places[method], missing[method] = located(spec, clip, frames)
    ruled = places["copy last"].copy()
    for t, action in enumerate(own, start=1):
        ruled[t, -1] = np.clip(ruled[t - 1, -1] + action / spec.fps, -np.array(AREA), AREA)
    places["by its actions"], missing["by its actions"] = ruled, missing["copy last"]
    return Found(expected(spec), places, missing, made)


def errors(found: Found, method: str, horizon: int) -> dict[str, dict[str, list[float]]]:
    """Return the errors of one frame in cm and pixels, of the stick, and of solids that were pushed or rest by then."""
    true = found.truth.trajectory.position[START:]
    view, place = found.truth.views[0], found.places[method][horizon]
    result: dict[str, dict[str, list[float]]] = {}
    for i in range(true.shape[1]):
        came = float(np.linalg.norm(true[horizon, i, :2] - true[0, i, :2]))
        name = "stick" if i == true.shape[1] - 1 else "pushed solids" if came >= MOVED else "resting solids"
        each = result.setdefault(name, {"cm": [], "px": [], "missing": []})
        each["cm"].append(100 * float(np.linalg.norm(place[i] - true[horizon, i, :2])))
        seen = view.project(np.array([[*place[i], true[horizon, i, 2]], true[horizon, i]]))[:, :2]
        each["px"].append(float(np.linalg.norm(seen[0] - seen[1])))
        each["missing"].append(float(found.missing[method][horizon, i]))
    return result


def interval(by_clip: Sequence[Sequence[float]], seed: int = 0) -> dict[str, Any]:
    """Return the mean over all values and its interval; clips are resampled, since what is in one belongs together."""
    sums, counts = np.array([sum(values) for values in by_clip]), np.array([len(values) for values in by_clip])
    picks = np.random.default_rng(seed).integers(len(by_clip), size=(RESAMPLES, len(by_clip)))
    means = sums[picks].sum(axis=1) / np.maximum(counts[picks].sum(axis=1), 1)
    ends = [round(float(end), 2) for end in np.percentile(means, [2.5, 97.5])]
    return {"mean": round(float(sums.sum() / counts.sum()), 2), "interval": ends}


def table(found: Sequence[Found]) -> dict[str, Any]:
    """Return the errors of every method, by horizon and kind of actor."""
    rows: dict[str, Any] = {}
    for horizon in HORIZONS:
        for method in METHODS:
            of_clips = [errors(each, method, horizon) for each in found]
            for kind in ("stick", "pushed solids", "resting solids"):
                having = [each[kind] for each in of_clips if kind in each]
                if not having:
                    continue
                row = {unit: interval([each[unit] for each in having]) for unit in ("cm", "px")}
                row["not found"] = round(float(np.mean([v for each in having for v in each["missing"]])), 3)
                row["count"] = sum(len(each["cm"]) for each in having)
                rows.setdefault(f"{horizon} frames", {}).setdefault(kind, {})[method] = row
    return rows


def sheet(clips: Sequence[Clip], found: Sequence[Found], file: Path, count: int = 4) -> None:
    """Write pictures: of each clip the real frames, those of the model, and those for the actions of another clip."""
    rows = []
    for clip, each in list(zip(clips, found, strict=True))[:count]:
        for method in ("the real frames", "the model", "another clip's actions"):
            shown = np.concatenate([clip.frames[START : START + 1], each.made[method][1::2]])
            rows.append(np.concatenate(list(shown), axis=1))
    Image.fromarray(np.concatenate(rows)).save(file)


def main() -> None:
    """Compare, print the table, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the folder of a model that was trained with actions")
    parser.add_argument("clips", type=Path, help="held-out clips of the pusher")
    parser.add_argument("--clips", dest="count", type=int, default=40, help="how many clips at most")
    parser.add_argument("--steps", type=int, help="steps of the sampler for a frame")
    parser.add_argument("--json", type=Path, help="where to write the table")
    parser.add_argument("--sheet", type=Path, help="where to write pictures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = WorldModel.load(options.run, StepSettings(num_steps=options.steps))
    clips = read_clips(options.clips, world.schema, options.count, FRAMES)
    if len(clips) < 2:
        raise SystemExit(f"{options.clips} holds {len(clips)} clips of {FRAMES} frames, expected 2 or more")
    found = [compare(world, clips, number) for number in range(len(clips))]
    about = {"clips": len(clips), "last real frame": START, "fps": world.fps, "errors": table(found)}
    print(json.dumps(about, indent=1))
    if options.json:
        options.json.write_text(json.dumps(about, indent=1) + "\n")
    if options.sheet:
        sheet(clips, found, options.sheet)


if __name__ == "__main__":
    main()
