"""The stage: a spec becomes frames, masks and truth."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import cv2
import numpy as np

from chronotope.worlds.backdrops import PLAIN, Paper, backdrop_layers, flat_backdrop, layer_pixels
from chronotope.worlds.camera import camera_path
from chronotope.worlds.cast import sprite_sized
from chronotope.worlds.motion import Happening, Track, choreograph, floor_y
from chronotope.worlds.spec import Actor, Spec

__all__ = ["StageClip", "Truth", "render"]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is where: arrays over [frame, actor] in pixels of the picture, and the log of what really happened."""

    actors: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    rotation: np.ndarray  # degrees, clockwise
    visible_fraction: np.ndarray
    present: np.ndarray
    events: tuple[Happening, ...]

    def to_dict(self) -> dict[str, Any]:
        """Compact lists for JSON."""
        numbers = {name: getattr(self, name).round(3).tolist() for name in ("x", "y", "width", "height", "rotation", "visible_fraction")}
        return {"actors": list(self.actors), **numbers, "present": self.present.astype(int).tolist()}


@dataclasses.dataclass(frozen=True)
class StageClip:
    """A rendered clip: uint8 frames [t, h, w, 3], masks [t, h, w] (0 backdrop, i + 1 actor i), and the truth."""

    frames: np.ndarray
    masks: np.ndarray
    truth: Truth


def render(spec: Spec) -> StageClip:
    """Draw the whole clip; the same spec gives the same bytes."""
    cv2.setNumThreads(1)  # small pictures: threads cost more than they give
    tracks, log = choreograph(spec)
    path = camera_path(spec, tracks)
    frames = _backdrop_frames(spec, path)
    masks = np.zeros(frames.shape[:3], np.uint8)
    views = [_View(spec, actor, tracks[actor.id], path) for actor in spec.actors]
    whole = np.zeros((spec.num_frames, len(views)))
    drawn = np.zeros_like(whole)
    visible = np.zeros_like(whole)
    # Painter's order: the back first; of two at the same depth, the later one in the list is in front.
    order = sorted(range(len(views)), key=lambda i: (-spec.actors[i].depth, i))
    for t in range(spec.num_frames):
        for i in order:
            if views[i].present[t]:
                views[i].cast_shadow(frames[t], t)
        for i in order:
            if views[i].present[t]:
                whole[t, i], drawn[t, i] = views[i].paint(frames[t], masks[t], t, i + 1)
        visible[t] = np.bincount(masks[t].ravel(), minlength=len(views) + 1)[1 : len(views) + 1]
    return StageClip(frames, masks, _truth(spec, views, whole, drawn, visible, log))


def _truth(
    spec: Spec, views: list[_View], whole: np.ndarray, drawn: np.ndarray, visible: np.ndarray, log: list[Happening]
) -> Truth:
    def table(name: str) -> np.ndarray:
        columns = [getattr(view, name) for view in views]
        return np.stack(columns, axis=1) if columns else np.zeros((spec.num_frames, 0))

    fraction = np.divide(visible, whole, out=np.zeros_like(whole), where=whole > 0)
    names = tuple(actor.id for actor in spec.actors)
    arrays = [table(name) for name in ("x", "y", "width", "height", "turn")]
    return Truth(names, *arrays, fraction.clip(0, 1), table("present").astype(bool), tuple(sorted(log, key=lambda h: (h.start, h.end))))


