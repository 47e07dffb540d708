"""The spec of a Crafter clip: the map, the moment at which it begins, who acts, and the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chronotope.errors import UsageError, suggest
from chronotope.worlds.crafter.scene import ACTIONS, ITEMS
from chronotope.worlds.events import check_frame, ints_to_floats

__all__ = ["POLICIES", "CrafterSpec", "View", "view_of"]

POLICIES = ("forager", "random")
MIN_SIDE, MAX_SIDE = 48, 2048  # pixels
MIN_CELLS = 8  # along the shorter side of the frame
MAX_CELLS = 32  # along the longer side
MAX_START = 10_000  # Crafter's own length of an episode


@dataclass(frozen=True)
class View:
    """The grid of a frame: square cells of `unit` pixels, of which the last `item_rows` show what the player owns."""

    unit: int
    columns: int
    rows: int  # of the map
    item_rows: int
    left: int  # pixels of black border
    top: int

    @property
    def player(self) -> tuple[int, int]:
        """Return the row and the column in which the player always is."""
        return self.rows // 2, self.columns // 2


def view_of(width: int, height: int) -> View:
    """Return the grid of a frame, which has the aspect of the frame.

    Cells measure a multiple of 8 pixels where the frame has room for 8 of them along its shorter side, so that a cell
    is a whole number of latents. Smaller frames have 8 cells there.
    """
    shorter = min(width, height)
    unit = 8 * (shorter // (8 * MIN_CELLS)) or shorter // MIN_CELLS
    columns, cells = width // unit, height // unit
    item_rows = math.ceil(len(ITEMS) / columns)
    left, top = (width - columns * unit) // 2, (height - cells * unit) // 2
    return View(unit, columns, cells - item_rows, item_rows, left, top)


@dataclass(frozen=True)
class CrafterSpec:
    """A clip of Crafter: `num_frames` frames from step `start` on, on the map of a seed, one action a frame.

    The `policy` acts up to the start. From there on `actions` are done, one for each frame after the first; where
    there are none, the policy goes on. The same spec shows the same events at any size.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    seed: int  # of the map, of its creatures and of the policy
    start: int = 0
    policy: str = "forager"
    area: int = 64  # cells of the map along each side
    actions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ints_to_floats(self)
        check_frame(self, MIN_SIDE, MAX_SIDE)
        if max(self.width, self.height) / view_of(self.width, self.height).unit > MAX_CELLS:
            raise UsageError(f"a frame of {self.width}x{self.height} pixels: expected at most 4 times as long as wide")
        if not 1 <= self.fps <= 1000:
            raise UsageError(f"fps = {self.fps:g}: expected 1 to 1000")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"seed = {self.seed}: expected 0 to {2**31 - 1}")
        if not 0 <= self.start <= MAX_START:
            raise UsageError(f"start = {self.start}: expected 0 to {MAX_START} steps")
        if self.policy not in POLICIES:
            raise UsageError(f"unknown policy '{self.policy}'. {suggest(self.policy, POLICIES)}")
        if not 24 <= self.area <= 256:
            raise UsageError(f"area = {self.area}: expected 24 to 256 cells")
        if self.actions and len(self.actions) != self.num_frames - 1:
            raise UsageError(
                f"{len(self.actions)} actions for {self.num_frames} frames: expected one for each frame after the "
                f"first, {self.num_frames - 1}"
            )
        for action in self.actions:
            if action not in ACTIONS:
                raise UsageError(f"unknown action '{action}'. {suggest(action, ACTIONS)}")

    @property
    def view(self) -> View:
        """Return the grid of its frames."""
        return view_of(self.width, self.height)
