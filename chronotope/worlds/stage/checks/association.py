"""Assign cells to actors: by kind, among actors of one kind by colour, and a spinning actor by its position.

The detector was trained on upright sprites. A turned square looks like a circle and a turned triangle like a heart, but
a spinning actor keeps its position, so everything seen where it was recognised is assigned to it.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from chronotope.worlds.stage.checks.attributes import MIN_PROBABILITY, Detections, shades, to_lab, track_probability
from chronotope.worlds.stage.checks.detector import CELL, KINDS, NOTHING
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["actor_probabilities", "dilate"]

MIN_SIMILAR_SHARE = 0.2  # of the largest area of an actor: a smaller area is a shade of a similar actor
ProbabilityMap = Float[np.ndarray, "t rows columns"]


def actor_probabilities(detections: Detections, spec: Spec) -> list[ProbabilityMap]:
    """Return the probability of each actor in each cell, in the order of the spec."""
    maps = [detections.probability[:, KINDS.index(actor.noun)] for actor in spec.actors]
    for index, actor in enumerate(spec.actors):
        similar = [other for other in spec.actors if other.noun == actor.noun and other is not actor]
        if similar:
            maps[index] = maps[index] * _nearest_in_colour(detections, actor, similar)
    for index, actor in enumerate(spec.actors):
        if any(event.kind == "spin" and event.actor == actor.id for event in spec.events):
            _claim_region(detections, maps, index)
    return maps


def dilate(cells: Bool[np.ndarray, "rows columns"], margin: int = 1) -> Bool[np.ndarray, "rows columns"]:
    """Enlarge a mask by a margin in cells."""
    return cv2.dilate(cells.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0


def _nearest_in_colour(
    detections: Detections, actor: Actor, similar: list[Actor]
) -> Bool[np.ndarray, "t rows columns"]:
    """Find the cells most of whose pixels are nearer to the colour of this actor than to those of similar ones."""
    frames, cells = detections.frames, detections.probability.shape[2:]
    bottom, right = cells[0] * CELL - frames.shape[1], cells[1] * CELL - frames.shape[2]
    whole = np.pad(frames, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    pixels = to_lab(whole.reshape(-1, 3))
    colours = [actor.colour or "", *(other.colour or "" for other in similar)]
    distances = [np.min([np.linalg.norm(pixels - s, axis=1) for s in shades(colour)], axis=0) for colour in colours]
    nearest = distances[0] < np.min(distances[1:], axis=0)
    share = nearest.reshape(len(frames), cells[0], CELL, cells[1], CELL).mean(axis=(2, 4))
    mask = (share > 0.5) & (detections.probability[:, KINDS.index(actor.noun)] >= MIN_PROBABILITY)
    areas = mask.sum(axis=(1, 2), keepdims=True)
    return np.asarray(mask & (areas >= MIN_SIMILAR_SHARE * areas.max()))


def _claim_region(detections: Detections, maps: list[ProbabilityMap], index: int) -> None:
    """Assign everything inside the region where a spinning actor was recognised to that actor alone."""
    votes = track_probability(detections, maps[index]).cells.sum(axis=0)
    _, pieces = cv2.connectedComponents((votes > 0).astype(np.uint8), connectivity=8)
    most_often = np.bincount(pieces.ravel(), weights=votes.ravel()).argmax()
    seen = (pieces == most_often) & (votes > 0)
    others = [other_map for number, other_map in enumerate(maps) if number != index]
    taken = (
        np.any([other_map >= MIN_PROBABILITY for other_map in others], axis=0)
        if others
        else np.zeros(maps[index].shape, bool)
    )
    region = dilate(seen) & ~(taken & ~seen)
    # Outside this region another actor of the same kind is a duplicate, and must not win against the spinning one.
    maps[index] = np.where(region, 1 - detections.probability[:, NOTHING], np.minimum(maps[index], MIN_PROBABILITY))
    for number, other_map in enumerate(maps):
        if number != index:
            maps[number] = other_map * ~seen
