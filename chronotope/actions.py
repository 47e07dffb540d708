"""Actions of a world that can be played: what an action is, and those that led from frame to frame of a clip."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped

from chronotope.errors import FileProblem, UsageError, suggest

__all__ = ["SUFFIX", "ActionSchema", "Actions", "read_actions"]

SUFFIX = ".actions.npz"  # of the file of a clip's actions: KEY.actions.npz beside KEY.mp4
MAX_DIMENSIONS, MAX_CHOICES = 256, 65_536


@dataclass(frozen=True)
class ActionSchema:
    """What an action of an environment is: a vector of one value per dimension.

    `discrete` has one dimension, `multi-discrete` several; their values are the numbers of `choices`, from 0.
    `continuous` values lie from `low` to `high`. `neutral` is the action that does nothing; empty where there is none.
    """

    kind: Literal["discrete", "multi-discrete", "continuous"]
    names: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    neutral: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.dims <= MAX_DIMENSIONS or (self.kind == "discrete" and self.dims != 1):
            expected = "1" if self.kind == "discrete" else f"1 to {MAX_DIMENSIONS}"
            raise UsageError(f"a {self.kind} action of {self.dims} dimensions: expected {expected}")
        if self.kind == "continuous":
            self._check_bounds()
        elif len(self.choices) != self.dims or self.low or self.high:
            raise UsageError(
                f"a {self.kind} action of {self.dims} dimensions needs the names of the choices of each, "
                f"and no bounds; got {len(self.choices)} lists of choices"
            )
        elif not all(1 <= len(names) <= MAX_CHOICES for names in self.choices):
            raise UsageError(f"a dimension of a {self.kind} action has 1 to {MAX_CHOICES} choices")
        if self.neutral:
            self.check(np.array([self.neutral]))

    def _check_bounds(self) -> None:
        if not len(self.low) == len(self.high) == self.dims or self.choices:
            raise UsageError(
                f"a continuous action of {self.dims} dimensions needs as many bounds and no choices; "
                f"got {len(self.low)} lower and {len(self.high)} upper ones"
            )
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UsageError(f"bounds of {name}: {low:g} to {high:g}, expected two finite numbers in order")

    @property
    def dims(self) -> int:
        """Return the number of dimensions."""
        return len(self.names)

    @property
    def dtype(self) -> type[np.int64] | type[np.float32]:
        """Return the type in which values are stored."""
        return np.float32 if self.kind == "continuous" else np.int64

    def check(self, values: Shaped[np.ndarray, "t d"]) -> Shaped[np.ndarray, "t d"]:
        """Return actions as the schema stores them; raise UsageError for other shapes and values out of range."""
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != self.dims or values.dtype.kind not in "iufb":
            raise UsageError(
                f"actions of shape {values.shape} and type {values.dtype}: expected numbers of shape "
                f"(frames, {self.dims}), one for each of {', '.join(self.names[:8])}"
            )
        low, high = (np.array(bounds, np.float32).astype(float) for bounds in (self.low, self.high))
        if self.kind != "continuous":
            low, high = np.zeros(self.dims), np.array([len(names) - 1 for names in self.choices], float)
            if (values != np.floor(values)).any():
                raise UsageError(f"a {self.kind} action is a whole number, got {values[values % 1 != 0][0]:g}")
        stored = values.astype(self.dtype)
        outside = ~((low <= stored.astype(float)) & (stored.astype(float) <= high))
        if outside.any():
            t, d = np.argwhere(outside)[0]
            raise UsageError(f"action {t}: {self.names[d]} = {values[t, d]:g}, expected {low[d]:g} to {high[d]:g}")
        return stored

    def number(self, name: str, dimension: int = 0) -> int:
        """Return the number of a choice by its name; raise UsageError, with the nearest name, if there is none."""
        choices = self.choices[dimension] if self.choices else ()
        if name not in choices:
            raise UsageError(f"unknown action '{name}'. {suggest(name, choices)}")
        return choices.index(name)


@dataclass(frozen=True)
class Actions:
    """The actions of a clip: `values[t]` led from frame t - 1 to frame t.

    `known[t]` is False where no action led to a frame, as to the first one of an episode; its value then means
    nothing. `rewards[t]` came with frame t.
    """

    values: Shaped[np.ndarray, "t d"]
    known: Bool[np.ndarray, " t"]
    rewards: Float[np.ndarray, " t"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the file of a clip's actions holds, by name."""
        return {"values": self.values, "known": self.known, "rewards": self.rewards.astype(np.float32)}


def read_actions(path: Path, schema: ActionSchema, num_frames: int) -> Actions:
    """Read the actions of a clip; raise FileProblem for a file that is damaged or does not match schema and clip."""
    try:
        with np.load(path, allow_pickle=False) as held:
            found = {name: held[name] for name in ("values", "known", "rewards")}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise FileProblem(f"{path} holds no actions of a clip ({problem})") from problem
    lengths = {len(values) if values.ndim else -1 for values in found.values()}
    if lengths != {num_frames} or found["known"].dtype != bool or found["rewards"].ndim != 1:
        raise FileProblem(f"{path} holds actions of {lengths} frames, but the clip has {num_frames}")
    try:
        return Actions(schema.check(found["values"]), found["known"], found["rewards"].astype(np.float32))
    except UsageError as problem:
        raise FileProblem(f"{path}: {problem}") from problem
