"""What the video of a table spec must show: positions and visibility of solids; and conversion from pixels to metres.

A spec is simulated once. Outlines are painted from far to near, so that judging a video needs no OpenGL.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chronotope.worlds.table.camera import View, view_at, views
from chronotope.worlds.table.materials import TOP_RADIUS
from chronotope.worlds.table.mujoco_model import outline
from chronotope.worlds.table.render import pixels_inside
from chronotope.worlds.table.simulate import Trajectory, simulate
from chronotope.worlds.table.spec import Actor, TableSpec, extent

__all__ = [
    "ExpectedScene",
    "anchor_height",
    "expected_scene",
    "height_at",
    "intersect_plane",
    "orbit_views",
    "table_region",
    "triangulate",
    "truth_of",
]

BORDER = 0.035  # of the short side: there a blurred picture mixes table and sky
REST_DISTANCE = 0.02  # metres: a solid that moves less rests


@dataclass(frozen=True)
class ExpectedScene:
    """The simulation of a spec and what its video shows: arrays over [frame, actor], areas in pixels."""

    trajectory: Trajectory
    views: tuple[View, ...]
    whole: Float[np.ndarray, "t a"]  # pixels of the outline, also beyond the edge of the picture
    visible: Float[np.ndarray, "t a"]  # the share of them that neither another solid nor the edge hides
    centres: Float[np.ndarray, "t a 2"]  # of the visible part, in pixels; NaN where nothing is visible
    rests: Bool[np.ndarray, " a"]  # in the whole clip
    untouched: Bool[
        np.ndarray, "t a"
    ]  # before its first contact with another solid, after which small differences grow


@functools.lru_cache(maxsize=1024)
def truth_of(spec: TableSpec) -> ExpectedScene:
    """Simulate a spec and compute the visible part of each solid."""
    return expected_scene(spec, simulate(spec))


def expected_scene(spec: TableSpec, trajectory: Trajectory) -> ExpectedScene:
    """Compute the visible part of each solid of a simulated spec."""
    path = views(spec)
    shape = (spec.num_frames, len(spec.actors))
    whole, visible, centres = np.zeros(shape), np.zeros(shape), np.full((*shape, 2), np.nan)
    for t, view in enumerate(path):
        mask, whole[t] = _paint_masks(spec, trajectory, t, view)
        for i in range(len(spec.actors)):
            shown = mask == i + 1
            if spec.actors[i].colour == "white":  # white cannot be distinguished from the sky
                shown &= table_region(spec)
            moments = cv2.moments(shown.astype(np.uint8), binaryImage=True)
            if moments["m00"]:
                visible[t, i] = min(1.0, moments["m00"] / max(whole[t, i], 1.0))
                centres[t, i] = moments["m10"] / moments["m00"] + 0.5, moments["m01"] / moments["m00"] + 0.5
    rests = np.linalg.norm(trajectory.position - trajectory.position[:1], axis=2).max(axis=0) < REST_DISTANCE
    untouched = _untouched(spec, trajectory, rests)
    return ExpectedScene(trajectory, path, whole, visible, centres, rests, untouched)


def _paint_masks(
    spec: TableSpec, trajectory: Trajectory, t: int, view: View
) -> tuple[UInt8[np.ndarray, "h w"], list[int]]:
    """Return the mask of one frame (0 scenery, i + 1 actor i) and the number of pixels of every outline."""
    positions = trajectory.position[t]
    outlines = [outline(actor, positions[i], trajectory.rotation(t, i), view) for i, actor in enumerate(spec.actors)]
    mask = np.zeros((spec.height, spec.width), np.uint8)
    for i in np.argsort([-np.linalg.norm(view.place - position) for position in positions]):
        if len(outlines[i]):  # OpenCV counts from the centre of the first pixel, in 1/16 pixel
            cv2.fillConvexPoly(mask, np.rint((outlines[i] - 0.5) * 16).astype(np.int32), int(i) + 1, cv2.LINE_8, 4)
    return mask, [pixels_inside(points) if len(points) else 0 for points in outlines]


def _untouched(spec: TableSpec, trajectory: Trajectory, rests: Bool[np.ndarray, " a"]) -> Bool[np.ndarray, "t a"]:
    """Return for each frame and actor whether it has not yet had a contact with another actor."""
    untouched = np.ones(trajectory.position.shape[:2], bool)
    index = {actor.id: i for i, actor in enumerate(spec.actors)}
    # A pushed actor goes straight, whatever it touches.
    pushed = {event.actor for event in spec.events if event.kind == "push"}
    for contact in trajectory.contacts:
        if contact.actor in index and contact.target in index:
            for name in {contact.actor, contact.target} - pushed:
                untouched[math.ceil(contact.seconds * spec.fps) :, index[name]] = False
    # A solid on a falling stack touches it all the time, so that its motion begins without a new contact.
    moved = np.linalg.norm(trajectory.position - trajectory.position[:1], axis=2) > REST_DISTANCE
    with_event = {event.actor for event in spec.events}
    for i, actor in enumerate(spec.actors):
        if actor.id not in with_event and not rests[i]:
            untouched[:, i] &= ~np.logical_or.accumulate(moved[:, i])
    return untouched


@functools.lru_cache(maxsize=4096)
def anchor_height(spec: TableSpec, actor: Actor) -> float:
    """Return the height, in metres, of the point on a solid's axis that projects to the centre of its outline.

    It is low for a pointed solid. The result is the mean over 8 directions of view.
    """
    middle, angle = actor.lift + extent(actor)[2] / 2, math.radians(actor.turn)
    place = np.array([actor.x, actor.y, middle])
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    heights = []
    for view in orbit_views(spec, np.arange(0.0, 360.0, 45.0)):
        moments = cv2.moments(outline(actor, place, turn, view).astype(np.float32))
        if moments["m00"]:
            heights.append(height_at(view, moments["m01"] / moments["m00"], place[:2]))
    return float(np.mean(heights)) if heights else middle


def intersect_plane(view: View, pixels: Float[np.ndarray, "n 2"], height: float) -> Float[np.ndarray, "n 2"]:
    """Return x, y, in metres, where lines of sight meet the horizontal plane at this height; NaN where they do not."""
    way = _rays(view, pixels)
    far = (height - view.place[2]) / np.where(np.abs(way[:, 2]) < 1e-9, np.nan, way[:, 2])
    return np.asarray(view.place[:2] + np.where(far > 0, far, np.nan)[:, None] * way[:, :2])


def height_at(view: View, row: float, place: Float[np.ndarray, " 2"]) -> float:
    """Return the height, in metres, of the point above `place` that is seen in this row of the picture."""
    first, third = view.matrix[1], view.matrix[2]
    # Solve (m1 - row m2) . (x, y, z, 1) = 0 for z.
    rest = first - row * third
    return float(-(rest[0] * place[0] + rest[1] * place[1] + rest[3]) / rest[2])


def _rays(view: View, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    across = (pixels - [view.width / 2, view.height / 2]) / view.focal
    return np.column_stack([across, np.ones(len(pixels))]) @ view.axes


@functools.lru_cache(maxsize=256)
def table_region(spec: TableSpec) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that show the table, without its border.

    They are the same at every frame: the table is round, and the camera moves around its middle.
    """
    rows, columns = np.mgrid[: spec.height, : spec.width] + 0.5
    places = intersect_plane(view_at(spec, 0.0), np.column_stack([columns.ravel(), rows.ravel()]), 0.0)
    inside = np.hypot(places[:, 0], places[:, 1]) < TOP_RADIUS
    side = 2 * math.ceil(BORDER * min(spec.width, spec.height)) + 1
    region = inside.reshape(spec.height, spec.width).astype(np.uint8)
    return cv2.erode(region, np.ones((side, side), np.uint8), borderValue=1).astype(bool)


def orbit_views(spec: TableSpec, degrees: Float[np.ndarray, " t"]) -> list[View]:
    """Return the spec's camera at these angles, in degrees."""
    return [view_at(spec, float(angle)) for angle in degrees]


def triangulate(
    path: Sequence[View], pixels: Float[np.ndarray, "n 2"], height: float
) -> tuple[Float[np.ndarray, " 2"], np.ndarray]:
    """Return the x, y at this height that project nearest to these pixels, and the distance of each, in pixels.

    The linear least squares of Hartley and Zisserman (2004), section 12.2.
    """
    matrices = np.stack([view.matrix for view in path])
    rows = matrices[:, :2] - pixels[:, :, None] * matrices[:, 2:3]
    rows = rows / np.linalg.norm(rows[..., :3], axis=2, keepdims=True)
    flat = rows.reshape(-1, 4)
    place = np.linalg.lstsq(flat[:, :2], -(flat[:, 2] * height + flat[:, 3]), rcond=None)[0]
    projected = matrices @ np.array([*place, height, 1.0])
    return place, np.linalg.norm(projected[:, :2] / projected[:, 2:] - pixels, axis=1)
