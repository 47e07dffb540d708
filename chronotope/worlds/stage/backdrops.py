"""What stands behind the actors: depth layers drawn as SVG, wide enough for wherever the camera looks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from random import Random

import numpy as np

from chronotope.worlds.stage.sprites import rasterise

__all__ = ["Layer", "Paper", "backdrop_layers", "flat_backdrop", "layer_pixels"]

PLAIN: dict[str, tuple[int, int, int]] = {
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
class Paper:
    """What a layer is drawn on: the frame's size, the box (left, top, right, bottom) to cover, and the seed of its variation."""

    width: float
    height: float
    box: tuple[float, float, float, float]
    seed: int

    @property
    def unit(self) -> float:
        """The short side of the frame."""
        return min(self.width, self.height)

    def rng(self, *place: int) -> Random:
        """Randomness tied to a place, so that it does not depend on how much of the layer is drawn."""
        key = self.seed
        for part in place:
            key = (
                key * 6364136223846793005 + part + 1442695040888963407
            ) % 2**64  # a step of Knuth's generator mixes each part in
        return Random(key)

    def rect(self, fill: str, top: float | None = None, bottom: float | None = None) -> str:
        """A full-width band."""
        left, start, right, end = self.box
        start, end = (start if top is None else top), (end if bottom is None else bottom)
        return f'<rect x="{left:.2f}" y="{start:.2f}" width="{right - left:.2f}" height="{max(0.0, end - start):.2f}" fill="{fill}"/>'

    def cells(self, pitch: float) -> range:
        """Indices of the cells of this width that the box touches."""
        return range(math.floor(self.box[0] / pitch) - 1, math.ceil(self.box[2] / pitch) + 2)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One sheet of the backdrop; it moves `parallax` pixels for each pixel the camera moves."""

    draw: Callable[[Paper], str]
    parallax: float


def _rgb(r: float, g: float, b: float) -> str:
    return "#" + "".join(f"{int(min(255, max(0, c))):02x}" for c in (r, g, b))


def _tint(paper: Paper, rgb: tuple[int, int, int], spread: int = 12, salt: int = 0) -> str:
    rng = paper.rng(900 + salt)
    return _rgb(*(c + rng.uniform(-spread, spread) for c in rgb))


def _gradient(paper: Paper, name: str, stops: list[tuple[int, str]], top: float, bottom: float) -> str:
    marks = "".join(f'<stop offset="{at}" stop-color="{colour}"/>' for at, colour in stops)
    line = f'gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="{top:.2f}" y2="{bottom:.2f}"'
    band = f'<linearGradient id="{name}" {line}>{marks}</linearGradient>'
    return f"<defs>{band}</defs>" + paper.rect(f"url(#{name})")


def _clouds(paper: Paper, fill: str = "#ffffff", low: float = 0.42, opacity: float = 0.9) -> str:
    parts, u = [], paper.unit
    pitch = 0.75 * u
    for cell in paper.cells(pitch):
        rng = paper.rng(1, cell)
        x, y, s = (
            (cell + rng.uniform(0.1, 0.9)) * pitch,
            rng.uniform(0.05, low) * paper.height,
            rng.uniform(0.05, 0.1) * u,
        )
        puffs = ((-1.6, 0.25, 0.7), (-0.7, -0.2, 1.0), (0.5, -0.35, 1.15), (1.5, 0.2, 0.8))
        parts += [f'<circle cx="{x + px * s:.2f}" cy="{y + py * s:.2f}" r="{pr * s:.2f}"/>' for px, py, pr in puffs]
        parts.append(
            f'<rect x="{x - 2.2 * s:.2f}" y="{y:.2f}" width="{4.4 * s:.2f}" height="{s:.2f}" rx="{0.5 * s:.2f}"/>'
        )
    return f'<g fill="{fill}" opacity="{opacity}">{"".join(parts)}</g>'


def _ridge(paper: Paper, fill: str, level: float, swing: float, wave: float, salt: int) -> str:
    """A rolling line of hills: three sine waves with seeded phases."""
    rng = paper.rng(50 + salt)
    phases = [rng.uniform(0, 2 * math.pi) for _ in range(3)]
    left, _, right, bottom = paper.box
    step = max((right - left) / 160, paper.unit / 40)
    points = []
    x = left
    while x <= right + step:
        t = 2 * math.pi * x / (wave * paper.unit)
        y = math.sin(t + phases[0]) + 0.5 * math.sin(1.9 * t + phases[1]) + 0.25 * math.sin(3.7 * t + phases[2])
        points.append(f"{x:.2f} {paper.height * level - y * swing * paper.unit:.2f}")
        x += step
    return f'<path fill="{fill}" d="M{left:.2f} {bottom:.2f}L{"L".join(points)}L{right + step:.2f} {bottom:.2f}Z"/>'


def _day(paper: Paper) -> str:
    top, low = _tint(paper, (92, 168, 240)), _tint(paper, (200, 232, 252), 6, 1)
    return _gradient(paper, "day", [(0, top), (1, low)], 0.0, paper.height * 0.8)


def _sun(paper: Paper) -> str:
    x, y = paper.rng(3).uniform(0.1, 0.9) * paper.width, paper.height * 0.14
    return "".join(
        f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r * paper.unit:.2f}" fill="#ffe98a" opacity="{o}"/>'
        for r, o in ((0.14, 0.25), (0.085, 1))
    )


def _sky(paper: Paper) -> str:
    return _clouds(paper, low=0.85)


def _far_hills(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (128, 176, 160), 14, 2), 0.58, 0.06, 1.5, 1)


def _near_hills(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (112, 184, 96), 14, 3), 0.66, 0.035, 1.0, 2)


def _meadow(paper: Paper) -> str:
    grass = paper.rect(_tint(paper, (132, 200, 92), 12, 4), 0.72 * paper.height)
    tufts, pitch = [], paper.unit * 0.16
    for cell in paper.cells(pitch):
        rng = paper.rng(5, cell)
        x, y, r = (
            (cell + rng.random()) * pitch,
            rng.uniform(0.76, 0.98) * paper.height,
            rng.uniform(0.006, 0.014) * paper.unit,
        )
        tufts.append(f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{2.5 * r:.2f}" ry="{r:.2f}"/>')
    return grass + f'<g fill="#5fa044" opacity=".6">{"".join(tufts)}</g>'


def _water(paper: Paper) -> str:
    h = paper.height
    deep, light = _tint(paper, (24, 104, 176), 10, 6), _tint(paper, (92, 180, 224), 10, 7)
    band = (
        f'<defs><linearGradient id="w" gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="{0.55 * h:.2f}" y2="{h:.2f}">'
    )
    band += f'<stop offset="0" stop-color="{light}"/><stop offset="1" stop-color="{deep}"/></linearGradient></defs>'
    band += paper.rect("url(#w)", 0.55 * h)
    waves, pitch = [], paper.unit * 0.22
    for cell in paper.cells(pitch):
        for row in range(4):
            rng = paper.rng(8, cell, row)
            x, y, r = (
                (cell + rng.random()) * pitch,
                (0.6 + 0.1 * row + rng.uniform(0, 0.06)) * h,
                rng.uniform(0.03, 0.07) * paper.unit,
            )
            waves.append(f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{r:.2f}" ry="{r * 0.12:.2f}"/>')
    return band + f'<g fill="#e8f6ff" opacity=".45">{"".join(waves)}</g>'


def _houses(paper: Paper) -> str:
    parts, pitch, h = [], paper.unit * 0.42, paper.height
    walls = (
        (226, 186, 176),
        (232, 216, 184),
        (188, 198, 212),
        (214, 196, 208),
        (196, 212, 200),
    )  # pale, so that actors stand out
    for cell in paper.cells(pitch):
        rng = paper.rng(11, cell)
        x, top, wide = cell * pitch, h * 0.7 - paper.unit * rng.uniform(0.32, 0.56), pitch * 0.98
        wall = _rgb(*(c + rng.uniform(-10, 10) for c in rng.choice(walls)))
        parts.append(
            f'<rect x="{x:.2f}" y="{top:.2f}" width="{wide:.2f}" height="{h * 0.72 - top:.2f}" fill="{wall}"/>'
        )
        rows = max(1, int((h * 0.7 - top) / (0.15 * paper.unit)))
        for row in range(rows):
            for column in range(3):
                wx, wy = x + wide * (0.14 + 0.28 * column), top + paper.unit * (0.05 + 0.15 * row)
                size = f'width="{wide * 0.16:.2f}" height="{paper.unit * 0.08:.2f}"'
                parts.append(f'<rect x="{wx:.2f}" y="{wy:.2f}" {size} fill="#dfeef6" opacity=".8"/>')
    return "".join(parts)


def _road(paper: Paper) -> str:
    h, parts = paper.height, [paper.rect("#bcb8b2", 0.7 * paper.height, 0.76 * paper.height)]
    parts.append(paper.rect(_tint(paper, (98, 100, 108), 8, 9), 0.76 * h))
    pitch = paper.unit * 0.3
    for cell in paper.cells(pitch):
        parts.append(
            f'<rect x="{cell * pitch:.2f}" y="{0.865 * h:.2f}" width="{pitch * 0.5:.2f}" height="{0.018 * h:.2f}" fill="#f2eed8"/>'
        )
    return "".join(parts)


def _wall(paper: Paper) -> str:
    h, u = paper.height, paper.unit
    tints = ((236, 214, 178), (190, 210, 222), (214, 200, 222), (196, 216, 186))
    tint = paper.rng(12).choice(tints)
    parts = [paper.rect(_tint(paper, tint, 8, 10)), paper.rect("#f4efe6", 0.68 * h, 0.71 * h)]
    x = paper.rng(13).uniform(0.1, 0.6) * paper.width
    w, y, t = 0.36 * u, 0.14 * h, 0.34 * h
    pane = f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{t:.2f}"'
    parts.append(f'{pane} fill="#a9d8f5" stroke="#ffffff" stroke-width="{0.022 * u:.2f}"/>')
    parts.append(
        f'<path d="M{x + w / 2:.2f} {y:.2f}v{t:.2f}M{x:.2f} {y + t / 2:.2f}h{w:.2f}" stroke="#fff" stroke-width="{0.014 * u:.2f}"/>'
    )
    return "".join(parts)


def _floorboards(paper: Paper) -> str:
    h = paper.height
    parts = [paper.rect(_tint(paper, (178, 126, 82), 12, 11), 0.71 * h)]
    parts += [paper.rect("#8a5c38", y * h, (y + 0.006) * h) for y in (0.77, 0.84, 0.92)]
    return "".join(parts)


def _dark(paper: Paper) -> str:
    return _gradient(
        paper,
        "n",
        [(0, _tint(paper, (14, 18, 52), 6)), (1, _tint(paper, (58, 62, 122), 8, 1))],
        0.0,
        paper.height * 0.8,
    )


def _stars(paper: Paper) -> str:
    parts, pitch = [], paper.unit * 0.2
    for cell in paper.cells(pitch):
        for row in range(math.ceil(0.66 * paper.height / pitch)):
            rng = paper.rng(14, cell, row)
            x, y, r = (
                (cell + rng.random()) * pitch,
                (row + rng.random()) * pitch,
                rng.uniform(0.004, 0.011) * paper.unit,
            )
            parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{max(r, 0.35):.2f}"/>')
    x, y, r = paper.rng(15).uniform(0.12, 0.88) * paper.width, 0.16 * paper.height, 0.085 * paper.unit
    moon = f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="#fdf4cf"/>'
    return f'<g fill="#fff" opacity=".8">{"".join(parts)}</g>' + moon


def _dark_hills(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (34, 46, 82), 6, 2), 0.64, 0.05, 1.3, 3)


def _dark_ground(paper: Paper) -> str:
    return paper.rect(_tint(paper, (40, 66, 62), 8, 3), 0.72 * paper.height)


def _dunes(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (226, 178, 106), 10, 2), 0.6, 0.05, 1.6, 4)


def _sand(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (242, 204, 136), 8, 3), 0.7, 0.012, 1.0, 5)


def _snow_hills(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (190, 208, 228), 8, 2), 0.58, 0.07, 1.1, 6)


def _snow_ground(paper: Paper) -> str:
    return _ridge(paper, _tint(paper, (242, 246, 252), 4, 3), 0.71, 0.01, 1.0, 7)


def _pale(paper: Paper) -> str:
    return _gradient(paper, "p", [(0, _tint(paper, (140, 176, 214))), (1, "#e6eef6")], 0.0, paper.height * 0.7)


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
    """The layers of a backdrop, from the back."""
    if name in PLAIN:
        return (Layer(lambda paper: paper.rect(_tint(paper, PLAIN[name], 5)), 0.0),)
    return _SCENES[name]


def _draw(layers: tuple[Layer, ...], paper: Paper, magnify: float = 1.0) -> np.ndarray:
    left, top, right, bottom = paper.box
    width, height = max(1, round((right - left) * magnify)), max(1, round((bottom - top) * magnify))
    body = "".join(layer.draw(paper) for layer in layers)
    view = f'viewBox="{left} {top} {right - left} {bottom - top}" preserveAspectRatio="none"'
    return rasterise(f'<svg xmlns="http://www.w3.org/2000/svg" {view} width="{width}" height="{height}">{body}</svg>')


def flat_backdrop(name: str, width: int, height: int, seed: int) -> np.ndarray:
    """All layers in one picture, for a camera that does not move."""
    return _draw(
        backdrop_layers(name), Paper(float(width), float(height), (0.0, 0.0, float(width), float(height)), seed)
    )[..., :3]


def layer_pixels(layer: Layer, paper: Paper, magnify: float) -> np.ndarray:
    """One layer alone, premultiplied RGBA, `magnify` pixels to the unit (for a camera that comes close)."""
    return _draw((layer,), paper, magnify)
