"""What a session steps: a trained model, or an environment that is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.geometry import Frames, Picture

__all__ = ["PlayedWorld", "Recorded"]


@dataclass(frozen=True)
class Recorded:
    """How many frames a recording holds, and how many are wanted."""

    held: int
    wanted: int


class PlayedWorld(Protocol):
    """A world from a first picture on: a state and an action go in, the next state and its frames come out."""

    schema: ActionSchema
    fps: float
    slice_frames: int  # of a step
    goes_back: bool  # whether an earlier state can be stepped again

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        ...

    @property
    def recorded(self) -> Recorded | None:
        """What a recording of the frames holds; None where they are not recorded."""
        ...

    def end(self) -> None:
        """End the recording; nothing comes after it."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """What the page and the record call it."""
        ...

    def sampling_facts(self) -> Mapping[str, Any]:
        """Return what the record says of how frames are made."""
        ...

    def start_picture(self, number: int) -> Picture | None:
        """Return a stored picture from which a session may begin, if there is one."""
        ...

    def begin(
        self, seed: int = 0, prompt: str = "", picture: Picture | None = None, consent: str = ""
    ) -> tuple[Any, Picture]:
        """Return the first state and frame."""
        ...

    def step(self, state: Any, actions: Shaped[np.ndarray, "t d"]) -> tuple[Any, Frames]:
        """Return the next state and its frames."""
        ...
