"""Pictures as a weak generator would make them: blurred, noisy, bent, blocky, off-colour, doubled; and things that are
nothing known.

The detector is trained on these, so that it recognises what a person would still recognise and refuses what a person
would refuse.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from chronotope.geometry import Frames

__all__ = ["add_blob", "bend", "soften", "spoil"]

Frame = UInt8[np.ndarray, "h w 3"]
Mask = UInt8[np.ndarray, "h w"]


def spoil(frame: Frame, ghost: Frame, mask: Mask, something: int, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """One training example: a few random flaws; `ghost` is a neighbouring frame that may shine through."""
    if rng.random() < 0.2:
        frame, mask = add_blob(frame, mask, something, rng)
    if rng.random() < 0.8:
        frame, mask = bend(frame, mask, rng)
    if rng.random() < 0.2 and ghost.shape == frame.shape:
        share = float(rng.uniform(0.1, 0.35))
        frame = cv2.addWeighted(frame, 1 - share, ghost, share, 0)
    if rng.random() < 0.5:
        frame = _tint(frame, rng)
    if rng.random() < 0.4:
        frame = _blur(frame, float(rng.uniform(0.4, 1.3)))
    if rng.random() < 0.25:
        frame = _shrink_and_grow(frame, float(rng.uniform(0.45, 0.8)))
    if rng.random() < 0.25:
        frame = _jpeg(frame, int(rng.integers(12, 60)))
    if rng.random() < 0.4:
        frame = _noise(frame, float(rng.uniform(2, 14)), int(rng.integers(1, 4)), rng)
    return frame, mask


def soften(frames: Frames, seed: int) -> Frames:
    """A whole clip with a fixed dose of flaws, like the output of a model that is good but not sharp."""
    rng = np.random.default_rng(seed)
    return np.stack([_noise(_jpeg(_blur(frame, 0.9), 40), 5.0, 2, rng) for frame in frames])


def bend(frame: Frame, mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Another size, place and a smooth warp of a few pixels, the same for picture and mask."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    scale = float(np.exp(rng.uniform(-0.3, 0.3)))
    shift = rng.uniform(-0.12, 0.12, 2) * min(height, width)
    strength = float(rng.uniform(0.0, 1.0))
    waves = [
        cv2.resize(rng.normal(0, strength, (5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    if rng.random() < 0.5:
        x = width - 1 - x
    map_x = ((x - width / 2) * scale + width / 2 + shift[0] + waves[0]).astype(np.float32)
    map_y = ((y - height / 2) * scale + height / 2 + shift[1] + waves[1]).astype(np.float32)
    bent = cv2.remap(frame, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return bent, cv2.remap(mask, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def add_blob(frame: Frame, mask: Mask, something: int, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """A thing that is nothing known: a random outline, plain or filled with pieces of the picture."""
    height, width = mask.shape
    side = int(rng.uniform(0.25, 0.6) * min(height, width))
    field = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    ry, rx = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    blob = (field * 0.7 + 0.7 - (rx**2 + ry**2) > 0).astype(np.uint8)
    top, left = (int(rng.integers(-side // 4, n - side + side // 4 + 1)) for n in (height, width))
    y0, x_first, y1, x_last = max(0, top), max(0, left), min(height, top + side), min(width, left + side)
    inside = blob[y0 - top : y1 - top, x_first - left : x_last - left]
    fill = np.empty((*inside.shape, 3), np.uint8)
    if rng.random() < 0.5:
        fill[:] = rng.integers(0, 256, 3)
    else:  # shuffled patches of the picture: the right colours and textures in no order
        small = cv2.resize(frame, (6, 6), interpolation=cv2.INTER_AREA).reshape(36, 3)
        picked = rng.permutation(small)[:16].reshape(4, 4, 3)
        fill[:] = cv2.resize(picked, inside.shape[::-1], interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.7)[..., None]
    frame, mask = frame.copy(), mask.copy()
    area = frame[y0:y1, x_first:x_last]
    area[:] = (area * (1 - soft) + fill * soft).astype(np.uint8)
    mask[y0:y1, x_first:x_last][inside > 0] = something
    return frame, mask


def _tint(frame: Frame, rng: np.random.Generator) -> Frame:
    gain, lift = rng.uniform(0.8, 1.15) * rng.uniform(0.92, 1.08, 3), rng.uniform(-18, 18)
    return np.clip(frame * gain + lift, 0, 255).astype(np.uint8)


def _blur(frame: Frame, sigma: float) -> Frame:
    return cv2.GaussianBlur(frame, (0, 0), sigma)


def _shrink_and_grow(frame: Frame, factor: float) -> Frame:
    height, width = frame.shape[:2]
    small = cv2.resize(
        frame, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _jpeg(frame: Frame, quality: int) -> Frame:
    packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))


def _noise(frame: Frame, sigma: float, grain: int, rng: np.random.Generator) -> Frame:
    height, width = frame.shape[:2]
    coarse = rng.normal(0, sigma, (-(-height // grain), -(-width // grain), 3)).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) if grain > 1 else coarse
    return np.clip(frame + noise, 0, 255).round().astype(np.uint8)