class _View:
    """One actor as the camera sees it."""

    def __init__(self, spec: Spec, actor: Actor, track: Track, path: np.ndarray) -> None:
        self.noun, self.colour = actor.noun, actor.colour
        zoom = path[:, 2]
        self.x = (track.x - path[:, 0]) * zoom + spec.width / 2
        self.y = (track.y - path[:, 1]) * zoom + spec.height / 2
        self.size = track.size * zoom
        self.width, self.height = self.size * track.extent[0], self.size * track.extent[1]
        self.turn, self.mirrored, self.present = track.turn, track.mirrored, track.present
        self.lift = track.lift * zoom
        feet = track.y + track.lift + track.size * track.extent[1] / 2
        near = np.abs(feet - floor_y(spec.height, actor.depth)) < 0.05 * spec.height
        self.grounded = near & (spec.backdrop not in PLAIN and spec.backdrop not in ("sky", "sea"))

    def matrix(self, t: int, sprite: np.ndarray) -> np.ndarray:
        """The affine map from the sprite's pixels to the picture's."""
        scale = self.size[t] / (max(sprite.shape[:2]) - 2)
        angle = math.radians(self.turn[t])
        flip = -1.0 if self.mirrored[t] else 1.0
        a, b = scale * math.cos(angle), scale * math.sin(angle)
        # Pixel centres lie at half integers: the sprite's middle goes to (x, y) in a picture whose corner is (0, 0).
        mx, my = (sprite.shape[1] - 1) / 2, (sprite.shape[0] - 1) / 2
        linear = np.array([[a * flip, -b], [b * flip, a]])
        offset = np.array([self.x[t] - 0.5, self.y[t] - 0.5]) - linear @ np.array([mx, my])
        return np.column_stack([linear, offset])

    def paint(self, frame: np.ndarray, mask: np.ndarray, t: int, label: int) -> tuple[float, float]:
        """Draw on the frame and the mask; returns the pixels of the whole actor, and how many of them fell inside the frame."""
        sprite, area = _sprite(self.noun, self.colour, max(1, round(float(self.size[t]))))
        matrix = self.matrix(t, sprite)
        half = np.abs(matrix[:, :2]) @ np.array([sprite.shape[1] / 2, sprite.shape[0] / 2])
        x0, y0 = math.floor(self.x[t] - half[0]), math.floor(self.y[t] - half[1])
        x1, y1 = math.ceil(self.x[t] + half[0]) + 1, math.ceil(self.y[t] + half[1]) + 1
        inside = x0 >= 0 and y0 >= 0 and x1 <= frame.shape[1] and y1 <= frame.shape[0]
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, frame.shape[1]), min(y1, frame.shape[0])
        scale = self.size[t] / (max(sprite.shape[:2]) - 2)
        if x0 >= x1 or y0 >= y1:
            return area * scale**2, 0.0
        matrix[:, 2] -= (x0, y0)
        pixels = cv2.warpAffine(sprite, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        alpha = pixels[..., 3]
        _over(frame[y0:y1, x0:x1], pixels, alpha)
        own = alpha >= 128
        mask[y0:y1, x0:x1][own] = label
        count = float(np.count_nonzero(own))
        return (count if inside else max(area * scale**2, count)), count

    def cast_shadow(self, frame: np.ndarray, t: int) -> None:
        """A soft dark ellipse where the actor stands, paler the higher it is in the air."""
        if not self.grounded[t]:
            return
        strength = 0.38 / (1 + 3 * self.lift[t] / max(self.size[t], 1e-6))
        wide, tall = self.width[t] * 1.05, max(self.width[t] * 0.2, 1.5)
        x, y = self.x[t], self.y[t] + self.lift[t] + self.height[t] * 0.485
        x0, y0 = max(0, math.floor(x - wide / 2)), max(0, math.floor(y - tall / 2))
        x1, y1 = min(frame.shape[1], math.ceil(x + wide / 2)), min(frame.shape[0], math.ceil(y + tall / 2))
        if x0 >= x1 or y0 >= y1:
            return
        blob = _blob()
        sx, sy = wide / blob.shape[1], tall / blob.shape[0]
        matrix = np.array([[sx, 0, x - wide / 2 - x0], [0, sy, y - tall / 2 - y0]])
        dark = cv2.warpAffine(blob, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        keep = cv2.cvtColor(cv2.convertScaleAbs(dark, alpha=-strength, beta=255), cv2.COLOR_GRAY2RGB)
        area = frame[y0:y1, x0:x1]
        area[...] = cv2.multiply(area, keep, scale=1 / 255)


def _over(area: np.ndarray, pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Premultiplied source over destination, in place."""
    through = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
    area[...] = cv2.add(cv2.multiply(area, through, scale=1 / 255), pixels[..., :3])


@functools.lru_cache(maxsize=2048)
def _sprite(noun: str, colour: str | None, longest: int) -> tuple[np.ndarray, float]:
    sprite = sprite_sized(noun, colour, longest)
    return sprite, float(np.count_nonzero(sprite[..., 3] >= 128))


@functools.lru_cache(maxsize=1)
def _blob() -> np.ndarray:
    y, x = np.mgrid[-1:1:33j, -1:1:33j]
    return (255 * np.clip(1.15 * (1 - (x**2 + y**2)), 0, 1)).astype(np.uint8)


def _backdrop_frames(spec: Spec, path: np.ndarray) -> np.ndarray:
    """The backdrop alone, for every frame."""
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
        paper = Paper(spec.width, spec.height, (low[0], low[1], high[0], high[1]), spec.seed)
        pixels = layer_pixels(layer, paper, closest)
        fine = np.array([pixels.shape[1] / (high[0] - low[0]), pixels.shape[0] / (high[1] - low[1])])
        for t in range(spec.num_frames):
            scale = path[t, 2] / fine
            offset = (low - looks[t]) * path[t, 2] + centre + 0.5 * scale - 0.5
            matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
            seen = cv2.warpAffine(pixels, matrix, (spec.width, spec.height), flags=cv2.INTER_LINEAR)
            _over(frames[t], seen, seen[..., 3])
    return frames
