"""Draw one actor over a frame: its pixels, its mask and its shadow."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.sprites import sprite_sized
from chronotope.worlds.stage.tracks import Track, floor_y

__all__ = ["ActorView", "composite_over"]


class ActorView:
    """One actor as the camera sees it; arrays over frames, in pixels of the picture."""

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
        has_ground = spec.backdrop not in PLAIN_COLOURS and spec.backdrop not in ("sky", "sea")
        self.grounded = near & has_ground

    def matrix(self, t: int, sprite: np.ndarray) -> np.ndarray:
        """Return the affine map [2, 3] from the sprite's pixels to the picture's."""
        scale = self.size[t] / (max(sprite.shape[:2]) - 2)
        angle = math.radians(self.turn[t])
        flip = -1.0 if self.mirrored[t] else 1.0
        a, b = scale * math.cos(angle), scale * math.sin(angle)
        # Pixel centres are at half integers: the sprite's centre goes to (x, y) in a picture whose corner is (0, 0).
        mx, my = (sprite.shape[1] - 1) / 2, (sprite.shape[0] - 1) / 2
        linear = np.array([[a * flip, -b], [b * flip, a]])
        offset = np.array([self.x[t] - 0.5, self.y[t] - 0.5]) - linear @ np.array([mx, my])
        return np.column_stack([linear, offset])

    def paint(self, frame: np.ndarray, mask: np.ndarray, t: int, label: int) -> float:
        """Draw on the frame and the mask; return the number of pixels of the whole actor, inside the frame or not."""
        sprite, area = _sprite(self.noun, self.colour, max(1, round(float(self.size[t]))))
        matrix = self.matrix(t, sprite)
        half = np.abs(matrix[:, :2]) @ np.array([sprite.shape[1] / 2, sprite.shape[0] / 2])
        left, top = math.floor(self.x[t] - half[0]), math.floor(self.y[t] - half[1])
        right, bottom = math.ceil(self.x[t] + half[0]) + 1, math.ceil(self.y[t] + half[1]) + 1
        inside = left >= 0 and top >= 0 and right <= frame.shape[1] and bottom <= frame.shape[0]
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, frame.shape[1]), min(bottom, frame.shape[0])
        scale = self.size[t] / (max(sprite.shape[:2]) - 2)
        if left >= right or top >= bottom:
            return area * scale**2
        matrix[:, 2] -= (left, top)
        pixels = cv2.warpAffine(sprite, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        alpha = pixels[..., 3]
        composite_over(frame[top:bottom, left:right], pixels, alpha)
        own = alpha >= 128
        mask[top:bottom, left:right][own] = label
        count = float(np.count_nonzero(own))
        return count if inside else max(area * scale**2, count)

    def cast_shadow(self, frame: np.ndarray, t: int) -> None:
        """Draw a soft dark ellipse on the ground below the actor, paler when it is higher in the air."""
        if not self.grounded[t]:
            return
        strength = 0.38 / (1 + 3 * self.lift[t] / max(self.size[t], 1e-6))
        wide, tall = self.width[t] * 1.05, max(self.width[t] * 0.2, 1.5)
        x, y = self.x[t], self.y[t] + self.lift[t] + self.height[t] * 0.485
        left, top = max(0, math.floor(x - wide / 2)), max(0, math.floor(y - tall / 2))
        right, bottom = min(frame.shape[1], math.ceil(x + wide / 2)), min(frame.shape[0], math.ceil(y + tall / 2))
        if left >= right or top >= bottom:
            return
        blob = _blob()
        sx, sy = wide / blob.shape[1], tall / blob.shape[0]
        matrix = np.array([[sx, 0, x - wide / 2 - left], [0, sy, y - tall / 2 - top]])
        dark = cv2.warpAffine(blob, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        keep = cv2.cvtColor(cv2.convertScaleAbs(dark, alpha=-strength, beta=255), cv2.COLOR_GRAY2RGB)
        area = frame[top:bottom, left:right]
        area[...] = cv2.multiply(area, keep, scale=1 / 255)


def composite_over(area: np.ndarray, pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Draw premultiplied RGBA pixels over an RGB area, in place (Porter and Duff 1984)."""
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
