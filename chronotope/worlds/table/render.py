"""Render a table spec: frames, masks, depth and ground truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from chronotope.config import to_dict
from chronotope.worlds.events import EventRecord
from chronotope.worlds.table.camera import View, views
from chronotope.worlds.table.mujoco_model import build_model, outline
from chronotope.worlds.table.opengl import Renderer
from chronotope.worlds.table.simulate import Contact, Trajectory, simulate_model
from chronotope.worlds.table.spec import TableSpec

__all__ = ["TableClip", "TableTruth", "first_picture", "pixels_inside", "render"]


@dataclasses.dataclass(frozen=True)
class TableTruth:
    """Ground truth: arrays over [frame, actor], in metres or in pixels of the picture with its corner at (0, 0)."""

    actors: tuple[str, ...]
    x: np.ndarray  # of the centre
    y: np.ndarray
    width: np.ndarray  # of the box around the outline
    height: np.ndarray
    visible_fraction: np.ndarray
    present: np.ndarray  # always true: nothing leaves the world
    position: np.ndarray  # [frame, actor, 3]: x to the right and y away from the first camera, z above the table
    orientation: np.ndarray  # [frame, actor, 4]: quaternion w, x, y, z
    velocity: np.ndarray  # [frame, actor, 3], m/s
    camera: np.ndarray  # [frame, 3, 4]: camera @ (x, y, z, 1) is (column, row, 1) times the depth
    contacts: tuple[Contact, ...]
    events: tuple[EventRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return rounded lists for JSON."""
        arrays = {name: getattr(self, name).round(2).tolist() for name in ("x", "y", "width", "height")}
        for name in ("visible_fraction", "position", "orientation", "velocity"):
            arrays[name] = getattr(self, name).round(4).tolist()
        camera = [[[float(f"{number:.7g}") for number in row] for row in matrix] for matrix in self.camera]
        return {
            "actors": list(self.actors),
            **arrays,
            "present": self.present.astype(int).tolist(),
            "camera": camera,
            "contacts": to_dict(self.contacts),
        }


@dataclasses.dataclass(frozen=True)
class TableClip:
    """A rendered clip: uint8 frames [t, h, w, 3], masks [t, h, w] (0 scenery, i + 1 actor i) and ground truth.

    `depth` [t, h, w] is in metres along the camera's axis.
    """

    frames: np.ndarray
    masks: np.ndarray
    depth: np.ndarray
    truth: TableTruth


def render(spec: TableSpec, trajectory: Trajectory | None = None) -> TableClip:
    """Draw the whole clip, and simulate it first unless `trajectory` is given.

    The same spec gives the same bytes on one machine.
    """
    model = build_model(spec)
    trajectory, path = trajectory or simulate_model(spec, model), views(spec)
    shape = (spec.num_frames, spec.height, spec.width)
    frames, masks, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8), np.empty(shape, np.float32)
    renderer = Renderer(spec, model)
    try:
        for t, view in enumerate(path):
            frames[t], masks[t], depth[t] = renderer.draw(trajectory.position[t], trajectory.orientation[t], view)
    finally:
        renderer.close()
    return TableClip(frames, masks, depth, _truth(spec, trajectory, path, masks))


def first_picture(spec: TableSpec, trajectory: Trajectory | None = None) -> np.ndarray:
    """Draw only the first frame of the clip, uint8 [h, w, 3]."""
    model = build_model(spec)
    trajectory, renderer = trajectory or simulate_model(spec, model), Renderer(spec, model)
    try:
        return renderer.draw(trajectory.position[0], trajectory.orientation[0], views(spec)[0])[0]
    finally:
        renderer.close()


def _truth(spec: TableSpec, trajectory: Trajectory, path: tuple[View, ...], masks: np.ndarray) -> TableTruth:
    shape = (spec.num_frames, len(spec.actors))
    x, y, width, height, whole = (np.zeros(shape) for _ in range(5))
    for t, view in enumerate(path):
        centres = view.project(trajectory.position[t])
        x[t], y[t] = centres[:, 0], centres[:, 1]
        for i, actor in enumerate(spec.actors):
            points = outline(actor, trajectory.position[t, i], trajectory.rotation(t, i), view)
            if len(points):
                width[t, i], height[t, i] = np.ptp(points, axis=0)
                whole[t, i] = pixels_inside(points)
    count = len(spec.actors) + 1
    visible = np.stack([np.bincount(mask.ravel(), minlength=count)[1:count] for mask in masks])
    return TableTruth(
        actors=tuple(actor.id for actor in spec.actors),
        x=x,
        y=y,
        width=width,
        height=height,
        visible_fraction=np.divide(visible, whole, out=np.zeros(shape), where=whole > 0).clip(0, 1),
        present=np.full(shape, True),
        position=trajectory.position,
        orientation=trajectory.orientation,
        velocity=trajectory.velocity,
        camera=np.stack([view.matrix for view in path]),
        contacts=trajectory.contacts,
        events=trajectory.events,
    )


def pixels_inside(polygon: np.ndarray) -> int:
    """Return how many pixel centres are inside a convex polygon [n, 2], also beyond the edge of the picture."""
    low, high = np.floor(polygon.min(0)), np.ceil(polygon.max(0))
    rows = np.arange(low[1], high[1]) + 0.5
    start, end = polygon, np.roll(polygon, -1, axis=0)
    # Each edge that spans a row gives one of the two ends of the polygon in that row.
    spans = (start[:, 1:] <= rows) != (end[:, 1:] <= rows)
    rise = np.where(end[:, 1:] == start[:, 1:], 1.0, end[:, 1:] - start[:, 1:])
    crossing = start[:, :1] + (end[:, :1] - start[:, :1]) / rise * (rows - start[:, 1:])
    left = np.where(spans, crossing, np.inf).min(0)
    right = np.where(spans, crossing, -np.inf).max(0)
    met = left <= right
    return int((np.ceil(right[met] - 0.5) - np.ceil(left[met] - 0.5)).sum())
