"""Backdrops: depth layers drawn as SVG, large enough for the whole path of the camera."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from random import Random

import numpy as np

from chronotope.worlds.stage.sprites import rasterise

__all__ = ["PLAIN_COLOURS", "DrawArea", "Layer", "backdrop_layers", "flat_backdrop", "layer_pixels"]

PLAIN_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (240, 128, 122),
    "orange": (252, 196, 132),
    "yellow": (252, 236, 156),
    "green": (156, 214, 150),
    "blue": (146, 192, 246),
    "purple": (196, 164, 232),
    "pink": (252, 200, 222),
    "white": (248, 248, 246),
    "black": (30, 30, 34),
    "grey": (168, 170, 174),
}


@dataclasses.dataclass(frozen=True)
class DrawArea:
    """What a layer must cover: the frame's size, the box (left, top, right, bottom), and the seed of its variation."""

    width: float
    height: float
    box: tuple[float, float, float, float]
    seed: int

    @property
    def unit(self) -> float:
        """Return the short side of the frame."""
        return min(self.width, self.height)

    def rng(self, *place: int) -> Random:
        """Return the generator of a place; it does not depend on how much of the layer is drawn."""
        key = self.seed
        for part in place:
            key = (key * 6364136223846793005 + part + 1442695040888963407) % 2**64  # one step of Knuth's MMIX generator
        return Random(key)

    def rect(self, fill: str, top: float | None = None, bottom: float | None = None) -> str:
        """Return a band over the full width of the box."""
        left, start, right, end = self.box
        start = start if top is None else top
        height = max(0.0, (end if bottom is None else bottom) - start)
        return f'<rect x="{left:.2f}" y="{start:.2f}" width="{right - left:.2f}" height="{height:.2f}" fill="{fill}"/>'

    def cells(self, pitch: float) -> range:
        """Return the indices of the cells of this width that the box touches."""
        return range(math.floor(self.box[0] / pitch) - 1, math.ceil(self.box[2] / pitch) + 2)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a backdrop; it moves `parallax` pixels for each pixel that the camera moves."""

    draw: Callable[[DrawArea], str]
    parallax: float


def _rgb(r: float, g: float, b: float) -> str:
    return "#" + "".join(f"{int(min(255, max(0, c))):02x}" for c in (r, g, b))


def _tint(area: DrawArea, rgb: tuple[int, int, int], spread: int = 12, salt: int = 0) -> str:
    rng = area.rng(900 + salt)
    return _rgb(*(c + rng.uniform(-spread, spread) for c in rgb))


def _gradient(area: DrawArea, name: str, stops: list[tuple[int, str]], top: float, bottom: float) -> str:
    marks = "".join(f'<stop offset="{at}" stop-color="{colour}"/>' for at, colour in stops)
    line = f'gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="{top:.2f}" y2="{bottom:.2f}"'
    band = f'<linearGradient id="{name}" {line}>{marks}</linearGradient>'
    return f"<defs>{band}</defs>" + area.rect(f"url(#{name})")


def _clouds(area: DrawArea, fill: str = "#ffffff", low: float = 0.42, opacity: float = 0.9) -> str:
    parts, u = [], area.unit
    pitch = 0.75 * u
    for cell in area.cells(pitch):
        rng = area.rng(1, cell)
        x, y = (cell + rng.uniform(0.1, 0.9)) * pitch, rng.uniform(0.05, low) * area.height
        s = rng.uniform(0.05, 0.1) * u
        puffs = ((-1.6, 0.25, 0.7), (-0.7, -0.2, 1.0), (0.5, -0.35, 1.15), (1.5, 0.2, 0.8))
        parts += [f'<circle cx="{x + px * s:.2f}" cy="{y + py * s:.2f}" r="{pr * s:.2f}"/>' for px, py, pr in puffs]
        parts.append(
            f'<rect x="{x - 2.2 * s:.2f}" y="{y:.2f}" width="{4.4 * s:.2f}" height="{s:.2f}" rx="{0.5 * s:.2f}"/>'
        )
    return f'<g fill="{fill}" opacity="{opacity}">{"".join(parts)}</g>'


def _ridge(area: DrawArea, fill: str, level: float, swing: float, wave: float, salt: int) -> str:
    """Return a line of hills: three sine waves with random phases."""
    rng = area.rng(50 + salt)
    phases = [rng.uniform(0, 2 * math.pi) for _ in range(3)]
    left, _, right, bottom = area.box
    step = max((right - left) / 160, area.unit / 40)
    points = []
    x = left
    while x <= right + step:
        t = 2 * math.pi * x / (wave * area.unit)
        y = math.sin(t + phases[0]) + 0.5 * math.sin(1.9 * t + phases[1]) + 0.25 * math.sin(3.7 * t + phases[2])
        points.append(f"{x:.2f} {area.height * level - y * swing * area.unit:.2f}")
        x += step
    return f'<path fill="{fill}" d="M{left:.2f} {bottom:.2f}L{"L".join(points)}L{right + step:.2f} {bottom:.2f}Z"/>'


def _day(area: DrawArea) -> str:
    top, low = _tint(area, (92, 168, 240)), _tint(area, (200, 232, 252), 6, 1)
    return _gradient(area, "day", [(0, top), (1, low)], 0.0, area.height * 0.8)


def _sun(area: DrawArea) -> str:
    x, y = area.rng(3).uniform(0.1, 0.9) * area.width, area.height * 0.14
    parts = []
    for radius, opacity in ((0.14, 0.25), (0.085, 1)):
        circle = f'cx="{x:.2f}" cy="{y:.2f}" r="{radius * area.unit:.2f}"'
        parts.append(f'<circle {circle} fill="#ffe98a" opacity="{opacity}"/>')
    return "".join(parts)


def _sky(area: DrawArea) -> str:
    return _clouds(area, low=0.85)


def _far_hills(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (128, 176, 160), 14, 2), 0.58, 0.06, 1.5, 1)


def _near_hills(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (112, 184, 96), 14, 3), 0.66, 0.035, 1.0, 2)


def _meadow(area: DrawArea) -> str:
    grass = area.rect(_tint(area, (132, 200, 92), 12, 4), 0.72 * area.height)
    tufts, pitch = [], area.unit * 0.16
    for cell in area.cells(pitch):
        rng = area.rng(5, cell)
        x, y = (cell + rng.random()) * pitch, rng.uniform(0.76, 0.98) * area.height
        r = rng.uniform(0.006, 0.014) * area.unit
        tufts.append(f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{2.5 * r:.2f}" ry="{r:.2f}"/>')
    return grass + f'<g fill="#5fa044" opacity=".6">{"".join(tufts)}</g>'


def _water(area: DrawArea) -> str:
    h = area.height
    deep, light = _tint(area, (24, 104, 176), 10, 6), _tint(area, (92, 180, 224), 10, 7)
    band = (
        f'<defs><linearGradient id="w" gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="{0.55 * h:.2f}" y2="{h:.2f}">'
    )
    band += f'<stop offset="0" stop-color="{light}"/><stop offset="1" stop-color="{deep}"/></linearGradient></defs>'
    band += area.rect("url(#w)", 0.55 * h)
    waves, pitch = [], area.unit * 0.22
    for cell in area.cells(pitch):
        for row in range(4):
            rng = area.rng(8, cell, row)
            x, y = (cell + rng.random()) * pitch, (0.6 + 0.1 * row + rng.uniform(0, 0.06)) * h
            r = rng.uniform(0.03, 0.07) * area.unit
            waves.append(f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{r:.2f}" ry="{r * 0.12:.2f}"/>')
    return band + f'<g fill="#e8f6ff" opacity=".45">{"".join(waves)}</g>'


def _houses(area: DrawArea) -> str:
    parts, pitch, h = [], area.unit * 0.42, area.height
    # Pale walls, so that actors stand out.
    walls = ((226, 186, 176), (232, 216, 184), (188, 198, 212), (214, 196, 208), (196, 212, 200))
    for cell in area.cells(pitch):
        rng = area.rng(11, cell)
        x, top, wide = cell * pitch, h * 0.7 - area.unit * rng.uniform(0.32, 0.56), pitch * 0.98
        wall = _rgb(*(c + rng.uniform(-10, 10) for c in rng.choice(walls)))
        parts.append(
            f'<rect x="{x:.2f}" y="{top:.2f}" width="{wide:.2f}" height="{h * 0.72 - top:.2f}" fill="{wall}"/>'
        )
        rows = max(1, int((h * 0.7 - top) / (0.15 * area.unit)))
        for row in range(rows):
            for column in range(3):
                wx, wy = x + wide * (0.14 + 0.28 * column), top + area.unit * (0.05 + 0.15 * row)
                size = f'width="{wide * 0.16:.2f}" height="{area.unit * 0.08:.2f}"'
                parts.append(f'<rect x="{wx:.2f}" y="{wy:.2f}" {size} fill="#dfeef6" opacity=".8"/>')
    return "".join(parts)


def _road(area: DrawArea) -> str:
    h, parts = area.height, [area.rect("#bcb8b2", 0.7 * area.height, 0.76 * area.height)]
    parts.append(area.rect(_tint(area, (98, 100, 108), 8, 9), 0.76 * h))
    pitch = area.unit * 0.3
    for cell in area.cells(pitch):
        box = f'x="{cell * pitch:.2f}" y="{0.865 * h:.2f}" width="{pitch * 0.5:.2f}" height="{0.018 * h:.2f}"'
        parts.append(f'<rect {box} fill="#f2eed8"/>')
    return "".join(parts)


def _wall(area: DrawArea) -> str:
    h, u = area.height, area.unit
    tints = ((236, 214, 178), (190, 210, 222), (214, 200, 222), (196, 216, 186))
    tint = area.rng(12).choice(tints)
    parts = [area.rect(_tint(area, tint, 8, 10)), area.rect("#f4efe6", 0.68 * h, 0.71 * h)]
    x = area.rng(13).uniform(0.1, 0.6) * area.width
    w, y, t = 0.36 * u, 0.14 * h, 0.34 * h
    pane = f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{t:.2f}"'
    parts.append(f'{pane} fill="#a9d8f5" stroke="#ffffff" stroke-width="{0.022 * u:.2f}"/>')
    cross = f"M{x + w / 2:.2f} {y:.2f}v{t:.2f}M{x:.2f} {y + t / 2:.2f}h{w:.2f}"
    parts.append(f'<path d="{cross}" stroke="#fff" stroke-width="{0.014 * u:.2f}"/>')
    return "".join(parts)


def _floorboards(area: DrawArea) -> str:
    h = area.height
    parts = [area.rect(_tint(area, (178, 126, 82), 12, 11), 0.71 * h)]
    parts += [area.rect("#8a5c38", y * h, (y + 0.006) * h) for y in (0.77, 0.84, 0.92)]
    return "".join(parts)


def _dark(area: DrawArea) -> str:
    top, low = _tint(area, (14, 18, 52), 6), _tint(area, (58, 62, 122), 8, 1)
    return _gradient(area, "n", [(0, top), (1, low)], 0.0, area.height * 0.8)


def _stars(area: DrawArea) -> str:
    parts, pitch = [], area.unit * 0.2
    for cell in area.cells(pitch):
        for row in range(math.ceil(0.66 * area.height / pitch)):
            rng = area.rng(14, cell, row)
            x, y = (cell + rng.random()) * pitch, (row + rng.random()) * pitch
            r = rng.uniform(0.004, 0.011) * area.unit
            parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{max(r, 0.35):.2f}"/>')
    x, y, r = area.rng(15).uniform(0.12, 0.88) * area.width, 0.16 * area.height, 0.085 * area.unit
    moon = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="#fdf4cf"/>'
    return f'<g fill="#fff" opacity=".8">{"".join(parts)}</g>' + moon


def _dark_hills(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (34, 46, 82), 6, 2), 0.64, 0.05, 1.3, 3)


def _dark_ground(area: DrawArea) -> str:
    return area.rect(_tint(area, (40, 66, 62), 8, 3), 0.72 * area.height)


def _dunes(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (226, 178, 106), 10, 2), 0.6, 0.05, 1.6, 4)


def _sand(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (242, 204, 136), 8, 3), 0.7, 0.012, 1.0, 5)


def _snow_hills(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (190, 208, 228), 8, 2), 0.58, 0.07, 1.1, 6)


def _snow_ground(area: DrawArea) -> str:
    return _ridge(area, _tint(area, (242, 246, 252), 4, 3), 0.71, 0.01, 1.0, 7)


def _pale(area: DrawArea) -> str:
    return _gradient(area, "p", [(0, _tint(area, (140, 176, 214))), (1, "#e6eef6")], 0.0, area.height * 0.7)


_SCENES: dict[str, tuple[Layer, ...]] = {
    "sky": (Layer(_day, 0.0), Layer(_sky, 0.4)),
    "hills": (
        Layer(_day, 0.0),
        Layer(_sun, 0.02),
        Layer(_clouds, 0.15),
        Layer(_far_hills, 0.3),
        Layer(_near_hills, 0.6),
        Layer(_meadow, 1.0),
    ),
    "sea": (Layer(_day, 0.0), Layer(_sun, 0.02), Layer(_clouds, 0.15), Layer(_water, 1.0)),
    "street": (Layer(_day, 0.0), Layer(_clouds, 0.1), Layer(_houses, 0.7), Layer(_road, 1.0)),
    "room": (Layer(_wall, 0.8), Layer(_floorboards, 1.0)),
    "night": (Layer(_dark, 0.0), Layer(_stars, 0.05), Layer(_dark_hills, 0.4), Layer(_dark_ground, 1.0)),
    "desert": (Layer(_day, 0.0), Layer(_sun, 0.02), Layer(_dunes, 0.4), Layer(_sand, 1.0)),
    "snow": (Layer(_pale, 0.0), Layer(_snow_hills, 0.3), Layer(_snow_ground, 1.0)),
}


def backdrop_layers(name: str) -> tuple[Layer, ...]:
    """Return the layers of a backdrop, from the back to the front."""
    if name in PLAIN_COLOURS:
        return (Layer(lambda area: area.rect(_tint(area, PLAIN_COLOURS[name], 5)), 0.0),)
    return _SCENES[name]


def _draw(layers: tuple[Layer, ...], area: DrawArea, magnify: float = 1.0) -> np.ndarray:
    left, top, right, bottom = area.box
    width, height = max(1, round((right - left) * magnify)), max(1, round((bottom - top) * magnify))
    body = "".join(layer.draw(area) for layer in layers)
    view = f'viewBox="{left} {top} {right - left} {bottom - top}" preserveAspectRatio="none"'
    return rasterise(f'<svg xmlns="http://www.w3.org/2000/svg" {view} width="{width}" height="{height}">{body}</svg>')


def flat_backdrop(name: str, width: int, height: int, seed: int) -> np.ndarray:
    """Draw all layers in one RGB picture, for a camera that does not move."""
    box = (0.0, 0.0, float(width), float(height))
    return _draw(backdrop_layers(name), DrawArea(float(width), float(height), box, seed))[..., :3]


def layer_pixels(layer: Layer, area: DrawArea, magnify: float) -> np.ndarray:
    """Draw one layer as premultiplied RGBA at `magnify` pixels per unit, for a camera that zooms in."""
    return _draw((layer,), area, magnify)
