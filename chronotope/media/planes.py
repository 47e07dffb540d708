"""The pixels of one frame as a decoder stores them: what the guarded child copies and its parent lays out as RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Layout", "Planes", "Rows"]

Matrix = tuple[int, int, int, int]  # rotation and mirroring, (a, b, c, d) of x' = ax + cy, y' = bx + dy
Rows = Callable[[int, int], Sequence[bytes | memoryview]]


@dataclass(frozen=True)
class Layout:
    """How a frame is stored, and which part of it is shown in which orientation.

    `gbrp` is three planes of green, blue and red; `rgb24` and `rgba` hold 3 and 4 bytes a pixel; `grey32` holds 16-bit
    values as 32-bit integers. `stride` is the bytes of one row of a plane.
    """

    kind: Literal["gbrp", "rgb24", "rgba", "grey32"]
    width: int
    height: int
    stride: int
    shown_width: int
    shown_height: int
    matrix: Matrix = (1, 0, 0, 1)

    @property
    def num_planes(self) -> int:
        return 3 if self.kind == "gbrp" else 1

    @property
    def row_bytes(self) -> int:
        """The bytes of one row in all planes."""
        return self.num_planes * self.stride

    @property
    def transposed(self) -> bool:
        return abs(self.matrix[1]) > abs(self.matrix[0])

    @property
    def displayed(self) -> tuple[int, int]:
        """Height and width after rotation."""
        if self.transposed:
            return self.shown_width, self.shown_height
        return self.shown_height, self.shown_width


@dataclass(frozen=True)
class Planes:
    """A frame: its layout, and a function that returns a range of its rows, one buffer a plane."""

    layout: Layout
    rows: Rows
