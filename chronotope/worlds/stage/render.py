"""Render a stage spec: frames, masks and ground truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from chronotope.worlds.events import EventRecord
from chronotope.worlds.stage.backdrops import DrawArea, backdrop_layers, flat_backdrop, layer_pixels
from chronotope.worlds.stage.camera import camera_path
from chronotope.worlds.stage.compositing import ActorView, composite_over
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.tracks import Scene

__all__ = ["StageClip", "Truth", "backdrop_frames", "render"]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth: arrays over [frame, actor] in pixels of the picture, and the log of events."""

    actors: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    rotation: np.ndarray  # degrees, clockwise
    visible_fraction: np.ndarray
    present: np.ndarray
    light: np.ndarray  # over frames only: 1 bright, 0 dark
    events: tuple[EventRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return rounded lists for JSON."""
        numbers = {
            name: getattr(self, name).round(3).tolist()
            for name in ("x", "y", "width", "height", "rotation", "visible_fraction")
        }
        return {
            "actors": list(self.actors),
            **numbers,
            "present": self.present.astype(int).tolist(),
            "light": self.light.tolist(),
        }


@dataclasses.dataclass(frozen=True)
class StageClip:
    """A rendered clip: uint8 frames [t, h, w, 3], masks [t, h, w] (0 backdrop, i + 1 actor i), and ground truth."""

    frames: np.ndarray
    masks: np.ndarray
    truth: Truth


def render(spec: Spec) -> StageClip:
    """Draw the whole clip; the same spec gives the same bytes."""
    cv2.setNumThreads(1)  # threads slow down the drawing of small pictures
    scene = simulate(spec)
    path = camera_path(spec, scene.tracks)
    frames = _backdrop_frames(spec, path)
    masks = np.zeros(frames.shape[:3], np.uint8)
    views = [ActorView(spec, actor, scene.tracks[actor.id], path) for actor in spec.actors]
    switched = {event.actor for event in spec.events if event.kind == "switch"}
    lamps = [i for i, actor in enumerate(spec.actors) if actor.id in switched]
    whole = np.zeros((spec.num_frames, len(views)))  # pixels of each actor without occlusion
    visible = np.zeros_like(whole)
    # Painter's algorithm: from back to front; of two at the same depth, the later one in the list is in front.
    order = sorted(range(len(views)), key=lambda i: (-spec.actors[i].depth, i))
    for t in range(spec.num_frames):
        _draw_strokes(frames[t], scene, path[t], t)
        present = [i for i in order if views[i].present[t]]
        for i in present:
            views[i].cast_shadow(frames[t], t)
        for i in present:
            whole[t, i] = views[i].paint(frames[t], masks[t], t, i + 1)
        visible[t] = np.bincount(masks[t].ravel(), minlength=len(views) + 1)[1 : len(views) + 1]
        for i in lamps:
            _apply_light(frames[t], views[i], t, float(scene.light[t]))
    return StageClip(frames, masks, _truth(spec, views, whole, visible, scene))


def backdrop_frames(spec: Spec) -> np.ndarray:
    """Draw the same frames without actors and strokes, in full light."""
    return _backdrop_frames(spec, camera_path(spec, simulate(spec).tracks))


_DARK = (0.26, 0.28, 0.42)  # factors of red, green and blue in a dark room


def _apply_light(frame: np.ndarray, lamp: ActorView, t: int, light: float) -> None:
    """Darken the picture, or add the glow of the lamp."""
    if light < 1:
        keep = [c + (1 - c) * light for c in _DARK]
        frame[...] = cv2.multiply(frame, np.array([*keep, 1.0]))
    else:
        y, x = np.ogrid[: frame.shape[0], : frame.shape[1]]
        far = ((x - lamp.x[t]) ** 2 + (y - lamp.y[t] + 0.2 * lamp.size[t]) ** 2) / (1.1 * lamp.size[t]) ** 2
        glow = (1 / (1 + far) ** 2)[..., None] * np.array([64.0, 48.0, 8.0])
        frame[...] = np.minimum(frame + glow, 255.0).astype(np.uint8)


def _draw_strokes(frame: np.ndarray, scene: Scene, look: np.ndarray, t: int) -> None:
    centre = np.array([scene.spec.width / 2, scene.spec.height / 2])
    for stroke in scene.strokes:
        points = stroke.points[: max(0, t - stroke.first + 1)]
        if len(points) > 1:
            # OpenCV takes coordinates in 1/16 pixel, with pixel centres at integers.
            seen = np.round(((points - look[:2]) * look[2] + centre - 0.5) * 16).astype(np.int32)
            width = max(1, round(stroke.width * look[2]))
            cv2.polylines(frame, [seen[:, None]], False, stroke.colour, width, cv2.LINE_AA, 4)


def _truth(spec: Spec, views: list[ActorView], whole: np.ndarray, visible: np.ndarray, scene: Scene) -> Truth:
    def stacked(name: str) -> np.ndarray:
        if not views:
            return np.zeros((spec.num_frames, 0))
        return np.stack([getattr(view, name) for view in views], axis=1)

    fraction = np.divide(visible, whole, out=np.zeros_like(whole), where=whole > 0).clip(0, 1)
    return Truth(
        actors=tuple(actor.id for actor in spec.actors),
        x=stacked("x"),
        y=stacked("y"),
        width=stacked("width"),
        height=stacked("height"),
        rotation=stacked("turn"),
        visible_fraction=fraction,
        present=stacked("present").astype(bool),
        light=scene.light.copy(),
        events=tuple(scene.log),
    )


def _backdrop_frames(spec: Spec, path: np.ndarray) -> np.ndarray:
    """Draw the backdrop of every frame, without actors."""
    size = (spec.num_frames, spec.height, spec.width, 3)
    if not np.ptp(path, axis=0).any() and path[0].tolist() == [spec.width / 2, spec.height / 2, 1.0]:
        frames = np.empty(size, np.uint8)
        frames[:] = flat_backdrop(spec.backdrop, spec.width, spec.height, spec.seed)
        return frames
    frames = np.zeros(size, np.uint8)
    centre = np.array([spec.width / 2, spec.height / 2])
    closest = float(path[:, 2].max())
    for layer in backdrop_layers(spec.backdrop):
        looks = centre + (path[:, :2] - centre) * layer.parallax
        half = centre / path[:, 2:]
        low, high = np.floor((looks - half).min(0)) - 2, np.ceil((looks + half).max(0)) + 2
        area = DrawArea(float(spec.width), float(spec.height), (*low.tolist(), *high.tolist()), spec.seed)
        pixels = layer_pixels(layer, area, closest)
        fine = np.array([pixels.shape[1] / (high[0] - low[0]), pixels.shape[0] / (high[1] - low[1])])
        for t in range(spec.num_frames):
            scale = path[t, 2] / fine
            offset = (low - looks[t]) * path[t, 2] + centre + 0.5 * scale - 0.5
            matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
            seen = cv2.warpAffine(pixels, matrix, (spec.width, spec.height), flags=cv2.INTER_LINEAR)
            composite_over(frames[t], seen, seen[..., 3])
    return frames
