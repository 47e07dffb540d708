"""The named colours of every world, as RGB levels of 0 to 255."""

from __future__ import annotations

__all__ = ["COLOURS"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 44, 44),
    "orange": (247, 140, 30),
    "yellow": (250, 212, 40),
    "green": (52, 168, 72),
    "blue": (42, 100, 226),
    "purple": (146, 64, 200),
    "pink": (250, 120, 182),
    "white": (246, 246, 246),
    "black": (34, 34, 38),
    "brown": (132, 82, 44),
}
