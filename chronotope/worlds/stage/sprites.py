"""Sprites of the actors: each noun or shape as premultiplied RGBA pixels, cropped to its ink and facing right."""

from __future__ import annotations

import functools
import json
import lzma
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.errors import FileProblem
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.drawings import OWN, shape_body

__all__ = ["SMALLEST_MASTER", "aspect", "rasterise", "sprite_master", "sprite_sized"]

_XMLNS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
SMALLEST_MASTER = 128  # pixels


def rasterise(svg: str) -> np.ndarray:
    """Rasterise an SVG to premultiplied RGBA, uint8 [h, w, 4]."""
    import resvg_py

    png = np.frombuffer(bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)), np.uint8)
    decoded = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert decoded is not None  # resvg writes valid PNGs
    straight = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)
    if straight[..., 3].min() == 255:
        return straight
    wide = straight.astype(np.uint16)
    wide[..., :3] = (wide[..., :3] * wide[..., 3:] + 127) // 255
    return wide.astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _cast_file() -> dict[str, Any]:
    path = Path(__file__).with_name("cast.json.xz")
    try:
        data: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    except (OSError, lzma.LZMAError, ValueError) as problem:
        raise FileProblem(
            f"{path} (the drawings of the cast) cannot be read: {problem}; "
            "reinstall the package, or use the scope shapes"
        ) from problem
    return data


@functools.lru_cache(maxsize=1024)
def aspect(noun: str, colour: str | None) -> tuple[float, float]:
    """Return width and height of the ink as fractions of its longer side."""
    measured = None if colour is not None else _cast_file()["extents"].get(noun)
    width, height = measured or sprite_master(noun, colour, SMALLEST_MASTER).shape[1::-1]
    longest = max(height, width)
    return width / longest, height / longest


def _svg(noun: str, colour: str | None, side: int) -> str:
    if colour is not None:
        return f'<svg {_XMLNS} viewBox="0 0 100 100" width="{side}" height="{side}">{shape_body(noun, colour)}</svg>'
    icon, facing = CAST[noun].icon, CAST[noun].facing
    body = OWN[icon] if icon in OWN else _cast_file()["icons"][icon]
    transforms = {"left": ' transform="translate(32 0) scale(-1 1)"', "up-right": ' transform="rotate(45 16 16)"'}
    transform = transforms.get(facing, "")
    # The margin leaves room for the corners of a rotated drawing.
    return f'<svg {_XMLNS} viewBox="-7 -7 46 46" width="{side}" height="{side}"><g{transform}>{body}</g></svg>'


@functools.lru_cache(maxsize=512)
def sprite_master(noun: str, colour: str | None, longest: int) -> np.ndarray:
    """Return the sprite cropped to its ink, facing right; its longer side is about `longest` pixels."""
    side = longest if colour is not None else math.ceil(longest * 46 / 24)
    pixels = rasterise(_svg(noun, colour, side))
    rows, columns = np.flatnonzero(pixels[..., 3].max(1) > 12), np.flatnonzero(pixels[..., 3].max(0) > 12)
    master = np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    master.setflags(write=False)
    return master


@functools.lru_cache(maxsize=2048)
def sprite_sized(noun: str, colour: str | None, longest: int) -> np.ndarray:
    """Return the sprite with a longer side of `longest` pixels and a transparent border of one pixel."""
    step = max(SMALLEST_MASTER, 1 << math.ceil(math.log2(max(longest, 1))))
    master = sprite_master(noun, colour, step)
    scale = longest / max(master.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (master.shape[1], master.shape[0]))
    small = cv2.resize(master, (width, height), interpolation=cv2.INTER_AREA)
    sprite = np.zeros((height + 2, width + 2, 4), np.uint8)
    sprite[1:-1, 1:-1] = small
    sprite.setflags(write=False)
    return sprite
