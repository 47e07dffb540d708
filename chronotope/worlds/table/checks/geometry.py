"""What a table spec says about the picture: where everybody is, how much of it shows, and how pixels lead back to metres.

Physics is played once a spec; outlines are painted from far to near, so no OpenGL is needed to judge a video.
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
from chronotope.worlds.table.simulate import Motion, simulate
from chronotope.worlds.table.spec import Actor, TableSpec, extent

__all__ = ["TableTruth", "anchor_height", "on_line", "on_plane", "orbit_of", "table_region", "triangulate", "truth_of"]

BORDER = 0.035  # of the short side: where a blurred picture mixes table and sky
RESTS = 0.02  # metres: who goes less rests


@dataclass(frozen=True)
class TableTruth:
    """How the spec goes when physics plays it: arrays over [frame, actor], areas in pixels."""

    motion: Motion
    views: tuple[View, ...]
    whole: Float[np.ndarray, "t a"]  # pixels of the outline, in the picture or beyond its edge
    visible: Float[np.ndarray, "t a"]  # the share of them that neither another nor the edge hides
    centres: Float[np.ndarray, "t a 2"]  # of what is visible, in pixels; NaN where nothing is
    rests: Bool[np.ndarray, " a"]  # through the whole clip
    untouched: Bool[np.ndarray, "t a"]  # before it first meets another: from then on a small difference grows


@functools.lru_cache(maxsize=1024)
def truth_of(spec: TableSpec) -> TableTruth:
    """Play a spec, and paint who hides whom."""
    motion, path = simulate(spec), views(spec)
    shape = (spec.num_frames, len(spec.actors))
    whole, visible, centres = np.zeros(shape), np.zeros(shape), np.full((*shape, 2), np.nan)
    for t, view in enumerate(path):
        mask, whole[t] = _painted(spec, motion, t, view)
        for i in range(len(spec.actors)):
            shown = mask == i + 1
            if spec.actors[i].colour == "white":  # before the sky nothing white can be told
                shown &= table_region(spec)
            moments = cv2.moments(shown.astype(np.uint8), binaryImage=True)
            if moments["m00"]:
                visible[t, i] = min(1.0, moments["m00"] / max(whole[t, i], 1.0))
                centres[t, i] = moments["m10"] / moments["m00"] + 0.5, moments["m01"] / moments["m00"] + 0.5
    rests = np.linalg.norm(motion.position - motion.position[:1], axis=2).max(axis=0) < RESTS
    return TableTruth(motion, path, whole, visible, centres, rests, _untouched(spec, motion, rests))


def _painted(spec: TableSpec, motion: Motion, t: int, view: View) -> tuple[UInt8[np.ndarray, "h w"], list[int]]:
    """Masks of one frame as in the worlds (0 nobody, i + 1 actor i), and the pixels of every outline."""
    lines = [outline(actor, motion.position[t, i], motion.rotation(t, i), view) for i, actor in enumerate(spec.actors)]
    mask = np.zeros((spec.height, spec.width), np.uint8)
    for i in np.argsort([-np.linalg.norm(view.place - place) for place in motion.position[t]]):
        if len(lines[i]):  # cv2 counts from the middle of the first pixel, in sixteenths
            cv2.fillConvexPoly(mask, np.rint((lines[i] - 0.5) * 16).astype(np.int32), int(i) + 1, cv2.LINE_8, 4)
    return mask, [pixels_inside(line) if len(line) else 0 for line in lines]


def _untouched(spec: TableSpec, motion: Motion, rests: Bool[np.ndarray, " a"]) -> Bool[np.ndarray, "t a"]:
    names = {actor.id: i for i, actor in enumerate(spec.actors)}
    found = np.ones((spec.num_frames, len(names)), bool)
    pushed = {
        event.actor for event in spec.events if event.kind == "push"
    }  # by a hand that keeps it going, whatever it meets
    for contact in motion.contacts:
        if contact.actor in names and contact.target in names:
            for name in {contact.actor, contact.target} - pushed:
                found[math.ceil(contact.seconds * spec.fps) :, names[name]] = False
    # what stands on a falling stack is touched all the time and moves without a new contact
    begun = np.linalg.norm(motion.position - motion.position[:1], axis=2) > RESTS
    going = {event.actor for event in spec.events}
    for i, actor in enumerate(spec.actors):
        if actor.id not in going and not rests[i]:
            found[:, i] &= ~np.logical_or.accumulate(begun[:, i])
    return found


@functools.lru_cache(maxsize=4096)
def anchor_height(spec: TableSpec, actor: Actor) -> float:
    """Metres above the table at which a solid's own axis passes the middle of its outline: low on a pointed one; the mean all around."""
    tall, angle = extent(actor)[2], math.radians(actor.turn)
    place = np.array([actor.x, actor.y, actor.lift + tall / 2])
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0], [0.0, 0.0, 1.0]]
    )
    heights = []
    for view in orbit_of(spec, np.arange(0.0, 360.0, 45.0)):
        moments = cv2.moments(outline(actor, place, turn, view).astype(np.float32))
        if moments["m00"]:
            heights.append(on_line(view, moments["m01"] / moments["m00"], place[:2]))
    return float(np.mean(heights)) if heights else actor.lift + tall / 2


