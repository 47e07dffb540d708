"""The actions of a recorded clip, in a file beside it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from chronotope.actions.schema import ActionSchema
from chronotope.errors import FileProblem, UsageError

__all__ = ["SUFFIX", "Actions", "has_actions", "left_behind", "read_actions"]

SUFFIX = ".actions.npz"  # of the file of a clip's actions: KEY.actions.npz beside KEY.mp4


@dataclass(frozen=True)
class Actions:
    """The actions of a clip: `values[t]` led from frame t - 1 to frame t.

    `known[t]` is False where no action led to a frame, as to the first one of an episode; its value then means
    nothing. `rewards[t]` came with frame t. Raises UsageError for rewards that are not finite.
    """

    values: Shaped[np.ndarray, "t d"]
    known: Bool[np.ndarray, " t"]
    rewards: Float[np.ndarray, " t"]

    def __post_init__(self) -> None:
        if not (finite := np.isfinite(self.rewards)).all():
            raise UsageError(
                f"the reward of frame {int(np.argmin(finite))} is {self.rewards[np.argmin(finite)]}, expected a finite "
                "number; mend the environment or the file that it is from"
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the file of a clip's actions holds, by name."""
        return {"values": self.values, "known": self.known, "rewards": self.rewards.astype(np.float32)}


def has_actions(clip: Path) -> bool:
    """Return whether a file of actions is beside a clip."""
    try:
        return clip.with_name(clip.stem + SUFFIX).is_file()
    except OSError:  # the name would be too long
        return False


def left_behind(clips: Iterable[Path], advice: str) -> list[str]:
    """Say in a sentence, for what holds no actions, how many of the clips that it is made of have some."""
    named = [clip.name for clip in clips if has_actions(clip)]
    if not named:
        return []
    count = "1 clip has" if len(named) == 1 else f"{len(named)} clips have"
    return [f"{count} actions, such as {min(named)}, which are not taken along; {advice}"]


def read_actions(path: Path, schema: ActionSchema, num_frames: int) -> Actions:
    """Read the actions of a clip; raise FileProblem for a file that is damaged or does not match schema and clip."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            found = {name: held[name] for name in ("values", "known", "rewards")}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise FileProblem(f"{path} holds no actions of a clip ({problem})") from problem
    lengths = {len(values) if values.ndim else -1 for values in found.values()}
    if lengths != {num_frames} or found["known"].dtype != bool or found["rewards"].ndim != 1:
        raise FileProblem(
            f"{path} holds actions of {' and '.join(map(str, sorted(lengths)))} frames, but the clip has {num_frames}"
        )
    try:
        return Actions(schema.check(found["values"]), found["known"], found["rewards"].astype(np.float32))
    except UsageError as problem:
        raise FileProblem(f"{path}: {problem}") from problem
