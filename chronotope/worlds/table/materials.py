"""What a table looks like: the grain of its top, its light, the colours of solids as MuJoCo mixes them."""

from __future__ import annotations

import io
import math

import numpy as np

from chronotope.worlds.palette import COLOURS
from chronotope.worlds.table.spec import TableSpec

__all__ = ["GROUND", "TOPS", "TOP_RADIUS", "colour", "lights", "sky", "top_picture"]

TOP_RADIUS = 2.4  # of the round table, in metres
GROUND = -1.4  # where the floor lies
TOPS: dict[str, tuple[int, int, int]] = {
    "wooden": (206, 163, 116),
    "grey": (168, 171, 176),
    "white": (232, 231, 227),
    "dark": (78, 82, 92),
}
_PLANKS = 7


def top_picture(spec: TableSpec) -> bytes:
    """The table's top as a PNG: planks with grain, or a stone with faint clouds, so that one sees the camera move."""
    from PIL import Image

    rng = np.random.default_rng([spec.seed, 1])
    base = np.array(TOPS[spec.table], float)
    pixels = base * (_wood(rng) if spec.table == "wooden" else _stone(rng))[..., None]
    packed = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(packed, "PNG", compress_level=1)
    return packed.getvalue()


def _wood(rng: np.random.Generator, side: int = 512) -> np.ndarray:
    along, across = np.mgrid[0:side, 0:side] / side * np.array([1, _PLANKS])[:, None, None]
    plank = across.astype(int)
    shift = rng.uniform(0, 10, _PLANKS)[plank]
    bend = 0.6 * np.sin(2 * np.pi * (along + shift))
    grain = sum(
        weight * np.sin(2 * np.pi * (count * across + bend + shift * count))
        for count, weight in ((3, 0.5), (7, 0.3), (15, 0.2))
    )
    shade = rng.uniform(0.94, 1.05, _PLANKS)[plank] * (1 + 0.03 * grain)
    return np.where(np.abs(across % 1 - 0.5) > 0.485, 0.86, 1.0) * shade


def _stone(rng: np.random.Generator, side: int = 512) -> np.ndarray:
    import cv2

    clouds = np.zeros((side, side), np.float32)
    for cells, weight in ((5, 0.5), (11, 0.3), (37, 0.2)):
        clouds += weight * cv2.resize(
            rng.standard_normal((cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
        )
    return 1 + 0.035 * clouds


def colour(name: str) -> str:
    """An rgba of MuJoCo."""
    return " ".join(f"{part / 255:.4f}" for part in COLOURS[name]) + " 1"


def sky(spec: TableSpec) -> tuple[str, str]:
    """The colours above and below the horizon, with a tint by the seed; around a white table they are darker, so that its edge shows."""
    tint = np.random.default_rng([spec.seed, 2]).uniform(-0.035, 0.035, 3)
    levels = (0.84, 0.68) if spec.table == "white" else (0.96, 0.84)
    above, below = (" ".join(f"{part:.4f}" for part in np.clip(level + tint, 0, 1)) for level in levels)
    return above, below


def lights(spec: TableSpec) -> str:
    """One soft light from above, to a side by the seed: several weak ones close together, whose shadows have soft edges."""
    rng = np.random.default_rng([spec.seed, 3])
    angle, count = rng.uniform(0, 2 * np.pi), 2 if min(spec.width, spec.height) < 300 else 4
    middle = np.array([1.9 * math.cos(angle), 1.9 * math.sin(angle), 4.0])
    found = []
    for i in range(count):
        turn = 2 * math.pi * i / count + angle + 0.4
        place = middle + 0.26 * np.array([math.cos(turn), math.sin(turn), 0.0])
        strength = " ".join(f"{part / count:.4f}" for part in (0.56, 0.55, 0.53))
        where, way = (" ".join(f"{part:.4f}" for part in sign * place) for sign in (1, -1))
        found.append(
            f'<light directional="true" castshadow="true" pos="{where}" dir="{way}" diffuse="{strength}" ambient="0 0 0" '
            f'specular="{0.3 / count:.4f} {0.3 / count:.4f} {0.3 / count:.4f}"/>'
        )
    return "".join(found)
