"""What an action is in an environment: a vector of choices or of bounded numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from chronotope.errors import UsageError, suggest

__all__ = ["ActionSchema"]

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

    def in_words(self) -> str:
        """Name the actions, such as "0 noop, 1 left", or the values of each dimension, such as "x from -1 to 1"."""
        if self.kind == "continuous":
            bounds = zip(self.names, self.low, self.high, strict=True)
            return ", ".join(f"{name} from {low:g} to {high:g}" for name, low, high in bounds)
        told = [", ".join(f"{number} {name}" for number, name in enumerate(names)) for names in self.choices]
        return "; ".join(told if self.dims == 1 else map("{}: {}".format, self.names, told))

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
