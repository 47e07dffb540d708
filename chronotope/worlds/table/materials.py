"""The appearance of a table: texture, light, sky, and the colours of solids in MuJoCo's format."""

from __future__ import annotations

import io
import math

import numpy as np

from chronotope.worlds.palette import COLOURS
from chronotope.worlds.table.spec import TableSpec

__all__ = ["GROUND", "TABLE_COLOURS", "TOP_RADIUS", "lights", "rgba", "sky", "table_texture"]

TOP_RADIUS = 2.4  # of the round table, in metres
GROUND = -1.4  # metres: the height of the floor
TABLE_COLOURS: dict[str, tuple[int, int, int]] = {
    "wooden": (206, 163, 116),
    "grey": (168, 171, 176),
    "white": (232, 231, 227),
    "dark": (78, 82, 92),
}
_PLANKS = 7


def table_texture(spec: TableSpec) -> bytes:
    """Return the texture of the table as a PNG: planks, or stone with faint clouds that make camera motion visible."""
    from PIL import Image

    rng = np.random.default_rng([spec.seed, 1])
    base = np.array(TABLE_COLOURS[spec.table], float)
    shade = _wood(rng) if spec.table == "wooden" else _stone(rng)
    pixels = base * shade[..., None]
    packed = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(packed, "PNG", compress_level=1)
    return packed.getvalue()


def _wood(rng: np.random.Generator, side: int = 512) -> np.ndarray:
    along, across = np.mgrid[0:side, 0:side] / side * np.array([1, _PLANKS])[:, None, None]
    plank = across.astype(int)
    shift = rng.uniform(0, 10, _PLANKS)[plank]
    bend = 0.6 * np.sin(2 * np.pi * (along + shift))
    grain = np.zeros((side, side))
    for count, weight in ((3, 0.5), (7, 0.3), (15, 0.2)):
        grain += weight * np.sin(2 * np.pi * (count * across + bend + shift * count))
    shade = rng.uniform(0.94, 1.05, _PLANKS)[plank] * (1 + 0.03 * grain)
    return np.where(np.abs(across % 1 - 0.5) > 0.485, 0.86, 1.0) * shade


def _stone(rng: np.random.Generator, side: int = 512) -> np.ndarray:
    import cv2

    clouds = np.zeros((side, side), np.float32)
    for cells, weight in ((5, 0.5), (11, 0.3), (37, 0.2)):
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        clouds += weight * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return 1 + 0.035 * clouds


def rgba(colour: str) -> str:
    """Return a colour of the palette in MuJoCo's format."""
    return " ".join(f"{part / 255:.4f}" for part in COLOURS[colour]) + " 1"


def sky(spec: TableSpec) -> tuple[str, str]:
    """Return the colours above and below the horizon, tinted by the seed; darker around a white table."""
    tint = np.random.default_rng([spec.seed, 2]).uniform(-0.035, 0.035, 3)
    levels = (0.84, 0.68) if spec.table == "white" else (0.96, 0.84)
    above, below = (" ".join(f"{part:.4f}" for part in np.clip(level + tint, 0, 1)) for level in levels)
    return above, below


def lights(spec: TableSpec) -> str:
    """Return the XML of a soft light from above: several weak lights close together, whose shadows have soft edges."""
    rng = np.random.default_rng([spec.seed, 3])
    angle = rng.uniform(0, 2 * np.pi)
    count = 2 if min(spec.width, spec.height) < 300 else 4
    middle = np.array([1.9 * math.cos(angle), 1.9 * math.sin(angle), 4.0])
    found = []
    for i in range(count):
        turn = 2 * math.pi * i / count + angle + 0.4
        place = middle + 0.26 * np.array([math.cos(turn), math.sin(turn), 0.0])
        strength = " ".join(f"{part / count:.4f}" for part in (0.56, 0.55, 0.53))
        position, direction = (" ".join(f"{part:.4f}" for part in sign * place) for sign in (1, -1))
        specular = " ".join([f"{0.3 / count:.4f}"] * 3)
        found.append(
            f'<light directional="true" castshadow="true" pos="{position}" dir="{direction}" diffuse="{strength}" '
            f'ambient="0 0 0" specular="{specular}"/>'
        )
    return "".join(found)
