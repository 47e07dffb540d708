"""Does the end of a video still look like its beginning? Measures of the last frames beside those of the first, and their slopes.

Brightness, saturation, noise and flicker are taken where nobody stands in the first and the last frames, so that actors who come
and go do not count; sharpness over the whole picture, where its steepest edges are. What true clips do from end to end is the
yardstick (`SPREAD`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chronotope.geometry import Frames
from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.detector import scaled
from chronotope.worlds.stage.checks.tracking import TrackedClip
from chronotope.worlds.stage.render import render

__all__ = ["FADES", "LONG", "MEASURES", "SPREAD", "drift_of", "drifts", "ends", "fade", "measures", "resting"]

LONG = 4.0  # seconds: of shorter clips nothing is said
EDGE = 0.15  # the share of the frames that are the beginning, and the end
FADES = ("faded", "blurred", "saturated", "noisy")
FEWEST = 0.05  # of the picture should be free of actors, by the detector
LEAST = 16  # pixels: of fewer nothing can be said
# What the last frames may have more or less than the first: far above the 99th percentile of true clips, which a resting camera makes
# tiny (docs/evaluation/checks.md), and about what a person begins to see
SPREAD = {"brightness": 5.0, "saturation": 4.0, "sharpness": 0.7, "noise": 2.0, "flicker": 2.0}
MEASURES = tuple(SPREAD)  # levels of 255, but sharpness: doublings of the steepest slope


@dataclass(frozen=True)
class Drift:
    """What each measure is at the end, less what it was at the beginning; and by how much it rises a second."""

    change: dict[str, float]
    slope: dict[str, float]


def measures(frames: Frames, region: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "m t"]:
    """Every measure of every frame, in the order of `MEASURES`; the first frame has the noise and flicker of the step after it."""
    values = frames.astype(np.float32)
    grey = values.mean(axis=3)
    # the distance of the channels: a saturation relative to brightness would make nearly black pixels the most colourful ones
    saturation = (values.max(axis=3) - values.min(axis=3))[:, region].mean(axis=1)
    slopes = np.hypot(np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]).reshape(len(frames), -1)
    sharpness = np.log2(np.percentile(slopes, 98, axis=1) + 1)
    steps = np.diff(grey[:, region], axis=0)
    flicker = np.abs(steps.mean(axis=1))
    noise = np.abs(steps - steps.mean(axis=1, keepdims=True)).mean(axis=1)
    moving = [np.concatenate([row[:1], row]) if len(row) else np.zeros(1) for row in (noise, flicker)]
    return np.stack([grey[:, region].mean(axis=1), saturation, sharpness, *moving])


def ends(count: int) -> tuple[slice, slice]:
    """The first and the last frames."""
    edge = max(1, round(EDGE * count))
    return slice(0, edge), slice(count - edge, count)


def drift_of(frames: Frames, region: Bool[np.ndarray, "h w"], fps: float) -> Drift:
    """The change from end to end, and the slope of a straight line through the means of each second."""
    values = measures(frames, region)
    first, last = ends(len(frames))
    change = values[:, last].mean(axis=1) - values[:, first].mean(axis=1)
    seconds = np.floor(np.arange(len(frames)) / fps).astype(int)
    means = np.array([values[:, seconds == second].mean(axis=1) for second in range(seconds[-1] + 1)])
    slope = np.polyfit(np.arange(len(means)), means, 1)[0] if len(means) > 1 else np.zeros(len(MEASURES))
    return Drift(*(dict(zip(MEASURES, row.tolist(), strict=True)) for row in (change, slope)))


def resting(scene: TrackedClip) -> Bool[np.ndarray, "h w"]:
    """The pixels in which nobody stands, neither in the first nor in the last frames.

    Where an end is so strange that the detector sees things all over it, those in which the truth lets nobody stand there.
    """
    first, last = ends(scene.num_frames)
    before = scene.backdrop[first].all(axis=0)
    region = np.asarray(before & scene.backdrop[last].all(axis=0))
    if region.mean() >= FEWEST:
        return region
    taken = np.asarray((render(scene.spec).masks[last] > 0).any(axis=0), np.uint8)
    wide = cv2.resize(cv2.dilate(taken, np.ones((9, 9), np.uint8)), before.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(before & (np.asarray(wide) == 0))


def drifts(scene: TrackedClip) -> tuple[Outcome, dict[str, float]]:
    """Whether this long clip ends otherwise than it began, where the truth does not; and its changes and slopes (`... a second`)."""
    region = resting(scene)
    if region.sum() < LEAST:
        return None, {}
    found = drift_of(scene.sight.frames, region, scene.spec.fps)
    truth = drift_of(_as_large(scaled(render(scene.spec).frames), region.shape), region, scene.spec.fps)
    far = {
        name
        for name in MEASURES
        if min(abs(found.change[name]), abs(found.change[name] - truth.change[name])) > SPREAD[name]
    }
    if found.change["sharpness"] > 0 or not _in_view(scene):
        far -= {
            "sharpness"
        }  # the edges are those of the actors: who comes later brings some, and who has gone takes them along
    numbers = {**found.change, **{f"{name} a second": value for name, value in found.slope.items()}}
    return ("LNG-DRF", ends(scene.num_frames)[1].start) if far else None, numbers


def _as_large(frames: Frames, shape: tuple[int, ...]) -> UInt8[np.ndarray, "t tall wide 3"]:
    """The frames in this height and width: a video may have another size than its spec."""
    if frames.shape[1:3] == shape:
        return frames
    return np.stack([cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA) for frame in frames])


def _in_view(scene: TrackedClip) -> bool:
    """Whether everybody is there at both ends, and nobody comes or goes."""
    passing = any(event.kind in ("enter", "leave", "eat", "hit") for event in scene.spec.events)
    return not passing and all(one.found[part].mean() >= 0.5 for one in scene.actors for part in ends(scene.num_frames))


def fade(frames: Frames, kind: str, strength: float, rng: np.random.Generator) -> Frames:
    """The clip, ever more `faded`, `blurred`, `saturated` or `noisy` towards its end, where it reaches `strength` (up to 1)."""
    short, spoilt = min(frames.shape[1:3]), []
    for place, frame in enumerate(frames):
        amount = strength * place / max(1, len(frames) - 1)
        values = frame.astype(np.float32)
        if kind == "faded":
            values = values + amount * (127 - values)
        elif kind == "blurred":
            values = cv2.GaussianBlur(values, (0, 0), 1e-3 + 0.06 * short * amount)
        elif kind == "saturated":
            grey = values.mean(axis=2, keepdims=True)
            values = grey + (1 + 2 * amount) * (values - grey) + 40 * amount * np.array([1, 0, -1], np.float32)
        else:
            values = values + rng.normal(0, 24 * amount, values.shape)
        spoilt.append(np.clip(values, 0, 255).round().astype(np.uint8))
    return np.stack(spoilt)
