"""Follow points through a video and ask whether one point at rest in space explains where each is seen.

The poses are known, and nothing of the video but its pixels. With the first frame as origin, a point of direction
(a, b, 1) and inverse depth rho is seen from frame k along `R_k (a, b, 1) + rho R_k (c_0 - c_k)`, which is linear in
(a, b, rho): least squares, weighted again by the depths found (Hartley & Zisserman 2004, 12.2). The inverse depth has
bounds, since infinitely far points would explain a picture that stands still while the player walks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chronotope.geometry import Frames, Picture

__all__ = ["Path", "Pinhole", "Points", "follow", "seen_from", "triangulate"]

ENLARGED = 256  # pixels: the width to which frames are enlarged about, so that corners are found between pixels
CORNERS, QUALITY, APART = 60, 0.02, 10  # at most so many, of so much of the best one's contrast, so far apart
WINDOW = (21, 21)  # enlarged pixels that are compared
LEVELS = 3  # of the pyramid: a turn moves the picture by an eighth of its width and more
RETURN = 1.6  # enlarged pixels by which a point may miss its origin when it is followed back
ROUNDS = 6  # of the weighted least squares
NEAREST, FARTHEST = 16.0, 1000.0  # map units: a player is 32 wide; few walls in view are farther
DEAREST = 1e-3  # depth, in units of the first, below which a point counts as behind the eye


@dataclass(frozen=True)
class Pinhole:
    """Focal lengths and centre in pixels, and the size of the frame."""

    focal: tuple[float, float]
    centre: tuple[float, float]
    width: int
    height: int

    def rays(self, pixels: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Return right and down of directions that go forward by 1."""
        return (pixels - self.centre) / self.focal

    def pixels(self, rays: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Return where directions are seen."""
        return rays * self.focal + self.centre


@dataclass(frozen=True, eq=False)
class Path:
    """Where the eye is in every frame, and its axes: rows of right, down and forward."""

    places: Float[np.ndarray, "t 3"]
    axes: Float[np.ndarray, "t 3 3"]

    def __getitem__(self, frames: slice) -> Path:
        return Path(self.places[frames], self.axes[frames])

    def from_first(self) -> tuple[Float[np.ndarray, "t 3 3"], Float[np.ndarray, "t 3"]]:
        """Return what turns a direction of the first frame into one of each, and the first place as each sees it."""
        turns = self.axes @ self.axes[0].T
        return turns, np.einsum("tij,tj->ti", self.axes, self.places[0] - self.places)

    @staticmethod
    def level(places: Float[np.ndarray, "t 3"], degrees: Float[np.ndarray, " t"]) -> Path:
        """Return a path of an eye that looks straight ahead, at angles against the clock."""
        cos, sin, zero = np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), np.zeros(len(degrees))
        right, down, ahead = (sin, -cos, zero), (zero, zero, zero - 1), (cos, sin, zero)
        return Path(places, np.stack([np.stack(axis, axis=1) for axis in (right, down, ahead)], axis=1))


@dataclass(frozen=True, eq=False)
class Points:
    """Where points of the first frame are seen, in pixels; NaN from the frame on in which they are lost."""

    pixels: Float[np.ndarray, "n t 2"]

    @property
    def seen(self) -> Bool[np.ndarray, "n t"]:
        return np.isfinite(self.pixels[..., 0])


def follow(frames: Frames, hidden: Bool[np.ndarray, "t h w"]) -> Points:
    """Follow corners of the first frame through a video, forth and back; `hidden` are pixels that are no world."""
    times = max(1, round(ENLARGED / frames.shape[2]))
    pictures = [_enlarged(frame, times) for frame in frames]
    covered = [np.kron(each.astype(np.uint8), np.ones((times, times), np.uint8)) for each in hidden]
    corners = cv2.goodFeaturesToTrack(pictures[0], CORNERS, QUALITY, APART, mask=1 - covered[0])
    if corners is None:
        return Points(np.empty((0, len(frames), 2)))
    found = np.full((len(corners), len(frames), 2), np.nan)
    found[:, 0] = corners[:, 0]
    height, width = pictures[0].shape
    for t in range(1, len(frames)):
        going = np.flatnonzero(np.isfinite(found[:, t - 1, 0]))
        if not going.size:
            break
        start = found[going, t - 1].astype(np.float32)[:, None]
        there, known, _ = cv2.calcOpticalFlowPyrLK(
            pictures[t - 1], pictures[t], start, None, winSize=WINDOW, maxLevel=LEVELS
        )
        back, known_back, _ = cv2.calcOpticalFlowPyrLK(
            pictures[t], pictures[t - 1], there, None, winSize=WINDOW, maxLevel=LEVELS
        )
        x, y = there[:, 0, 0], there[:, 0, 1]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        missed = np.linalg.norm(back - start, axis=2)[:, 0]
        kept = inside & (known[:, 0] > 0) & (known_back[:, 0] > 0) & (missed < RETURN)
        columns, rows = (np.clip(np.rint(v), 0, most - 1).astype(int) for v, most in ((x, width), (y, height)))
        kept &= covered[t][rows, columns] == 0
        found[going[kept], t] = there[kept, 0]
    return Points((found + 0.5) / times)


def _enlarged(frame: Picture, times: int) -> UInt8[np.ndarray, "h w"]:
    """Return the levels of grey between pixels; the root shows what is dark."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    large = cv2.resize(np.sqrt(grey * 255), None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


def seen_from(
    path: Path, rays: Float[np.ndarray, "n 2"], inverse_depth: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n t 2"], Float[np.ndarray, "n t"]]:
    """Return along which rays points of the first frame are seen from every frame, NaN where they are behind the eye.

    Their depth there comes second, as a multiple of that in the first frame.
    """
    turns, moves = path.from_first()
    ahead = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    where = np.einsum("tij,nj->nti", turns, ahead) + inverse_depth[:, None, None] * moves
    depth = where[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(depth[..., None] > DEAREST, where[..., :2] / depth[..., None], np.nan)
    return seen, depth


def triangulate(
    path: Path, rays: Float[np.ndarray, "n t 2"], nearest: float = NEAREST, farthest: float = FARTHEST
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Return ray in the first frame and inverse depth of the point at rest that explains best where each is seen."""
    turns, moves = path.from_first()
    seen = np.isfinite(rays[..., 0])
    known = np.where(seen[..., None], rays, 0.0)
    # two equations of each sight, x z = x' and y z = y', for (a, b, 1, rho)
    columns = np.concatenate([turns, moves[:, :, None]], axis=2)  # t, 3, 4
    equations = columns[None, :, :2] - known[..., None] * columns[None, :, 2:]  # n, t, 2, 4
    weight = seen.astype(float)
    answer = np.zeros((len(rays), 3))
    for _ in range(ROUNDS):
        weighted = equations * weight[..., None, None]
        matrix, goal = weighted[..., [0, 1, 3]], -weighted[..., 2]
        answer = _solved(matrix, goal)
        beyond = np.clip(answer[:, 2], 1 / farthest, 1 / nearest)
        outside = beyond != answer[:, 2]
        if outside.any():  # the best ray at the bound
            rest = goal[outside] - matrix[outside][..., 2] * beyond[outside, None, None]
            answer[outside, :2] = _solved(matrix[outside][..., :2], rest)
            answer[outside, 2] = beyond[outside]
        _, depth = seen_from(path, answer[:, :2], answer[:, 2])
        weight = seen / np.maximum(depth, 0.1)
    return answer[:, :2], answer[:, 2]


def _solved(matrix: Float[np.ndarray, "n t 2 m"], goal: Float[np.ndarray, "n t 2"]) -> Float[np.ndarray, "n m"]:
    """Return least squares of each of several systems."""
    square = np.einsum("ntij,ntik->njk", matrix, matrix)
    side = np.einsum("ntij,nti->nj", matrix, goal)
    tiny = 1e-12 * np.eye(square.shape[1])  # where nothing says how far a point is
    solved: np.ndarray = np.linalg.solve(square + tiny, side[..., None])[..., 0]
    return solved
