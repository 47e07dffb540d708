"""Which cells are likely whose: by kind; of two alike by their colours; of somebody who turns by its place.

The detector knows things as they stand. Turned, a square looks like a circle and a triangle like a heart; but who turns keeps its place,
so whatever is seen where it was recognised is taken for it.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.stage.checks.attributes import SURE, Detections, perceived, shades_of, track_likely
from chronotope.worlds.stage.checks.detector import CELL, KINDS, NOTHING
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["chances_of", "grown"]

SPECK = 0.2  # of the largest area of one of two alike: less is a shade of the other
Chance = Float[np.ndarray, "t rows columns"]


def chances_of(sight: Detections, spec: Spec) -> list[Chance]:
    """How likely each actor is in each cell, in the order of the spec."""
    own = [sight.likely[:, KINDS.index(actor.noun)] for actor in spec.actors]
    for place, actor in enumerate(spec.actors):
        alike = [other for other in spec.actors if other.noun == actor.noun and other is not actor]
        if alike:
            own[place] = own[place] * _nearer(sight, actor, alike)
    for place, actor in enumerate(spec.actors):
        if any(event.kind == "spin" and event.actor == actor.id for event in spec.events):
            _give_room(sight, own, place)
    return own


def grown(cells: Bool[np.ndarray, "rows columns"], margin: int = 1) -> Bool[np.ndarray, "rows columns"]:
    """With a margin of so many cells."""
    return cv2.dilate(cells.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0


def _nearer(sight: Detections, actor: Actor, alike: list[Actor]) -> Bool[np.ndarray, "t rows columns"]:
    """The cells most of whose pixels are nearer to this actor's colour than to those of its likes."""
    frames, cells = sight.frames, sight.likely.shape[2:]
    bottom, right = cells[0] * CELL - frames.shape[1], cells[1] * CELL - frames.shape[2]
    whole = np.pad(frames, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    pixels = perceived(whole.reshape(-1, 3))
    colours = [actor.colour or "", *(other.colour or "" for other in alike)]
    near = [
        np.min([np.linalg.norm(pixels - shade, axis=1) for shade in shades_of(colour)], axis=0) for colour in colours
    ]
    mine = near[0] < np.min(near[1:], axis=0)
    share = mine.reshape(len(frames), cells[0], CELL, cells[1], CELL).mean(axis=(2, 4))
    own = (share > 0.5) & (sight.likely[:, KINDS.index(actor.noun)] >= SURE)
    areas = own.sum(axis=(1, 2), keepdims=True)
    return np.asarray(own & (areas >= SPECK * areas.max()))


def _give_room(sight: Detections, own: list[Chance], place: int) -> None:
    """Whatever is where somebody who turns was recognised is that somebody, and nobody else."""
    votes = track_likely(sight, own[place]).cells.sum(axis=0)
    _, pieces = cv2.connectedComponents((votes > 0).astype(np.uint8), connectivity=8)
    seen = (pieces == np.bincount(pieces.ravel(), weights=votes.ravel()).argmax()) & (
        votes > 0
    )  # where it was recognised most often
    others = [chance for number, chance in enumerate(own) if number != place]
    taken = np.any([chance >= SURE for chance in others], axis=0) if others else np.zeros(own[place].shape, bool)
    here = grown(seen) & ~(taken & ~seen)
    # elsewhere somebody of its kind is a double, and must not be taken for the one who turns
    own[place] = np.where(here, 1 - sight.likely[:, NOTHING], np.minimum(own[place], SURE))
    for number, chance in enumerate(own):
        if number != place:
            own[number] = chance * ~seen
