"""Check that an actor is drawn as what it is called in the frames that show it: no lump, no animal without a head.

The detector calls a malformed drawing `something`, wholly or in part. The likeness of an actor in a frame is the share
of all foreground around it that the detector takes for its kind. Small and thin things have less of it than large ones,
so it is compared with that of the same actor in the true clip.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from chronotope.worlds.check import Outcome
from chronotope.worlds.stage.checks.association import dilate
from chronotope.worlds.stage.checks.attributes import MIN_PROBABILITY, detect
from chronotope.worlds.stage.checks.detector import KINDS, NOTHING, SOMETHING, load_detector
from chronotope.worlds.stage.checks.tracking import (
    MIN_STRANGER_CELLS,
    TrackedActor,
    TrackedClip,
    largest_patch,
    track_actors,
)
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.spec import Spec

__all__ = ["check_form", "likeness", "stands_malformed"]

# Chosen on 200 videos of the suite `standard` that a viewer had judged (docs/log.md, entry 56).
MIN_LIKENESS = 0.9  # of the first quartile of the true clip
MAX_MALFORMED_SHARE = 0.25  # of the frames


def check_form(scene: TrackedClip, index: int) -> Outcome:
    """Check that few of the frames that show an actor show it malformed; return the first that does.

    Frames that show it whole and apart from others count, or where there are none, all that show it.
    """
    true = _true_likeness(scene.spec)[index]
    values, times = likeness(scene, scene.actors[index])
    malformed = values < MIN_LIKENESS * true
    if not len(values) or malformed.mean() <= MAX_MALFORMED_SHARE:
        return None
    return "ID-FRM", int(times[malformed.argmax()])


def stands_malformed(scene: TrackedClip) -> bool:
    """Tell whether a thing that is nothing known, and touches no actor, stands in half of the frames or more.

    Where an actor is missing, that is the actor, malformed beyond recognition.
    """
    probability = scene.detections.probability
    unknown = (probability[:, NOTHING] < MIN_PROBABILITY) & (probability.argmax(axis=1) == SOMETHING)
    occupied = [dilate(np.any([track.trail.cells[t] for track in scene.actors], axis=0)) for t in range(len(unknown))]
    sizes = [largest_patch(cells & ~taken) for cells, taken in zip(unknown, occupied, strict=True)]
    return float(np.mean([size >= MIN_STRANGER_CELLS for size in sizes])) >= 0.5


@functools.lru_cache(maxsize=1024)
def _true_likeness(spec: Spec) -> tuple[float, ...]:
    """Return the first quartile of the likeness of each actor in the true clip; 0 where it is never found."""
    scene = track_actors(detect(load_detector(), render(spec).frames), spec)
    found = [likeness(scene, track)[0] for track in scene.actors]
    return tuple(float(np.percentile(values, 25)) if len(values) else 0.0 for values in found)


def likeness(scene: TrackedClip, track: TrackedActor) -> tuple[Float[np.ndarray, " n"], np.ndarray]:
    """Return the likeness of an actor, 0 to 1, and the frames that it is of."""
    times = np.flatnonzero(track.alone if track.alone.any() else track.found)
    around = np.array([dilate(track.trail.cells[t]) for t in times]).reshape(-1, *track.trail.cells.shape[1:])
    probability = scene.detections.probability[times]
    own = (probability[:, KINDS.index(track.actor.noun)] * around).sum(axis=(1, 2))
    foreground = ((1 - probability[:, NOTHING]) * around).sum(axis=(1, 2))
    return own / np.maximum(foreground, 1e-6), times
