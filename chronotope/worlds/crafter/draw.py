"""Scenes -> frames, with Crafter's own textures and light: equal to what Crafter draws, in less time."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageEnhance

from chronotope.geometry import Frames, Picture
from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, THINGS, Scenes
from chronotope.worlds.crafter.spec import View, view_of

__all__ = ["GRAIN", "draw", "item_tiles", "lit", "map_tiles"]

OUTSIDE = 127  # the level of cells outside the map
GRAIN = (32, 127)  # levels of the grain of the night


def draw(scenes: Scenes, width: int, height: int) -> Frames:
    """Draw the scenes; their grid must be the one of this size."""
    view = view_of(width, height)
    frames = np.zeros((len(scenes), height, width, 3), np.uint8)
    wide, high, unit = view.columns * view.unit, view.rows * view.unit, view.unit
    tiles, items = map_tiles(unit), item_tiles(unit)
    for t, frame in enumerate(frames):
        inside = frame[view.top :, view.left : view.left + wide]
        cells = tiles[scenes.materials[t], scenes.things[t]]  # rows columns unit unit 3
        flat = cells.transpose(0, 2, 1, 3, 4).reshape(high, wide, 3)
        grain = np.random.RandomState(scenes.noise[t]).uniform(*GRAIN, (wide, high)).T  # Crafter's axes are x and y
        inside[:high] = lit(flat, float(scenes.daylight[t]), bool(scenes.asleep[t]), grain)
        inside[high : high + view.item_rows * unit] = _inventory(scenes.inventory[t], view, items)
    return frames


def _inventory(amounts: UInt8[np.ndarray, " items"], view: View, tiles: UInt8[np.ndarray, "..."]) -> Picture:
    shown = np.zeros((view.item_rows * view.unit, view.columns * view.unit, 3), np.uint8)
    for item, amount in enumerate(amounts):
        row, column = (view.unit * place for place in divmod(item, view.columns))
        shown[row : row + view.unit, column : column + view.unit] = tiles[item, amount]
    return shown


@functools.lru_cache(maxsize=8)
def _textures() -> Any:
    from crafter import constants, engine

    return engine.Textures(constants.root / "assets")


def _texture(name: str, side: int) -> UInt8[np.ndarray, "h w c"]:
    return np.ascontiguousarray(_textures().get(name.replace(" ", "_"), (side, side)).transpose(1, 0, 2))


@functools.lru_cache(maxsize=8)
def map_tiles(unit: int) -> UInt8[np.ndarray, "materials things unit unit 3"]:
    """Return the picture of every material with every thing on it, in full daylight."""
    tiles = np.full((len(MATERIALS), len(THINGS), unit, unit, 3), OUTSIDE, np.uint8)
    for m, name in enumerate(MATERIALS[1:], 1):
        tiles[m, :] = _texture(name, unit)[..., :3]
    for i, name in enumerate(THINGS[1:], 1):
        for m in range(len(MATERIALS)):
            _overlay(tiles[m, i], _texture(name, unit), 0)
    tiles.flags.writeable = False
    return tiles


@functools.lru_cache(maxsize=8)
def item_tiles(unit: int) -> UInt8[np.ndarray, "items amounts unit unit 3"]:
    """Return the picture of every item in every number from 0 to 9; 0 is black."""
    tiles = np.zeros((len(ITEMS), 10, unit, unit, 3), np.uint8)
    for i, name in enumerate(ITEMS):
        for amount in range(1, 10):
            _overlay(tiles[i, amount], _texture(name, int(0.8 * unit)), int(0.1 * unit))
            _overlay(tiles[i, amount], _texture(str(amount), int(0.6 * unit)), int(0.4 * unit))
    tiles.flags.writeable = False
    return tiles


def _overlay(tile: Picture, texture: UInt8[np.ndarray, "h w c"], place: int) -> None:
    """Draw a texture over a tile, at the same distance from its left and its upper edge."""
    h, w = texture.shape[:2]
    below = tile[place : place + h, place : place + w]
    if texture.shape[2] == 4:
        alpha = texture[..., 3:].astype(np.float32) / 255
        colour, current = (part[..., :3].astype(np.float32) / 255 for part in (texture, below))
        below[:] = (255 * (alpha * colour + (1 - alpha) * current)).astype(np.uint8)
    else:
        below[:] = texture


def lit(
    picture: Picture, daylight: float, asleep: bool, grain: Float[np.ndarray, "h w"] | float, copies: int = 1
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of the map in this light, through the eyes of a player who sleeps or does not.

    `grain` are the levels that the night shows in place of the map, least at the centre. The picture may be several
    `copies` of the map, one below the other.
    """
    night: np.ndarray = picture
    if daylight < 0.5:
        height, width = picture.shape[:2]
        mask = np.tile(2 * (0.5 - daylight) * _vignette(height // copies, width), (copies, 1))
        night = (1 - mask[..., None]) * picture + (mask * grain)[..., None]
    shown = daylight * picture + (1 - daylight) * _tinted(_saturated(night, 0.4), (0, 16, 64))
    if asleep:
        shown = _tinted(_saturated(shown, 0.0), (0, 0, 16))
    return shown.astype(np.uint8)


def _saturated(picture: np.ndarray, share: float) -> UInt8[np.ndarray, "h w 3"]:
    return np.array(ImageEnhance.Color(Image.fromarray(picture.astype(np.uint8))).enhance(share))


def _tinted(picture: np.ndarray, colour: tuple[int, int, int]) -> Float[np.ndarray, "h w 3"]:
    return 0.5 * picture + 0.5 * np.array(colour)


@functools.lru_cache(maxsize=8)
def _vignette(height: int, width: int) -> Float[np.ndarray, "h w"]:
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return 1 - np.exp(-0.5 * (x**2 + y**2) / 0.5**2)
