"""The spec of a Doom clip: the map, the moment at which it begins, who acts, and the frame."""

from __future__ import annotations

from dataclasses import dataclass

from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import check_frame, ints_to_floats

__all__ = ["ACTIONS", "HELDOUT_MAPS", "MAPS", "POLICIES", "TICS_A_SECOND", "DoomSpec"]

POLICIES = ("explorer",)
ACTIONS = ("noop", "forward", "backward", "turn left", "turn right", "shoot", "use")
TICS_A_SECOND = 35
MIN_SIDE, MAX_SIDE = 48, 1024  # pixels
MAX_START = 2000  # frames
MAPS = tuple(f"map{number:02d}" for number in range(1, 30))  # of Freedoom, Phase 2
HELDOUT_MAPS = ("map03", "map08", "map14", "map22")  # which no clip of the training split shows


@dataclass(frozen=True)
class DoomSpec:
    """A clip of Doom: `num_frames` frames from frame `start` of a game on, one action a frame.

    The `policy` acts up to the start. From there on `actions` are done, one for each frame after the first; where
    there are none, the policy goes on. A frame lasts 35 / fps tics of the game, a whole number. The same spec shows the
    same events at any size.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    map: str
    seed: int  # of the monsters and of the policy
    start: int = 0
    policy: str = "explorer"
    actions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ints_to_floats(self)
        check_frame(self, MIN_SIDE, MAX_SIDE)
        if not 1 / 4 <= self.width / self.height <= 4:
            raise UsageError(f"a frame of {self.width}x{self.height} pixels: expected at most 4 times as long as wide")
        if self.fps <= 0 or TICS_A_SECOND / self.fps != round(TICS_A_SECOND / self.fps):
            raise UsageError(f"fps = {self.fps:g}: expected 35 divided by a whole number, such as 8.75 or 17.5")
        if self.map not in MAPS:
            raise UsageError(f"unknown map '{self.map}'. {suggest(self.map, MAPS)}")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"seed = {self.seed}: expected 0 to {2**31 - 1}")
        if not 0 <= self.start <= MAX_START:
            raise UsageError(f"start = {self.start}: expected 0 to {MAX_START} frames")
        if self.policy not in POLICIES:
            raise UsageError(f"unknown policy '{self.policy}'. {suggest(self.policy, POLICIES)}")
        if self.actions and len(self.actions) != self.num_frames - 1:
            raise UsageError(
                f"{len(self.actions)} actions for {self.num_frames} frames: expected one for each frame after the "
                f"first, {self.num_frames - 1}"
            )
        for action in self.actions:
            if action not in ACTIONS:
                raise UsageError(f"unknown action '{action}'. {suggest(action, ACTIONS)}")

    @property
    def tics(self) -> int:
        """Return how many tics of the game a frame lasts."""
        return round(TICS_A_SECOND / self.fps)
