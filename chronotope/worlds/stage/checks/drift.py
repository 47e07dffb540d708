"""Measure how far the last frames of a video differ from the first, and the slope of each measure.

Brightness, saturation, noise and flicker are measured where the first and the last frames show only background, so
actors that come and go do not count. Sharpness is that of the steepest edges of the whole picture. True clips set the
thresholds (`SPREAD`).
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

__all__ = ["MEASURES", "MIN_SECONDS", "SPREAD", "check_drift", "drift_of", "gradients", "measures"]

MIN_SECONDS = 4.0  # shorter clips are not checked
END_SHARE = 0.15  # the share of the frames that counts as the beginning, and as the end
MIN_BACKGROUND_SHARE = 0.05  # of the picture, free of actors by the detector
MIN_BACKGROUND_PIXELS = 16
# The largest change from the first to the last frames: about the threshold of visibility, and far above the 99th
# percentile of true clips, which is tiny for a still camera (docs/evaluation/checks.md)
SPREAD = {"brightness": 5.0, "saturation": 4.0, "sharpness": 0.7, "noise": 2.0, "flicker": 2.0}
MEASURES = tuple(SPREAD)  # in levels of 255; sharpness in doublings of the steepest gradient


@dataclass(frozen=True)
class Drift:
    """The value of each measure at the end minus that at the beginning, and its slope per second."""

    change: dict[str, float]
    slope: dict[str, float]


def measures(frames: Frames, region: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "m t"]:
    """Return every measure of every frame, in the order of `MEASURES`.

    The noise and flicker of the first frame are those of the step after it.
    """
    values = frames.astype(np.float32)
    grey = values.mean(axis=3)
    # Saturation is the difference of the channels: relative to brightness, black pixels would be the most saturated.
    saturation = (values.max(axis=3) - values.min(axis=3))[:, region].mean(axis=1)
    sharpness = np.log2(np.percentile(gradients(grey).reshape(len(frames), -1), 98, axis=1) + 1)
    steps = np.diff(grey[:, region], axis=0)
    flicker = np.abs(steps.mean(axis=1))
    noise = np.abs(steps - steps.mean(axis=1, keepdims=True)).mean(axis=1)
    moving = [np.concatenate([row[:1], row]) if len(row) else np.zeros(1) for row in (noise, flicker)]
    return np.stack([grey[:, region].mean(axis=1), saturation, sharpness, *moving])


def gradients(grey: Float[np.ndarray, "t h w"]) -> Float[np.ndarray, "t h1 w1"]:
    """Return the magnitude of the gradient of brightness."""
    return np.hypot(np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1])


def ends(count: int) -> tuple[slice, slice]:
    """Return the first and the last frames."""
    edge = max(1, round(END_SHARE * count))
    return slice(0, edge), slice(count - edge, count)


def drift_of(frames: Frames, region: Bool[np.ndarray, "h w"], fps: float) -> Drift:
    """Return the change from end to end, and the slope of a line fitted to the means of each second."""
    values = measures(frames, region)
    first, last = ends(len(frames))
    change = values[:, last].mean(axis=1) - values[:, first].mean(axis=1)
    seconds = np.floor(np.arange(len(frames)) / fps).astype(int)
    means = np.array([values[:, seconds == second].mean(axis=1) for second in range(seconds[-1] + 1)])
    slope = np.polyfit(np.arange(len(means)), means, 1)[0] if len(means) > 1 else np.zeros(len(MEASURES))
    return Drift(*(dict(zip(MEASURES, row.tolist(), strict=True)) for row in (change, slope)))


def background_region(scene: TrackedClip) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that show the background in all of the first and the last frames.

    Where the detector sees things almost everywhere at the end, the true masks replace the detections of the end.
    """
    first, last = ends(scene.num_frames)
    before = scene.backdrop[first].all(axis=0)
    region = np.asarray(before & scene.backdrop[last].all(axis=0))
    if region.mean() >= MIN_BACKGROUND_SHARE:
        return region
    occupied = np.asarray((render(scene.spec).masks[last] > 0).any(axis=0), np.uint8)
    margin = cv2.dilate(occupied, np.ones((9, 9), np.uint8))
    margin = np.asarray(cv2.resize(margin, before.shape[::-1], interpolation=cv2.INTER_NEAREST))
    return np.asarray(before & (margin == 0))


def check_drift(scene: TrackedClip) -> tuple[Outcome, dict[str, float]]:
    """Check that a long clip ends as it began, except where the truth changes too.

    Returns the outcome with the changes and slopes (`... a second`).
    """
    region = background_region(scene)
    if region.sum() < MIN_BACKGROUND_PIXELS:
        return None, {}
    found = drift_of(scene.frames, region, scene.spec.fps)
    truth = drift_of(_resized(scaled(render(scene.spec).frames), region.shape), region, scene.spec.fps)
    change, beyond = found.change, {name: found.change[name] - truth.change[name] for name in MEASURES}
    exceeding = {name for name in MEASURES if min(abs(change[name]), abs(beyond[name])) > SPREAD[name]}
    # Most edges belong to actors, so sharpness changes when an actor enters or leaves.
    if change["sharpness"] > 0 or not _all_in_view(scene):
        exceeding -= {"sharpness"}
    numbers = {**change, **{f"{name} a second": value for name, value in found.slope.items()}}
    return ("LNG-DRF", ends(scene.num_frames)[1].start) if exceeding else None, numbers


def _resized(frames: Frames, shape: tuple[int, ...]) -> UInt8[np.ndarray, "t tall wide 3"]:
    """Resize frames to this height and width, because a video may have another size than its spec."""
    if frames.shape[1:3] == shape:
        return frames
    return np.stack([cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA) for frame in frames])


def _all_in_view(scene: TrackedClip) -> bool:
    """Tell whether every actor is present at both ends, and none enters or leaves."""
    passing = any(event.kind in ("enter", "leave", "eat", "hit") for event in scene.spec.events)
    first, last = ends(scene.num_frames)
    return not passing and all(min(x.found[first].mean(), x.found[last].mean()) >= 0.5 for x in scene.actors)
