"""Slices, latents, tokens and positions: every rule of arithmetic about shapes lives here.

A video of `4n + r` frames is cut into r still slices (one frame each, r in 0..3) followed by n moving slices of
four frames. Each slice becomes one grid of latent vectors, and `patch_size` of those become one token.
Axis letters: b batch, c channels, s slices, t frames, h height, w width, n tokens in a packed sequence, d model width.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from chronotope.errors import UsageError

__all__ = ["MAX_FRAMES", "MAX_SIDE", "AnyFrames", "Frames", "Geometry", "Picture", "Slice", "View", "num_frames_of"]

Frames = UInt8[np.ndarray, "t h w 3"]  # RGB; all frames that one call takes and gives have the same size
AnyFrames = UInt8[np.ndarray, "_ _ _ 3"]  # RGB; where one call takes clips of different sizes
Picture = UInt8[np.ndarray, "_ _ 3"]
MAX_SIDE = 8192
MAX_FRAMES = 1_000_000


@dataclass(frozen=True, order=True)
class Slice:
    """A run of frames that is encoded alone: one frame (still) or `stride[0]` frames (moving)."""

    start: int
    num_frames: int

    @property
    def still(self) -> bool:
        return self.num_frames == 1

    @property
    def stop(self) -> int:
        return self.start + self.num_frames

    def seconds(self, fps: float) -> float:
        """The middle of the slice in seconds, where a frame is an instant at `index / fps`."""
        return (self.start + (self.num_frames - 1) / 2) / fps


@dataclass(frozen=True)
class View:
    """What a sample shows: slices of a video of this size in pixels and rate."""

    slices: tuple[Slice, ...]
    height: int
    width: int
    fps: float


def num_frames_of(slices: Sequence[Slice]) -> int:
    """Frames covered by `slices`."""
    return sum(piece.num_frames for piece in slices)


@dataclass(frozen=True)
class Geometry:
    """How pixels become latents (`stride`) and latents become tokens (`patch_size`), as (time, height, width)."""

    stride: tuple[int, int, int] = (4, 8, 8)
    patch_size: tuple[int, int, int] = (1, 2, 2)

    def __post_init__(self) -> None:
        lengths = self.stride + self.patch_size
        if min(lengths) < 1 or max(lengths) > MAX_FRAMES or self.patch_size[0] != 1:
            raise UsageError(
                f"stride {self.stride} and patch_size {self.patch_size} must lie between 1 and {MAX_FRAMES}, "
                "and a patch spans one slice: patch_size[0] must be 1"
            )

    def slices(self, num_frames: int, start: int = 0) -> tuple[Slice, ...]:
        """Cut the `num_frames` frames from `start` on: the remainder as still slices first, then moving slices."""
        if not 1 <= num_frames <= MAX_FRAMES:
            raise UsageError(f"a video has 1 to {MAX_FRAMES} frames, got {num_frames}")
        length = self.stride[0]
        stills = num_frames % length
        moving = range(stills, num_frames, length)
        return tuple(Slice(start + i, 1) for i in range(stills)) + tuple(
            Slice(start + first, length) for first in moving
        )

    def lead_and_slices(self, lead: int, num_frames: int) -> tuple[Slice, ...]:
        """`lead` still slices, then moving slices to cover at least `num_frames` frames in all."""
        length = self.stride[0]
        num_moving = max(0, -(-(num_frames - lead) // length))
        stills = tuple(Slice(i, 1) for i in range(lead))
        return stills + tuple(Slice(lead + i * length, length) for i in range(num_moving))

    def cut(self, lengths: Sequence[int]) -> tuple[Slice, ...]:
        """Slices of these numbers of frames, one after the other."""
        if not lengths or set(lengths) - {1, self.stride[0]}:
            raise UsageError(f"slices have 1 or {self.stride[0]} frames, got {list(lengths)}")
        starts = itertools.accumulate(lengths, initial=0)
        return tuple(Slice(start, length) for start, length in zip(starts, lengths, strict=False))

    def shuffled_slices(self, num_frames: int, rng: np.random.Generator) -> tuple[Slice, ...]:
        """Another cut of the same frames: stills anywhere, and half of the time one moving slice more as stills."""
        lengths = [piece.num_frames for piece in self.slices(num_frames)]
        if max(lengths) > 1 and rng.random() < 0.5:
            lengths.remove(self.stride[0])
            lengths += [1] * self.stride[0]
        return self.cut([int(length) for length in rng.permutation(lengths)])

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width in pixels that one token covers."""
        return self.stride[1] * self.patch_size[1], self.stride[2] * self.patch_size[2]

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens that cover a frame; the last ones may reach over its edge."""
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise UsageError(f"a frame has 1 to {MAX_SIDE} pixels a side, got {width}x{height}")
        return -(-height // self.cell[0]), -(-width // self.cell[1])

    def covered_size(self, height: int, width: int) -> tuple[int, int]:
        """The smallest frame of whole tokens that holds `height` x `width` pixels."""
        rows, columns = self.token_grid(height, width)
        return rows * self.cell[0], columns * self.cell[1]

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the latent grid of a frame, whole tokens."""
        rows, columns = self.token_grid(height, width)
        return rows * self.patch_size[1], columns * self.patch_size[2]

    def num_tokens(self, num_frames: int, height: int, width: int) -> int:
        """Tokens of a whole video."""
        rows, columns = self.token_grid(height, width)
        return len(self.slices(num_frames)) * rows * columns

    def positions(self, slices: Sequence[Slice], height: int, width: int, fps: float) -> np.ndarray:
        """(seconds, y, x) of the centre of every token, float32 [slices * rows * columns, 3].

        y and x are measured from the middle of the frame in units of sqrt(height * width), so the same
        composition has the same positions at every size and an aspect ratio is an extent, not a mode.
        """
        return self.positions_of([View(tuple(slices), height, width, fps)])

    def positions_of(self, views: Sequence[View]) -> np.ndarray:
        """The positions of the tokens of several samples, one after the other; see `positions`."""
        if not min(view.fps for view in views) > 0:
            raise UsageError(f"fps must be above 0, got {min(view.fps for view in views)}")
        rows, columns = np.array([self.token_grid(view.height, view.width) for view in views]).T
        of_slice = np.arange(len(views)).repeat([len(view.slices) for view in views])  # the sample of each slice
        tokens = (rows * columns)[of_slice]
        of_token = of_slice.repeat(tokens)
        row, column = np.divmod(np.arange(tokens.sum()) - (tokens.cumsum() - tokens).repeat(tokens), columns[of_token])
        height, width = (np.array([getattr(view, side) for view in views]) for side in ("height", "width"))
        unit = np.sqrt(height * width)
        positions = np.empty((len(row), 3), np.float32)
        positions[:, 0] = np.repeat([piece.seconds(view.fps) for view in views for piece in view.slices], tokens)
        positions[:, 1] = ((row + 0.5) * self.cell[0] - (height / 2)[of_token]) / unit[of_token]
        positions[:, 2] = ((column + 0.5) * self.cell[1] - (width / 2)[of_token]) / unit[of_token]
        return positions
