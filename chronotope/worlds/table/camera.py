"""The camera of a table clip: its pose at each frame, and the matrix that projects metres to pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from chronotope.worlds.table.spec import TableSpec

__all__ = ["TARGET", "View", "angles", "view_at", "views"]

TARGET = np.array([0.0, 0.0, 0.25])  # the point at which it looks, in metres
FIELD_OF_VIEW = 36.0  # degrees, of the short side of the frame


@dataclasses.dataclass(frozen=True)
class View:
    """The camera at one frame: position, axes (rows: right, down, forward), focal length in pixels, frame size."""

    place: np.ndarray
    axes: np.ndarray
    focal: float
    width: int
    height: int

    @property
    def matrix(self) -> np.ndarray:
        """Return the projection [3, 4]: `matrix @ (x, y, z, 1)` is (column, row, 1) times the depth.

        The corner of the picture is at (0, 0).
        """
        lens = np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1]])
        return lens @ np.hstack([self.axes, -self.axes @ self.place[:, None]])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points [n, 3] in metres to [n, 3]: column and row in pixels, depth in metres."""
        projected = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.column_stack([projected[:, :2] / projected[:, 2:], projected[:, 2]])

    @property
    def vertical_field_of_view(self) -> float:
        """Return the field of view of the frame's height in degrees."""
        return math.degrees(2 * math.atan(self.height / 2 / self.focal))


def view_at(spec: TableSpec, degrees: float) -> View:
    """Return the spec's camera after it has moved around the table by this angle, positive to the right."""
    camera = spec.camera
    focal = min(spec.width, spec.height) / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    up, angle = math.radians(camera.elevation), math.radians(degrees)
    out = np.array([math.sin(angle) * math.cos(up), -math.cos(angle) * math.cos(up), math.sin(up)])
    right = np.array([math.cos(angle), math.sin(angle), 0.0])
    down = np.array([out[2] * right[1], -out[2] * right[0], out[1] * right[0] - out[0] * right[1]])
    return View(TARGET + camera.distance * out, np.stack([right, down, -out]), focal, spec.width, spec.height)


def angles(spec: TableSpec) -> np.ndarray:
    """Return the camera's angle around the table at every frame, in degrees, positive to the right."""
    camera = spec.camera
    orbit = 60.0 if camera.amount is None else camera.amount
    turn = {"still": 0.0, "orbit": orbit, "round": 360.0}[camera.kind]
    # After the last frame a camera that goes round would be at the first frame again, so that the clip is a loop.
    last = spec.num_frames if camera.kind == "round" else max(spec.num_frames - 1, 1)
    sign = -1.0 if camera.direction == "left" else 1.0
    return sign * turn * np.arange(spec.num_frames) / last


def views(spec: TableSpec) -> tuple[View, ...]:
    """Return the camera at every frame; the first one looks along y."""
    return tuple(view_at(spec, float(degrees)) for degrees in angles(spec))
