"""The table's camera: where it is at each frame, and the matrix that takes metres to pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from chronotope.worlds.table.spec import TableSpec

__all__ = ["TARGET", "View", "angles", "view_at", "views"]

TARGET = np.array([0.0, 0.0, 0.25])  # what it looks at
FIELD = 36.0  # degrees that the short side of the frame sees


@dataclasses.dataclass(frozen=True)
class View:
    """The camera at one frame: its place, its axes (rows: right, down, forward), its focal length in pixels, the frame's size."""

    place: np.ndarray
    axes: np.ndarray
    focal: float
    width: int
    height: int

    @property
    def matrix(self) -> np.ndarray:
        """[3, 4]: `matrix @ (x, y, z, 1)` is (column, row, 1) times the depth, with the picture's corner at (0, 0)."""
        lens = np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1]])
        return lens @ np.hstack([self.axes, -self.axes @ self.place[:, None]])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [n, 3] in metres to [n, 3]: column, row, depth."""
        seen = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.column_stack([seen[:, :2] / seen[:, 2:], seen[:, 2]])

    @property
    def field(self) -> float:
        """Degrees that the height of the frame sees."""
        return math.degrees(2 * math.atan(self.height / 2 / self.focal))


def view_at(spec: TableSpec, degrees: float) -> View:
    """The spec's camera after it has gone so far around the table, to the right where positive."""
    camera = spec.camera
    focal = min(spec.width, spec.height) / 2 / math.tan(math.radians(FIELD / 2))
    up, angle = math.radians(camera.elevation), math.radians(degrees)
    out = np.array([math.sin(angle) * math.cos(up), -math.cos(angle) * math.cos(up), math.sin(up)])
    right = np.array([math.cos(angle), math.sin(angle), 0.0])
    down = np.array([out[2] * right[1], -out[2] * right[0], out[1] * right[0] - out[0] * right[1]])
    return View(TARGET + camera.distance * out, np.stack([right, down, -out]), focal, spec.width, spec.height)


def angles(spec: TableSpec) -> np.ndarray:
    """How far the camera has gone around at every frame, in degrees, to the right where positive."""
    camera = spec.camera
    turn = {"still": 0.0, "orbit": 60.0 if camera.amount is None else camera.amount, "round": 360.0}[camera.kind]
    # A camera that goes round comes back to where it was with the frame after the last, so that the clip is a loop.
    last = spec.num_frames if camera.kind == "round" else max(spec.num_frames - 1, 1)
    return (-1.0 if camera.direction == "left" else 1.0) * turn * np.arange(spec.num_frames) / last


def views(spec: TableSpec) -> tuple[View, ...]:
    """The camera at every frame; the first one looks along y."""
    return tuple(view_at(spec, float(degrees)) for degrees in angles(spec))
