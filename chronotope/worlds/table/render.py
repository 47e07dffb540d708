"""The table: a spec of solids, contacts and a camera in three dimensions becomes frames, masks, depth and truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from chronotope.config import to_dict
from chronotope.worlds.events import EventRecord
from chronotope.worlds.table.camera import View, views
from chronotope.worlds.table.mujoco_model import build, outline
from chronotope.worlds.table.opengl import Drawer
from chronotope.worlds.table.simulate import Contact, Motion, play
from chronotope.worlds.table.spec import TableSpec

__all__ = ["TableClip", "TableTruth", "first_picture", "pixels_inside", "render"]


@dataclasses.dataclass(frozen=True)
class TableTruth:
    """What is where, as arrays over [frame, actor]: in pixels of the picture with its corner at (0, 0), and in metres."""

    actors: tuple[str, ...]
    x: np.ndarray  # of the centre
    y: np.ndarray
    width: np.ndarray  # of the box around the outline
    height: np.ndarray
    visible_fraction: np.ndarray
    present: np.ndarray  # always: nothing leaves the world
    position: np.ndarray  # [frame, actor, 3]: x to the right and y away from the first camera, z above the table
    orientation: np.ndarray  # [frame, actor, 4]: quaternion w, x, y, z
    velocity: np.ndarray  # [frame, actor, 3], metres a second
    camera: np.ndarray  # [frame, 3, 4]: camera @ (x, y, z, 1) is (column, row, 1) times the depth
    contacts: tuple[Contact, ...]
    events: tuple[EventRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """Compact lists for JSON."""
        pixels = {name: getattr(self, name).round(2).tolist() for name in ("x", "y", "width", "height")}
        metres = {
            name: getattr(self, name).round(4).tolist()
            for name in ("visible_fraction", "position", "orientation", "velocity")
        }
        camera = [[[float(f"{number:.7g}") for number in row] for row in matrix] for matrix in self.camera]
        return {
            "actors": list(self.actors),
            **pixels,
            **metres,
            "present": self.present.astype(int).tolist(),
            "camera": camera,
            "contacts": to_dict(self.contacts),
        }


@dataclasses.dataclass(frozen=True)
class TableClip:
    """A rendered clip: uint8 frames [t, h, w, 3], masks [t, h, w] (0 table and floor, i + 1 actor i), depth [t, h, w] in metres, truth."""

    frames: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    truth: TableTruth


def render(spec: TableSpec, motion: Motion | None = None) -> TableClip:
    """Play (unless it has been) and draw the whole clip; the same spec gives the same bytes on one machine."""
    model = build(spec)
    motion, path = motion or play(spec, model), views(spec)
    shape = (spec.num_frames, spec.height, spec.width)
    frames, masks, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8), np.empty(shape, np.float32)
    drawer = Drawer(spec, model)
    try:
        for t, view in enumerate(path):
            frames[t], masks[t], depth[t] = drawer.draw(motion.position[t], motion.orientation[t], view)
    finally:
        drawer.close()
    return TableClip(frames, masks, depth, _truth(spec, motion, path, masks))


def first_picture(spec: TableSpec, motion: Motion | None = None) -> np.ndarray:
    """The first frame of the clip alone, uint8 [h, w, 3]."""
    model = build(spec)
    motion, drawer = motion or play(spec, model), Drawer(spec, model)
    try:
        return drawer.draw(motion.position[0], motion.orientation[0], views(spec)[0])[0]
    finally:
        drawer.close()


def _truth(spec: TableSpec, motion: Motion, path: tuple[View, ...], masks: np.ndarray) -> TableTruth:
    shape = (spec.num_frames, len(spec.actors))
    x, y, width, height, whole = (np.zeros(shape) for _ in range(5))
    for t, view in enumerate(path):
        centres = view.project(motion.position[t])
        x[t], y[t] = centres[:, 0], centres[:, 1]
        for i, actor in enumerate(spec.actors):
            line = outline(actor, motion.position[t, i], motion.rotation(t, i), view)
            if len(line):
                width[t, i], height[t, i] = np.ptp(line, axis=0)
                whole[t, i] = pixels_inside(line)
    count = len(spec.actors) + 1
    shown = np.stack([np.bincount(mask.ravel(), minlength=count)[1:count] for mask in masks])
    fraction = np.divide(shown, whole, out=np.zeros(shape), where=whole > 0).clip(0, 1)
    matrices = np.stack([view.matrix for view in path])
    return TableTruth(
        tuple(actor.id for actor in spec.actors), x, y, width, height, fraction, np.full(shape, True),
        motion.position, motion.orientation, motion.velocity, matrices, motion.contacts, motion.events,
    )  # fmt: skip


def pixels_inside(line: np.ndarray) -> int:
    """How many pixels have their middle within a convex outline, in the picture or beyond its edge."""
    low, high = np.floor(line.min(0)), np.ceil(line.max(0))
    rows = np.arange(low[1], high[1]) + 0.5
    start, end = line, np.roll(line, -1, axis=0)
    # Where each row meets the outline: each side that spans the row gives one of its two ends.
    spans = (start[:, 1:] <= rows) != (end[:, 1:] <= rows)
    slope = (end[:, :1] - start[:, :1]) / np.where(end[:, 1:] == start[:, 1:], 1.0, end[:, 1:] - start[:, 1:])
    at = start[:, :1] + slope * (rows - start[:, 1:])
    left = np.where(spans, at, np.inf).min(0)
    right = np.where(spans, at, -np.inf).max(0)
    met = left <= right
    return int((np.ceil(right[met] - 0.5) - np.ceil(left[met] - 0.5)).sum())