def on_plane(view: View, pixels: Float[np.ndarray, "n 2"], height: float) -> Float[np.ndarray, "n 2"]:
    """Where lines of sight meet the level plane at this height: x, y in metres; NaN where they do not."""
    way = _rays(view, pixels)
    far = (height - view.place[2]) / np.where(np.abs(way[:, 2]) < 1e-9, np.nan, way[:, 2])
    return np.asarray(view.place[:2] + np.where(far > 0, far, np.nan)[:, None] * way[:, :2])


def on_line(view: View, row: float, place: Float[np.ndarray, " 2"]) -> float:
    """How high above the table, in metres, something is that stands over `place` and is seen in this row."""
    first, third = view.matrix[1], view.matrix[2]
    # (m1 - row m2) . (x, y, z, 1) = 0, solved for z
    rest = first - row * third
    return float(-(rest[0] * place[0] + rest[1] * place[1] + rest[3]) / rest[2])


def _rays(view: View, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    across = (pixels - [view.width / 2, view.height / 2]) / view.focal
    return np.column_stack([across, np.ones(len(pixels))]) @ view.axes


@functools.lru_cache(maxsize=256)
def table_region(spec: TableSpec) -> Bool[np.ndarray, "h w"]:
    """Pixels behind which the table lies at every frame, but for its border: it is round, and the camera goes around its middle."""
    rows, columns = np.mgrid[: spec.height, : spec.width] + 0.5
    places = on_plane(view_at(spec, 0.0), np.column_stack([columns.ravel(), rows.ravel()]), 0.0)
    inside = np.hypot(places[:, 0], places[:, 1]) < TOP_RADIUS
    side = 2 * math.ceil(BORDER * min(spec.width, spec.height)) + 1
    region = inside.reshape(spec.height, spec.width).astype(np.uint8)
    return cv2.erode(region, np.ones((side, side), np.uint8), borderValue=1).astype(bool)


def orbit_of(spec: TableSpec, degrees: Float[np.ndarray, " t"]) -> list[View]:
    """The spec's camera at these angles."""
    return [view_at(spec, float(angle)) for angle in degrees]


def triangulate(
    path: Sequence[View], pixels: Float[np.ndarray, "n 2"], height: float
) -> tuple[Float[np.ndarray, " 2"], np.ndarray]:
    """The place at this height whose pictures come nearest to these pixels, and how far off each of them is, in pixels."""
    matrices = np.stack([view.matrix for view in path])
    rows = matrices[:, :2] - pixels[:, :, None] * matrices[:, 2:3]
    rows = rows / np.linalg.norm(rows[..., :3], axis=2, keepdims=True)
    flat = rows.reshape(-1, 4)
    place = np.linalg.lstsq(flat[:, :2], -(flat[:, 2] * height + flat[:, 3]), rcond=None)[0]
    seen = matrices @ np.array([*place, height, 1.0])
    return place, np.linalg.norm(seen[:, :2] / seen[:, 2:] - pixels, axis=1)
